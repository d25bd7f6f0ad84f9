//! Writing and listing messages.

use domain::message::{MessageOrigin, Stars};
use kit::{access::Principal, convert::field, error::CallError};
use rapport_proto::chat::v1::{self as chat, MessageOrder as Wire};

use super::caller;
use crate::{
    app::{AnswerRating, App, ListMessages, ListPersonMessages, MessageOrder, Party, SendMessage},
    content::{Content, comment},
    error::ChatError,
};

pub(super) async fn send(
    app: &App,
    principal: Principal,
    request: chat::SendMessageRequest,
) -> Result<chat::SendMessageResponse, ChatError> {
    let token = &request.consistency_token;
    let caller = caller::sender(&principal, request.acting_for, token)?;
    let command = SendMessage {
        chatroom_id: field("chatroom_id", request.chatroom_id.parse())?,
        message_id: field("message_id", request.message_id.parse())?,
        content: Content::parse(request.content)?,
        origin: if request.automatic {
            MessageOrigin::Automatic
        } else {
            MessageOrigin::Written
        },
    };
    let message = app.send_message(caller, command).await?;
    Ok(chat::SendMessageResponse {
        message: Some(message.into()),
    })
}

pub(super) async fn list(
    app: &App,
    principal: Principal,
    request: chat::ListMessagesRequest,
) -> Result<chat::ListMessagesResponse, ChatError> {
    let order = match Wire::try_from(request.order) {
        Ok(Wire::Unspecified | Wire::NewestFirst) => MessageOrder::NewestFirst,
        Ok(Wire::OldestFirst) => MessageOrder::OldestFirst,
        Err(_) => return Err(CallError::field("order", "is none of its values").into()),
    };
    let token = &request.consistency_token;
    let caller = caller::participant(&principal, request.acting_for, token)?;
    let query = ListMessages {
        chatroom_id: field("chatroom_id", request.chatroom_id.parse())?,
        order,
        page_size: request.page_size,
        page_token: request.page_token,
    };
    let (messages, next_page_token) = app.list_messages(&caller, query).await?;
    Ok(chat::ListMessagesResponse {
        messages: messages.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

pub(super) async fn request_rating(
    app: &App,
    principal: Principal,
    request: chat::RequestRatingRequest,
) -> Result<chat::RequestRatingResponse, ChatError> {
    let caller = caller::participant(&principal, request.acting_for, "")?;
    let Party::Member(_) = caller.party else {
        return Err(CallError::field("acting_for", "must name a Member").into());
    };
    let chatroom_id = field("chatroom_id", request.chatroom_id.parse())?;
    let message_id = field("message_id", request.message_id.parse())?;
    let message = app.request_rating(caller, chatroom_id, message_id).await?;
    Ok(chat::RequestRatingResponse {
        message: Some(message.into()),
    })
}

pub(super) async fn answer_rating(
    app: &App,
    principal: Principal,
    request: chat::AnswerRatingRequest,
) -> Result<chat::AnswerRatingResponse, ChatError> {
    let caller = caller::participant(&principal, request.acting_for.clone(), "")?;
    let (Party::Temporary(_) | Party::Person(_)) = caller.party else {
        return Err(CallError::field("acting_for", "must name a visitor").into());
    };
    let score = request
        .score
        .ok_or_else(|| CallError::field("score", "is required"))?;
    let command = AnswerRating {
        chatroom_id: field("chatroom_id", request.chatroom_id.parse())?,
        message_id: field("message_id", request.message_id.parse())?,
        stars: field("score", Stars::new(u8::try_from(score).unwrap_or(u8::MAX)))?,
        comment: comment("comment", &request.comment)?.to_owned(),
        key: app.request_key(&caller, "AnswerRating", &request.request_id, &request)?,
    };
    let message = app.answer_rating(&caller, command).await?;
    Ok(chat::AnswerRatingResponse {
        message: Some(message.into()),
    })
}

pub(super) async fn list_of_person(
    app: &App,
    principal: Principal,
    request: chat::ListPersonMessagesRequest,
) -> Result<chat::ListPersonMessagesResponse, ChatError> {
    let token = &request.consistency_token;
    let caller = caller::participant(&principal, request.acting_for, token)?;
    let account_id = match (request.account_id.as_str(), caller.party) {
        ("", Party::Member(_)) => return Err(CallError::field("account_id", "is required").into()),
        ("", _) => None,
        (id, _) => Some(field("account_id", id.parse())?),
    };
    let query = ListPersonMessages {
        account_id,
        page_size: request.page_size,
        page_token: request.page_token,
    };
    let (messages, next_page_token) = app.list_person_messages(&caller, query).await?;
    Ok(chat::ListPersonMessagesResponse {
        messages: messages.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}
