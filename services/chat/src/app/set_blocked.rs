//! Blocking the other side.
//!
//! A Member's block holds for the pair of person and Member: what he says is kept of the account of
//! the chatroom in which he says it, and `domain::block` tells what follows. A visitor's holds for the
//! chatroom alone: another one with that Member is there because the visitor opened it, and is blocked
//! there if he wants it so.

use domain::{block, id::ChatroomId, message::Side};
use kit::{
    db::Connection,
    directory::links,
    request::{self, RequestKey},
};

use super::{App, Caller, ChatroomView, Input, seen};
use crate::{
    error::ChatError,
    model::Chatroom,
    store::{
        chatroom_changes::{self, Change},
        chatrooms, member_blocks,
    },
};

/// Somebody blocks the other side, or takes it back.
#[derive(Clone, Debug)]
pub(crate) struct SetBlocked {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// Whether the other side is blocked from now on.
    pub blocked: bool,
    /// What makes the call repeatable.
    pub key: RequestKey,
}

impl App {
    /// Sets whether the caller's side has blocked the other, and returns the chatroom; a repeated
    /// call changes nothing more.
    ///
    /// Whoever writes looks for a block under the lock of his chatroom, which is taken here too, so
    /// nothing follows a block there but what a service writes as itself. A message into another
    /// chatroom of the pair at the same moment comes before the block, or is refused.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`]; [`CallError::ConsistencyUnavailable`]; a reused request id.
    ///
    /// Source: SPEC 30.
    ///
    /// [`CallError::ConsistencyUnavailable`]: kit::error::CallError::ConsistencyUnavailable
    pub(crate) async fn set_blocked(
        &self,
        caller: &Caller,
        command: SetBlocked,
    ) -> Result<ChatroomView, ChatError> {
        let chatroom_id = command.chatroom_id;
        let input = self.input(caller, command).await?;
        self.db
            .run_locked_tx("set_blocked", input, |connection, input| {
                Box::pin(set(connection, input))
            })
            .await?;
        self.get_chatroom(caller, chatroom_id).await
    }
}

async fn set(connection: &mut Connection, input: &Input<SetBlocked>) -> Result<(), ChatError> {
    let Input {
        brand_id,
        party,
        command,
        now,
    } = input;
    let (id, blocked) = (command.chatroom_id, command.blocked);
    let chatroom = seen::lock(connection, brand_id, *party, id).await?;
    // Looked for under the lock, so that of two equal calls at once the second finds the first.
    if request::find(connection, &command.key).await?.is_some() {
        return Ok(());
    }
    let changes = match party.side() {
        Side::Visitor => {
            chatrooms::update_visitor_blocked(connection, brand_id, id, blocked).await?;
            vec![Change::of_chatroom(brand_id, &chatroom, *now)]
        }
        Side::Member => set_for_person(connection, input, &chatroom).await?,
        Side::Service => Vec::new(),
    };
    chatroom_changes::append(connection, &changes).await?;
    Ok(request::keep(connection, &command.key, Vec::new(), *now).await?)
}

/// Returns what it changes: every chatroom of the pair.
async fn set_for_person(
    connection: &mut Connection,
    input: &Input<SetBlocked>,
    chatroom: &Chatroom,
) -> Result<Vec<Change>, ChatError> {
    let Input {
        brand_id,
        command,
        now,
        ..
    } = input;
    let links = links::around(connection, brand_id, chatroom.account_id).await?;
    let mut said = member_blocks::list(connection, &[(brand_id, chatroom)]).await?;
    let said = said
        .remove(&(brand_id.clone(), chatroom.id))
        .unwrap_or_default();
    let active = links.iter().filter(|link| link.is_active());
    let time = block::fact_time(*now, &said, active.map(|link| link.link_time));
    let pair = (chatroom.member_id, chatroom.account_id);
    member_blocks::upsert(connection, brand_id, pair, command.blocked, time).await?;
    let person = links.person_of(chatroom.account_id);
    let accounts: Vec<_> = person.accounts.into_iter().collect();
    let theirs =
        chatrooms::list_by_pair(connection, brand_id, &accounts, chatroom.member_id).await?;
    let change = |room: &Chatroom| Change::of_chatroom(brand_id, room, *now);
    Ok(theirs.iter().map(change).collect())
}
