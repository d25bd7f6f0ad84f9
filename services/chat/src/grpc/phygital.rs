//! Codes for customers whom a Member meets in person.

use kit::{access::Principal, convert::timestamp, error::CallError, secret};
use rapport_proto::chat::v1 as chat;
use secrecy::ExposeSecret;

use super::caller;
use crate::{
    app::{App, StartPhygital},
    error::ChatError,
};

pub(super) async fn issue(
    app: &App,
    principal: Principal,
    request: chat::IssuePhygitalCodeRequest,
) -> Result<chat::IssuePhygitalCodeResponse, ChatError> {
    let caller = caller::participant(&principal, None, "")?;
    let key = app.request_key(&caller, "IssuePhygitalCode", &request.request_id, &request)?;
    let issued = app.issue_phygital_code(caller, key).await?;
    Ok(chat::IssuePhygitalCodeResponse {
        code: issued.code.expose_secret().to_owned(),
        expire_time: Some(timestamp(issued.expire_time)),
    })
}

pub(super) async fn start(
    app: &App,
    principal: Principal,
    request: chat::StartPhygitalChatroomRequest,
) -> Result<chat::StartPhygitalChatroomResponse, ChatError> {
    let caller = caller::participant(&principal, None, "")?;
    if request.code.is_empty() {
        return Err(CallError::field("code", "is required").into());
    }
    let command = StartPhygital {
        code_digest: secret::token_digest(&request.code),
        key: app.request_key(
            &caller,
            "StartPhygitalChatroom",
            &request.request_id,
            &request,
        )?,
    };
    let started = app.start_phygital(caller, command).await?;
    Ok(chat::StartPhygitalChatroomResponse {
        chatroom: Some(started.chatroom.into()),
        message: Some(started.message.into()),
        created: started.created,
    })
}
