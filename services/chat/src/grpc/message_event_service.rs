//! The stream of chat's events.

use domain::id::BrandId;
use futures_util::stream::BoxStream;
use kit::{
    access::{self, Principal},
    event_log::{Batch, EventFeed},
};
use rapport_proto::chat::v1::{
    WatchEventsRequest, WatchEventsResponse, message_event_service_server::MessageEventService,
};
use tonic::{Request, Response, Status};

use crate::error::ChatError;

/// Answers the methods of `MessageEventService`.
pub(crate) struct MessageEventGrpc(pub(crate) EventFeed);

#[tonic::async_trait]
impl MessageEventService for MessageEventGrpc {
    type WatchEventsStream = BoxStream<'static, Result<WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let principal = access::principal(&request).map_err(ChatError::from)?;
        let request = request.into_inner();
        let brand = brand(&principal, &request.brand_id)?;
        let events = self
            .0
            .watch(brand, &request.resume_position, Batch::chat)
            .map_err(ChatError::from)?;
        Ok(Response::new(events))
    }
}

/// Returns whose events are wanted; `None` is for the suite, which may read those of all Brands.
///
/// Chat does not know which Brands there are: to the suite one without events is like any other.
fn brand(principal: &Principal, requested: &str) -> Result<Option<BrandId>, ChatError> {
    if matches!(principal, Principal::Suite) && requested.is_empty() {
        return Ok(None);
    }
    match principal.brand_of_call(requested)? {
        Some(brand_id) => Ok(Some(brand_id)),
        None => Err(ChatError::BrandNotFound),
    }
}
