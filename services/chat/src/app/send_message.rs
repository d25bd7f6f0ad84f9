//! Writing a message.

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, ChatroomId, EventId, MessageId},
    message::{MessageKind, MessageOrigin, Place, Side},
};
use kit::{
    db::Connection,
    directory::{accounts, members},
    event_log,
};
use rapport_proto::event::v1::AccountState;

use super::{App, Caller, seen};
use crate::{
    content::Content,
    error::ChatError,
    events,
    model::{Body, Chatroom, Message},
    store::{chatrooms, messages},
};

/// Somebody writes a message.
#[derive(Clone, Debug)]
pub(crate) struct SendMessage {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// The message's id; it makes the call repeatable.
    pub message_id: MessageId,
    /// What is said.
    pub content: Content,
    /// Whether a service says that it was written automatically.
    pub automatic: bool,
}

struct Input {
    brand_id: BrandId,
    caller: Caller,
    command: SendMessage,
    event_id: EventId,
    now: DateTime<Utc>,
}

impl App {
    /// Stores a message with its event, and returns it; a repeated call returns the first one.
    ///
    /// # Errors
    ///
    /// [`ChatError::MessageKindNotAllowed`], [`ChatError::ChatroomNotFound`],
    /// [`ChatError::ImageNotFound`], [`ChatError::MessageIdReused`], [`ChatError::AccountErased`],
    /// [`ChatError::MemberDeactivated`], [`ChatError::ConsistencyUnavailable`].
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
        if !kind.may_be_sent_by(sender, command.origin()) {
            return Err(ChatError::MessageKindNotAllowed { kind });
        }
        self.catch_up(&caller).await?;
        let input = Input {
            brand_id: caller.brand_id.clone(),
            caller,
            command,
            event_id: self.ids.next(),
            now: self.clock.now(),
        };
        self.db
            .run_locked_tx("send_message", input, |connection, input| {
                Box::pin(send(connection, input))
            })
            .await
    }
}

impl SendMessage {
    fn origin(&self) -> MessageOrigin {
        if self.automatic {
            MessageOrigin::Automatic
        } else {
            MessageOrigin::Written
        }
    }
}

async fn send(connection: &mut Connection, input: &Input) -> Result<Message, ChatError> {
    let Input {
        brand_id,
        caller,
        command,
        ..
    } = input;
    let chatroom = seen::lock(connection, brand_id, caller.party, command.chatroom_id).await?;
    let sent = messages::find(connection, brand_id, chatroom.id, command.message_id).await?;
    let message = draft(input, &chatroom);
    if let Some(sent) = sent {
        return repeated(sent, &message);
    }
    refuse_unwritable(connection, brand_id, &chatroom).await?;
    if message.kind == MessageKind::Image {
        // Until images can be uploaded there is none that a message could show.
        return Err(ChatError::ImageNotFound);
    }
    let chatroom = chatroom.after(&message);
    chatrooms::append(connection, brand_id, &chatroom, &message).await?;
    let event = events::message_sent(input.event_id, brand_id, &chatroom, &message);
    event_log::append(connection, &[event]).await?;
    Ok(message)
}

/// Returns the message as it stands when it is the next one of `chatroom`.
fn draft(input: &Input, chatroom: &Chatroom) -> Message {
    let Input {
        caller, command, ..
    } = input;
    Message {
        id: command.message_id,
        chatroom_id: chatroom.id,
        place: Place::following(chatroom.last, input.now),
        author: caller.party.author(),
        kind: command.content.kind(),
        origin: command.origin(),
        body: Body::Kept(command.content.clone().into_wire()),
    }
}

/// Returns the first message of that id, if `again` is the same but for its place.
///
/// What has been erased since cannot be compared any more: then author, kind and origin decide.
fn repeated(first: Message, again: &Message) -> Result<Message, ChatError> {
    let same_body = match (&first.body, &again.body) {
        (Body::Kept(first), Body::Kept(again)) => first == again,
        (Body::Erased(_), _) | (_, Body::Erased(_)) => true,
    };
    let same = same_body
        && (first.author, first.kind, first.origin) == (again.author, again.kind, again.origin);
    if same {
        Ok(first)
    } else {
        Err(ChatError::MessageIdReused {
            message_id: first.id,
        })
    }
}

/// Refuses a chatroom whose visitor is erased, or whose Member is deactivated.
///
/// A participant of whom no event has arrived yet is neither.
async fn refuse_unwritable(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom: &Chatroom,
) -> Result<(), ChatError> {
    let Chatroom {
        account_id,
        member_id,
        ..
    } = *chatroom;
    let account = accounts::find(connection, brand_id, account_id).await?;
    if account.is_some_and(|account| account.state == AccountState::Erased) {
        return Err(ChatError::AccountErased { account_id });
    }
    match members::find_active(connection, brand_id, member_id).await? {
        Some(false) => Err(ChatError::MemberDeactivated { member_id }),
        Some(true) | None => Ok(()),
    }
}
