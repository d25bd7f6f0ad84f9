//! Ratings: asked by the Member, answered by the visitor's side (SPEC 27).

use domain::{
    id::{BrandId, ChatroomId, MessageId},
    message::{MessageKind, MessageOrigin, Stars},
};
use kit::{
    convert::timestamp,
    db::Connection,
    directory::accounts,
    request::{self, RequestKey},
};
use rapport_proto::{
    chat::v1::{MessageContent, RatingContent, message_content::Content as Wire},
    event::v1::AccountState,
};

use super::{App, Caller, Input, SendMessage, seen};
use crate::{
    content::Content,
    error::ChatError,
    model::{Body, Chatroom, Message},
    store::{
        chatroom_changes::{self, Change},
        messages,
    },
};

/// A visitor answers a rating.
#[derive(Clone, Debug)]
pub(crate) struct AnswerRating {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// The message that asks.
    pub message_id: MessageId,
    /// How many stars he gives; none is an answer too, and not this one.
    pub stars: Stars,
    /// What he says to it; may be empty.
    pub comment: String,
    /// What makes the call repeatable.
    pub key: RequestKey,
}

impl App {
    /// Writes the message that asks for a rating, as [`App::send_message`] writes others; a repeated
    /// call returns the first one, with its answer if it has one.
    ///
    /// # Errors
    ///
    /// As [`App::send_message`], but for the kind of message.
    pub(crate) async fn request_rating(
        &self,
        caller: Caller,
        chatroom_id: ChatroomId,
        message_id: MessageId,
    ) -> Result<Message, ChatError> {
        let command = SendMessage {
            chatroom_id,
            message_id,
            content: Content::unanswered_rating(),
            origin: MessageOrigin::Written,
        };
        self.append_message(caller, command).await
    }

    /// Answers a rating, and returns the message with the answer; a repeated call returns it again.
    ///
    /// It changes what the message says and nothing else: the chatroom does not move, nothing
    /// becomes unread, and no event is told, because an answer is no evidence.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`], [`ChatError::MessageNotFound`], [`ChatError::NotARating`],
    /// [`ChatError::RatingAnswered`], [`ChatError::AccountErased`]; a reused request id;
    /// [`CallError::ConsistencyUnavailable`].
    ///
    /// Source: SPEC 27.
    ///
    /// [`CallError::ConsistencyUnavailable`]: kit::error::CallError::ConsistencyUnavailable
    pub(crate) async fn answer_rating(
        &self,
        caller: &Caller,
        command: AnswerRating,
    ) -> Result<Message, ChatError> {
        let input = self.input(caller, command).await?;
        self.db
            .run_locked_tx("answer_rating", input, |connection, input| {
                Box::pin(answer(connection, input))
            })
            .await
    }
}

async fn answer(
    connection: &mut Connection,
    input: &Input<AnswerRating>,
) -> Result<Message, ChatError> {
    let Input {
        brand_id,
        party,
        command,
        now,
    } = input;
    let (chatroom_id, message_id) = (command.chatroom_id, command.message_id);
    // Under the lock, an answer is seen by whoever erases, or sees that the account is erased.
    let chatroom = seen::lock(connection, brand_id, *party, chatroom_id).await?;
    let kept = request::find(connection, &command.key).await?;
    let mut message = messages::find(connection, brand_id, chatroom_id, message_id)
        .await?
        .ok_or(ChatError::MessageNotFound { message_id })?;
    if kept.is_some() {
        return Ok(message);
    }
    refuse_unanswerable(connection, brand_id, &chatroom, &message).await?;
    let said = RatingContent {
        score: Some(command.stars.get().into()),
        comment: command.comment.clone(),
        answer_time: Some(timestamp((*now).max(message.place.message_time))),
    };
    let content = MessageContent {
        content: Some(Wire::Rating(said)),
    };
    let sequence = message.place.sequence;
    messages::update_content(connection, brand_id, chatroom_id, sequence, &content).await?;
    message.body = Body::Kept(content);
    let change = Change::of_message(brand_id, &chatroom, sequence, *now);
    chatroom_changes::append(connection, &[change]).await?;
    request::keep(connection, &command.key, Vec::new(), *now).await?;
    Ok(message)
}

async fn refuse_unanswerable(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom: &Chatroom,
    message: &Message,
) -> Result<(), ChatError> {
    let (account_id, message_id) = (chatroom.account_id, message.id);
    if message.kind != MessageKind::Rating {
        return Err(ChatError::NotARating { message_id });
    }
    let account = accounts::find(connection, brand_id, account_id).await?;
    if account.is_some_and(|account| account.state == AccountState::Erased) {
        return Err(ChatError::AccountErased { account_id });
    }
    match &message.body {
        Body::Erased(_) => Err(ChatError::AccountErased { account_id }),
        Body::Kept(content) => match &content.content {
            Some(Wire::Rating(said)) if said.answer_time.is_some() => {
                Err(ChatError::RatingAnswered { message_id })
            }
            _ => Ok(()),
        },
    }
}
