//! Listing the messages of all chatrooms of one person: the timeline.

use std::collections::BTreeMap;

use domain::id::{AccountId, BrandId, ChatroomId};
use kit::{db::Connection, directory::links, page::Page};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{App, Caller, Party, seen};
use crate::{
    error::ChatError,
    model::{Chatroom, Message},
    store::{
        chatrooms, messages,
        moments::{self, Moment},
    },
};

/// Somebody reads a person's timeline.
#[derive(Clone, Debug)]
pub(crate) struct ListPersonMessages {
    /// An account of the person; a visitor may leave it out, and names nobody but himself.
    pub account_id: Option<AccountId>,
    /// How many at most.
    pub page_size: i32,
    /// Where to go on; empty for the first page.
    pub page_token: String,
}

/// Of which moment the list is, and how far it has been shown: of each chatroom that was on a page
/// the smallest sequence. So a page costs the same however far back it lies, by the primary key.
#[derive(Deserialize, Serialize)]
struct Cursor {
    moment: Moment,
    shown: BTreeMap<Uuid, u64>,
}

impl App {
    /// Returns the messages of all chatrooms of a person that the caller sees, newest first, and the
    /// token of the next page; at equal times by chatroom.
    ///
    /// The list is that of the moment when paging began: what has been written since is not shown.
    /// Who is one person, and what he sees, is judged for each page. For a Member a person is whom
    /// his chatrooms show as one: a link that serves attribution alone tells him nothing.
    ///
    /// # Errors
    ///
    /// [`ChatError::AccountNotFound`] when a visitor names another than himself, or a Member whom he
    /// has no chatroom with; [`CallError::FieldInvalid`] for a negative size, and when a Member names
    /// nobody; [`CallError::PageTokenInvalid`] for a token of another caller or person;
    /// [`CallError::ConsistencyUnavailable`].
    ///
    /// Source: SPEC 21, 25, 58.
    ///
    /// [`CallError::FieldInvalid`]: kit::error::CallError::FieldInvalid
    /// [`CallError::PageTokenInvalid`]: kit::error::CallError::PageTokenInvalid
    /// [`CallError::ConsistencyUnavailable`]: kit::error::CallError::ConsistencyUnavailable
    pub(crate) async fn list_person_messages(
        &self,
        caller: &Caller,
        query: ListPersonMessages,
    ) -> Result<(Vec<Message>, String), ChatError> {
        let reader = caller.party.author().id();
        let account_id = query.account_id.unwrap_or(reader.into());
        let list = ("ListPersonMessages", reader, account_id.uuid());
        let page = Page::<Cursor>::open(query.page_size, &query.page_token, &list)?;
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let (brand_id, party) = (&caller.brand_id, caller.party);
        let theirs = common(&mut connection, brand_id, party, account_id).await?;
        let (moment, mut shown) = match page.after() {
            Some(Cursor { moment, shown }) => (moment.clone(), shown.clone()),
            None => {
                let moment = moments::take(&mut connection, self.clock.now()).await?;
                (moment, BTreeMap::new())
            }
        };
        let below = |room: &Chatroom| shown.get(&room.id.uuid()).copied().unwrap_or(u64::MAX);
        let rooms: Vec<(ChatroomId, u64)> =
            theirs.iter().map(|room| (room.id, below(room))).collect();
        let limit = page.limit();
        let listed =
            messages::list_of_many(&mut connection, brand_id, &rooms, &moment, limit).await?;
        let size = usize::try_from(limit - 1).unwrap_or(usize::MAX);
        for message in listed.iter().take(size) {
            shown.insert(message.chatroom_id.uuid(), message.place.sequence);
        }
        Ok(page.close(listed, |_| Cursor { moment, shown }))
    }
}

/// Returns the chatrooms of the person of an account that the party sees.
async fn common(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
    account_id: AccountId,
) -> Result<Vec<Chatroom>, ChatError> {
    if let Party::Member(member_id) = party {
        let links = links::around(connection, brand_id, account_id).await?;
        let accounts: Vec<AccountId> = links.seen_by(account_id).accounts.into_iter().collect();
        let common = chatrooms::list_by_pair(connection, brand_id, &accounts, member_id).await?;
        if common.is_empty() {
            return Err(ChatError::AccountNotFound { account_id });
        }
        return Ok(common);
    }
    let person = seen::person(connection, brand_id, party).await?;
    let own = party.author().id();
    let Some(person) = person.filter(|_| own == account_id.uuid()) else {
        return Err(ChatError::AccountNotFound { account_id });
    };
    let accounts: Vec<AccountId> = person.accounts.into_iter().collect();
    Ok(chatrooms::list_by_accounts(connection, brand_id, &accounts).await?)
}
