//! Writing and listing messages.

use kit::{access::Principal, convert::field, error::CallError};
use rapport_proto::chat::v1::{self as chat, MessageOrder as Wire};

use super::caller;
use crate::{
    app::{App, ListMessages, MessageOrder, SendMessage},
    content::Content,
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
        automatic: request.automatic,
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
