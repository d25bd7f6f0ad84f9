//! The stream of chat's events.

use domain::id::BrandId;
use futures_util::{StreamExt, stream::BoxStream};
use kit::{
    access::{self, Principal},
    clock::Clock,
    db::Db,
    event_log::{self, Start},
};
use rapport_proto::chat::v1::{
    WatchEventsRequest, WatchEventsResponse, message_event_service_server::MessageEventService,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::error::ChatError;

/// Answers the methods of `MessageEventService`.
pub(crate) struct MessageEventGrpc {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) shutdown: CancellationToken,
}

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
        let start = start(&request.resume_position)?;
        let batches = event_log::watch(self.db.clone(), start, brand, self.shutdown.clone());
        let clock = self.clock.clone();
        let responses = batches.map(move |batch| match batch {
            Ok(batch) => Ok(batch.chat(clock.now())),
            Err(error) => Err(ChatError::from(error).into()),
        });
        // The log ends only when the service stops; whoever reads it shall come back.
        let stopping = futures_util::stream::once(async { Err(ChatError::ShuttingDown.into()) });
        Ok(Response::new(responses.chain(stopping).boxed()))
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

fn start(resume_position: &str) -> Result<Start, ChatError> {
    if resume_position.is_empty() {
        return Ok(Start::Beginning);
    }
    resume_position
        .parse()
        .map(Start::After)
        .map_err(|event_log::InvalidPosition| ChatError::ResumePositionInvalid)
}
