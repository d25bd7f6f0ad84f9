//! Writing a message.

use std::sync::Arc;

use domain::{
    id::{ChatroomId, MessageId},
    message::{MessageOrigin, Side},
};
use kit::{error::CallError, telemetry};

use super::{
    App, Caller,
    append::{Appended, Draft},
};
use crate::{content::Content, error::ChatError, model::Message};

/// Somebody writes a message.
#[derive(Clone, Debug)]
pub(crate) struct SendMessage {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// The message's id; it makes the call repeatable.
    pub message_id: MessageId,
    /// What is said.
    pub content: Content,
    /// How it came about; what people send is written.
    pub origin: MessageOrigin,
}

impl App {
    /// Stores a message with its event, and returns it; a repeated call returns the first one.
    ///
    /// It shares its commit with those that are sent at the same time, and is carried out also when
    /// the caller goes away.
    ///
    /// # Errors
    ///
    /// [`ChatError::MessageKindNotAllowed`], [`ChatError::ChatroomNotFound`],
    /// [`ChatError::ImageNotFound`], [`ChatError::MessageIdReused`], [`ChatError::AccountErased`],
    /// [`ChatError::MemberDeactivated`], [`CallError::ConsistencyUnavailable`];
    /// [`ChatError::Overloaded`] when too many wait already.
    ///
    /// Source: SPEC 26 to 29, 32.
    pub(crate) async fn send_message(
        &self,
        caller: Caller,
        command: SendMessage,
    ) -> Result<Message, ChatError> {
        let sender = if caller.is_service {
            Side::Service
        } else {
            caller.party.side()
        };
        let kind = command.content.kind();
        if !kind.may_be_sent_by(sender, command.origin) {
            return Err(ChatError::MessageKindNotAllowed { kind });
        }
        self.append_message(caller, command).await
    }

    /// As [`App::send_message`], of a kind and origin that the caller of this has looked at.
    pub(super) async fn append_message(
        &self,
        caller: Caller,
        command: SendMessage,
    ) -> Result<Message, ChatError> {
        let draft = Arc::new(Draft {
            caller,
            command,
            event_id: self.ids.next(),
            now: self.clock.now(),
            trace_parent: telemetry::trace_parent(),
        });
        if let Appended::Message(message) = self.appender.append(Arc::clone(&draft)).await? {
            return Ok(Arc::unwrap_or_clone(message));
        }
        self.catch_up(&draft.caller).await?;
        // What is known only grows, so nothing is needed any more.
        let mut caught_up = Draft::clone(&draft);
        caught_up.caller.needed = None;
        match self.appender.append(Arc::new(caught_up)).await? {
            Appended::Message(message) => Ok(Arc::unwrap_or_clone(message)),
            Appended::Behind => Err(CallError::ConsistencyUnavailable.into()),
        }
    }
}
