//! Opening, reading and listing chatrooms.

use kit::{access::Principal, convert::field, error::CallError};
use rapport_proto::chat::v1::{self as chat, ArchivedFilter as Wire};

use super::caller;
use crate::{
    app::{App, ArchivedFilter, ListChatrooms, MarkRead, OpenDirect, SetArchived, SetBlocked},
    convert::number,
    error::ChatError,
};

pub(super) async fn open_direct(
    app: &App,
    principal: Principal,
    request: chat::OpenDirectChatroomRequest,
) -> Result<chat::OpenDirectChatroomResponse, ChatError> {
    let caller = caller::visitor(&principal, &request.account_id, &request.consistency_token)?;
    let command = OpenDirect {
        member_id: field("member_id", request.member_id.parse())?,
        key: app.request_key(&caller, "OpenDirectChatroom", &request.request_id, &request)?,
    };
    let (view, created) = app.open_direct(&caller, command).await?;
    Ok(chat::OpenDirectChatroomResponse {
        chatroom: Some(view.into()),
        created,
    })
}

pub(super) async fn resume(
    app: &App,
    principal: Principal,
    request: chat::ResumeChatroomRequest,
) -> Result<chat::ResumeChatroomResponse, ChatError> {
    let caller = caller::visitor(&principal, &request.account_id, &request.consistency_token)?;
    let temporary = match request.temporary_account_id.as_str() {
        "" => None,
        id => Some(field("temporary_account_id", id.parse())?),
    };
    let view = app.resume_chatroom(&caller, temporary).await?;
    Ok(chat::ResumeChatroomResponse {
        chatroom: Some(view.into()),
    })
}

pub(super) async fn get(
    app: &App,
    principal: Principal,
    request: chat::GetChatroomRequest,
) -> Result<chat::GetChatroomResponse, ChatError> {
    let token = &request.consistency_token;
    let caller = caller::participant(&principal, request.acting_for, token)?;
    let id = field("chatroom_id", request.chatroom_id.parse())?;
    let view = app.get_chatroom(&caller, id).await?;
    Ok(chat::GetChatroomResponse {
        chatroom: Some(view.into()),
    })
}

pub(super) async fn list(
    app: &App,
    principal: Principal,
    request: chat::ListChatroomsRequest,
) -> Result<chat::ListChatroomsResponse, ChatError> {
    let archived = match Wire::try_from(request.archived) {
        Ok(Wire::Unspecified) => ArchivedFilter::All,
        Ok(Wire::NotArchived) => ArchivedFilter::NotArchived,
        Ok(Wire::Archived) => ArchivedFilter::Archived,
        Err(_) => return Err(CallError::field("archived", "is none of its values").into()),
    };
    let token = &request.consistency_token;
    let caller = caller::participant(&principal, request.acting_for, token)?;
    let query = ListChatrooms {
        archived,
        page_size: request.page_size,
        page_token: request.page_token,
    };
    let (views, next_page_token) = app.list_chatrooms(&caller, query).await?;
    Ok(chat::ListChatroomsResponse {
        chatrooms: views.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

pub(super) async fn mark_read(
    app: &App,
    principal: Principal,
    request: chat::MarkReadRequest,
) -> Result<chat::MarkReadResponse, ChatError> {
    let caller = caller::participant(&principal, request.acting_for.clone(), "")?;
    let command = MarkRead {
        chatroom_id: field("chatroom_id", request.chatroom_id.parse())?,
        sequence: field("sequence", u64::try_from(request.sequence))?,
        key: app.request_key(&caller, "MarkRead", &request.request_id, &request)?,
    };
    let marker = app.mark_read(&caller, command).await?;
    Ok(chat::MarkReadResponse {
        read_sequence: number(marker.sequence),
        unread_count: number(marker.unread_count),
    })
}

pub(super) async fn set_archived(
    app: &App,
    principal: Principal,
    request: chat::SetArchivedRequest,
) -> Result<chat::SetArchivedResponse, ChatError> {
    let caller = caller::participant(&principal, request.acting_for.clone(), "")?;
    let command = SetArchived {
        chatroom_id: field("chatroom_id", request.chatroom_id.parse())?,
        archived: request.archived,
        key: app.request_key(&caller, "SetArchived", &request.request_id, &request)?,
    };
    let view = app.set_archived(&caller, command).await?;
    Ok(chat::SetArchivedResponse {
        chatroom: Some(view.into()),
    })
}

pub(super) async fn set_blocked(
    app: &App,
    principal: Principal,
    request: chat::SetBlockedRequest,
) -> Result<chat::SetBlockedResponse, ChatError> {
    let caller = caller::participant(&principal, request.acting_for.clone(), "")?;
    let command = SetBlocked {
        chatroom_id: field("chatroom_id", request.chatroom_id.parse())?,
        blocked: request.blocked,
        key: app.request_key(&caller, "SetBlocked", &request.request_id, &request)?,
    };
    let view = app.set_blocked(&caller, command).await?;
    Ok(chat::SetBlockedResponse {
        chatroom: Some(view.into()),
    })
}
