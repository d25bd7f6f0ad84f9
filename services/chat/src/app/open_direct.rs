//! Opening the chatroom of a person and a Member.

use chrono::{DateTime, Utc};
use domain::{
    chatroom::{DirectChatroom, decide_direct_chatroom},
    id::{AccountId, BrandId, ChatroomId, EventId, MemberId, RequestId},
    person::Person,
};
use kit::{
    db::Connection,
    directory::{accounts, members},
    event_log,
    request::{self, RequestKey},
};
use prost::Message as _;
use rapport_proto::{chat::v1 as chat, event::v1::AccountState};

use super::{App, Caller, ChatroomView, Party, seen, view};
use crate::{
    error::ChatError,
    events,
    model::Chatroom,
    store::{
        chatroom_changes::{self, Change},
        chatrooms,
    },
};

/// A visitor wants to talk to a Member.
#[derive(Clone, Debug)]
pub(crate) struct OpenDirect {
    /// The Member.
    pub member_id: MemberId,
    /// What makes the call repeatable.
    pub key: RequestKey,
}

/// The chatroom that is made where there is none.
pub(super) struct NewChatroom {
    /// Its id.
    pub id: ChatroomId,
    /// The Member.
    pub member_id: MemberId,
    /// The id of its event.
    pub event_id: EventId,
    /// The call that asked for it.
    pub cause: RequestId,
    /// When.
    pub now: DateTime<Utc>,
}

/// What the transaction needs; everything that it must not make itself.
struct Input {
    brand_id: BrandId,
    party: Party,
    account_id: AccountId,
    command: OpenDirect,
    chatroom_id: ChatroomId,
    event_id: EventId,
    now: DateTime<Utc>,
}

impl App {
    /// Returns the chatroom of the caller's person and a Member, and whether this call made it.
    ///
    /// Two that open the same one at once get the same one: the transactions are serializable, and
    /// an account has at most one chatroom with a Member by the schema.
    ///
    /// A Member of whom no event has arrived yet does not exist: identity has no method that would
    /// tell of a single one.
    ///
    /// # Errors
    ///
    /// [`ChatError::MemberNotFound`], [`ChatError::AccountNotFound`], [`ChatError::AccountErased`];
    /// [`ChatError::MemberDeactivated`] only where one had to be made;
    /// [`CallError::ConsistencyUnavailable`]; a reused request id.
    ///
    /// Source: SPEC 23.
    pub(crate) async fn open_direct(
        &self,
        caller: &Caller,
        command: OpenDirect,
    ) -> Result<(ChatroomView, bool), ChatError> {
        self.catch_up(caller).await?;
        let (Party::Temporary(account_id) | Party::Person(account_id)) = caller.party else {
            return Err(kit::error::CallError::PermissionDenied.into());
        };
        let input = Input {
            brand_id: caller.brand_id.clone(),
            party: caller.party,
            account_id,
            command,
            chatroom_id: self.ids.next(),
            event_id: self.ids.next(),
            now: self.clock.now(),
        };
        let (id, created) = self
            .db
            .run_tx("open_direct_chatroom", input, |connection, input| {
                Box::pin(open(connection, input))
            })
            .await?;
        let mut connection = self.db.read().await?;
        let (brand_id, party) = (&caller.brand_id, caller.party);
        let found = seen::find(&mut connection, brand_id, party, id).await?;
        let view = view::view(&mut connection, brand_id, party.side(), found).await?;
        Ok((view, created))
    }
}

