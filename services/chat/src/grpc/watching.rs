//! Following chatrooms.

use futures_util::stream::{self, BoxStream, StreamExt};
use kit::{access::Principal, clock::Clock, convert::timestamp};
use rapport_proto::{
    chat::v1::{self as chat, watch_chatrooms_response::Update as Wire},
    event::v1::Heartbeat,
};
use tonic::Status;

use super::caller;
use crate::{
    app::{App, Told, Update, Watch},
    error::ChatError,
};

/// What is told of chatrooms.
pub(super) type Updates = BoxStream<'static, Result<chat::WatchChatroomsResponse, Status>>;

pub(super) async fn watch(
    app: &App,
    principal: Principal,
    request: chat::WatchChatroomsRequest,
) -> Result<Updates, ChatError> {
    let token = &request.consistency_token;
    let caller = caller::participant(&principal, request.acting_for, token)?;
    let watch = app
        .watch_chatrooms(caller, &request.resume_position)
        .await?;
    let watching = (watch, app.clock.clone());
    let told = stream::unfold(watching, |(mut watch, clock): (Watch, Clock)| async move {
        let told = watch.next().await?;
        let response = told
            .map(|told| response(told, &clock))
            .map_err(Status::from);
        Some((response, (watch, clock)))
    });
    Ok(told.boxed())
}

fn response(told: Told, clock: &Clock) -> chat::WatchChatroomsResponse {
    let update = match told.update {
        Update::Snapshot(views, complete) => Wire::Snapshot(chat::ChatroomSnapshot {
            chatrooms: views.into_iter().map(Into::into).collect(),
            complete,
        }),
        Update::Message(message) => Wire::Message((*message).clone().into()),
        Update::Chatroom(view) => Wire::Chatroom((*view).clone().into()),
        Update::Hidden(id) => Wire::Hidden(chat::ChatroomHidden {
            chatroom_id: id.to_string(),
        }),
        Update::Nothing => Wire::Heartbeat(Heartbeat {
            heartbeat_time: Some(timestamp(clock.now())),
        }),
    };
    chat::WatchChatroomsResponse {
        position: told.position,
        update: Some(update),
    }
}
