//! Reading one chatroom: by its id, or the one in which a visitor goes on.

use domain::{
    chatroom::decide_resumed_chatroom,
    id::{AccountId, ChatroomId},
};

use super::{App, Caller, ChatroomView, Party, exists, seen, view};
use crate::{error::ChatError, store::chatrooms};

impl App {
    /// Returns a chatroom that the caller sees.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`] when there is none or he does not see it;
    /// [`CallError::ConsistencyUnavailable`].
    pub(crate) async fn get_chatroom(
        &self,
        caller: &Caller,
        id: ChatroomId,
    ) -> Result<ChatroomView, ChatError> {
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let (brand_id, party) = (&caller.brand_id, caller.party);
        let found = seen::find(&mut connection, brand_id, party, id).await?;
        view::view(&mut connection, brand_id, party.side(), found).await
    }

    /// Returns the chatroom in which the caller goes on after a sign-in: the one that settled
    /// `temporary`, or one without a temporary account, after which it is his own.
    ///
    /// # Errors
    ///
    /// [`ChatError::NothingToResume`] when there is none; [`ChatError::AccountNotFound`] when the
    /// caller's account is unknown; [`CallError::ConsistencyUnavailable`].
    ///
    /// Source: SPEC 24.
    pub(crate) async fn resume_chatroom(
        &self,
        caller: &Caller,
        temporary: Option<AccountId>,
    ) -> Result<ChatroomView, ChatError> {
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let (brand_id, party) = (&caller.brand_id, caller.party);
        let Some(person) = seen::person(&mut connection, brand_id, party).await? else {
            return Err(ChatError::NothingToResume);
        };
        if let Party::Person(account_id) | Party::Temporary(account_id) = party
            && !exists(&mut connection, brand_id, account_id).await?
        {
            return Err(ChatError::AccountNotFound { account_id });
        }
        let accounts: Vec<AccountId> = person.accounts.iter().copied().collect();
        let theirs = chatrooms::list_by_accounts(&mut connection, brand_id, &accounts).await?;
        let summaries: Vec<_> = theirs.iter().map(|chatroom| chatroom.summary()).collect();
        let temporary = temporary.unwrap_or(person.root);
        let resumed = decide_resumed_chatroom(&person, temporary, &summaries)
            .ok_or(ChatError::NothingToResume)?;
        let found = seen::find(&mut connection, brand_id, party, resumed).await?;
        view::view(&mut connection, brand_id, party.side(), found).await
    }
}