async fn open(connection: &mut Connection, input: &Input) -> Result<(ChatroomId, bool), ChatError> {
    let Input {
        brand_id, command, ..
    } = input;
    if let Some(kept) = request::find(connection, &command.key).await? {
        return kept_answer(&kept);
    }
    let active = members::find_active(connection, brand_id, command.member_id).await?;
    let Some(active) = active else {
        return Err(ChatError::MemberNotFound {
            member_id: command.member_id,
        });
    };
    refuse_missing(connection, brand_id, input.account_id).await?;
    let person = seen::person(connection, brand_id, input.party).await?;
    let Some(person) = person else {
        return Err(ChatError::AccountNotFound {
            account_id: input.account_id,
        });
    };
    let new = NewChatroom {
        id: input.chatroom_id,
        member_id: command.member_id,
        event_id: input.event_id,
        cause: command.key.request_id(),
        now: input.now,
    };
    let (chatroom, created) = find_or_create(connection, brand_id, &person, active, &new).await?;
    let answer = (chatroom.id, created);
    let response = chat::OpenDirectChatroomResponse {
        chatroom: Some(chat::Chatroom {
            chatroom_id: answer.0.to_string(),
            ..Default::default()
        }),
        created: answer.1,
    };
    request::keep(
        connection,
        &command.key,
        response.encode_to_vec(),
        input.now,
    )
    .await?;
    Ok(answer)
}

/// Returns the chatroom of a person and a Member, and whether it was made: by rule 23, or as `new`
/// says where there is none. `active` is whether the Member is.
///
/// # Errors
///
/// [`ChatError::MemberDeactivated`] where one had to be made; what the database fails with. The
/// caller's transaction is serializable.
pub(super) async fn find_or_create(
    connection: &mut Connection,
    brand_id: &BrandId,
    person: &Person,
    active: bool,
    new: &NewChatroom,
) -> Result<(Chatroom, bool), ChatError> {
    let member_id = new.member_id;
    let accounts: Vec<AccountId> = person.accounts.iter().copied().collect();
    let theirs = chatrooms::list_by_pair(connection, brand_id, &accounts, member_id).await?;
    let summaries: Vec<_> = theirs.iter().map(Chatroom::summary).collect();
    match decide_direct_chatroom(person, member_id, &summaries) {
        DirectChatroom::Open(id) => {
            let chatroom = theirs.into_iter().find(|chatroom| chatroom.id == id);
            let missing = ChatError::ChatroomNotFound { chatroom_id: id };
            Ok((chatroom.ok_or(missing)?, false))
        }
        DirectChatroom::Create(_) if !active => Err(ChatError::MemberDeactivated { member_id }),
        DirectChatroom::Create(account_id) => {
            let made = create(connection, brand_id, account_id, new).await?;
            Ok((made, true))
        }
    }
}

async fn create(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    new: &NewChatroom,
) -> Result<Chatroom, ChatError> {
    let chatroom = Chatroom::open(new.id, account_id, new.member_id, new.now);
    chatrooms::insert(connection, brand_id, &chatroom).await?;
    let cause = new.cause.to_string();
    let event = events::chatroom_opened(new.event_id, brand_id, &cause, &chatroom);
    event_log::append(connection, &[event]).await?;
    let change = Change::of_chatroom(brand_id, &chatroom, new.now);
    chatroom_changes::append(connection, &[change]).await?;
    Ok(chatroom)
}

/// Refuses an account that is unknown or erased.
pub(super) async fn refuse_missing(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<(), ChatError> {
    match accounts::find(connection, brand_id, account_id).await? {
        None => Err(ChatError::AccountNotFound { account_id }),
        Some(account) if account.state == AccountState::Erased => {
            Err(ChatError::AccountErased { account_id })
        }
        Some(_) => Ok(()),
    }
}

fn kept_answer(kept: &[u8]) -> Result<(ChatroomId, bool), ChatError> {
    let corrupt = || kit::db::StoreError::Corrupt {
        what: "request.response",
    };
    let response = chat::OpenDirectChatroomResponse::decode(kept).map_err(|_| corrupt())?;
    let id = response
        .chatroom
        .as_ref()
        .map(|room| room.chatroom_id.parse());
    match id {
        Some(Ok(id)) => Ok((id, response.created)),
        Some(Err(_)) | None => Err(corrupt().into()),
    }
}
