//! Moving a read marker.

use domain::id::ChatroomId;
use kit::{
    db::Connection,
    error::CallError,
    request::{self, RequestKey},
};

use super::{App, Caller, Input, seen};
use crate::{
    error::ChatError,
    model::ReadMarker,
    store::{
        chatroom_changes::{self, Change},
        chatrooms, messages,
    },
};

/// Somebody has read up to a message.
#[derive(Clone, Debug)]
pub(crate) struct MarkRead {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// The sequence of that message.
    pub sequence: u64,
    /// What makes the call repeatable.
    pub key: RequestKey,
}

impl App {
    /// Moves the read marker of the caller's side forward, and returns where it stands; a smaller
    /// sequence changes nothing.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`]; [`CallError::FieldInvalid`] for a sequence that no message
    /// has; [`CallError::ConsistencyUnavailable`]; a reused request id.
    ///
    /// Source: SPEC 30.
    pub(crate) async fn mark_read(
        &self,
        caller: &Caller,
        command: MarkRead,
    ) -> Result<ReadMarker, ChatError> {
        let input = self.input(caller, command).await?;
        self.db
            .run_locked_tx("mark_read", input, |connection, input| {
                Box::pin(mark(connection, input))
            })
            .await
    }
}

async fn mark(
    connection: &mut Connection,
    input: &Input<MarkRead>,
) -> Result<ReadMarker, ChatError> {
    let Input {
        brand_id,
        party,
        command,
        ..
    } = input;
    let side = party.side();
    let chatroom = seen::lock(connection, brand_id, *party, command.chatroom_id).await?;
    // Looked for under the lock, so that of two equal calls at once the second finds the first.
    if request::find(connection, &command.key).await?.is_some() {
        return Ok(chatroom.marker(side));
    }
    if !(1..=chatroom.last_sequence()).contains(&command.sequence) {
        let problem = "must be the sequence of a message of the chatroom";
        return Err(CallError::field("sequence", problem).into());
    }
    let old = chatroom.marker(side);
    let mut new = old;
    if command.sequence > old.sequence {
        let (from, to) = (old.sequence, command.sequence);
        let read =
            messages::count_of_others(connection, brand_id, chatroom.id, side, from, to).await?;
        new = ReadMarker {
            sequence: to,
            unread_count: old.unread_count.saturating_sub(read),
        };
        chatrooms::update_marker(connection, brand_id, chatroom.id, side, new).await?;
        let change = Change::of_view(brand_id, &chatroom, side, input.now);
        chatroom_changes::append(connection, &[change]).await?;
    }
    request::keep(connection, &command.key, Vec::new(), input.now).await?;
    Ok(new)
}
