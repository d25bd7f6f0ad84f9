//! Archiving a chatroom for one side.

use domain::id::ChatroomId;
use kit::{
    db::Connection,
    request::{self, RequestKey},
};

use super::{App, Caller, ChatroomView, Input, seen};
use crate::{
    error::ChatError,
    store::{
        chatroom_changes::{self, Change},
        chatrooms,
    },
};

/// Somebody puts a chatroom away, or takes it back.
#[derive(Clone, Debug)]
pub(crate) struct SetArchived {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// Whether it is archived from now on.
    pub archived: bool,
    /// What makes the call repeatable.
    pub key: RequestKey,
}

impl App {
    /// Sets whether the caller's side has archived a chatroom, and returns it; a repeated call
    /// changes nothing more.
    ///
    /// It stays so until the side says otherwise: a message brings nothing back, since only messages
    /// move the list and nothing but this call what of it is shown.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`]; [`CallError::ConsistencyUnavailable`]; a reused request id.
    ///
    /// Source: SPEC 30.
    ///
    /// [`CallError::ConsistencyUnavailable`]: kit::error::CallError::ConsistencyUnavailable
    pub(crate) async fn set_archived(
        &self,
        caller: &Caller,
        command: SetArchived,
    ) -> Result<ChatroomView, ChatError> {
        let chatroom_id = command.chatroom_id;
        let input = self.input(caller, command).await?;
        self.db
            .run_locked_tx("set_archived", input, |connection, input| {
                Box::pin(set(connection, input))
            })
            .await?;
        self.get_chatroom(caller, chatroom_id).await
    }
}

async fn set(connection: &mut Connection, input: &Input<SetArchived>) -> Result<(), ChatError> {
    let Input {
        brand_id,
        party,
        command,
        ..
    } = input;
    let (id, archived) = (command.chatroom_id, command.archived);
    let chatroom = seen::lock(connection, brand_id, *party, id).await?;
    // Looked for under the lock, so that of two equal calls at once the second finds the first.
    if request::find(connection, &command.key).await?.is_some() {
        return Ok(());
    }
    if chatroom.is_archived_by(party.side()) != archived {
        chatrooms::update_archived(connection, brand_id, id, party.side(), archived).await?;
        let change = Change::of_view(brand_id, &chatroom, party.side(), input.now);
        chatroom_changes::append(connection, &[change]).await?;
    }
    Ok(request::keep(connection, &command.key, Vec::new(), input.now).await?)
}
