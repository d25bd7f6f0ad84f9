//! The log as `WatchEvents` gives it to other programs, the same for each service that has one.

use chrono::{DateTime, Utc};
use domain::id::BrandId;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use rapport_proto::event::v1::{EventBatch, Heartbeat};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Batch, Start, watch};
use crate::{clock::Clock, convert, db::Db, error::CallError};

/// What a service answers `WatchEvents` with.
#[derive(Clone)]
pub struct EventFeed {
    /// The `ErrorInfo` domain of the service.
    pub domain: &'static str,
    /// Whose log it is.
    pub db: Db,
    /// Dates the heartbeats.
    pub clock: Clock,
    /// Ends the streams when the service stops.
    pub shutdown: CancellationToken,
}

impl EventFeed {
    /// Returns the responses from behind `resume_position` on, or all where it is empty; with `brand`
    /// that Brand's alone. `response` makes one of a batch: [`Batch::identity`], [`Batch::chat`].
    ///
    /// The log has no end: the responses end with [`CallError::ShuttingDown`], when the service stops,
    /// or behind what the database fails with.
    ///
    /// # Errors
    ///
    /// [`CallError::ResumePositionInvalid`] when no log gave the position.
    pub fn watch<T: Send + 'static>(
        &self,
        brand: Option<BrandId>,
        resume_position: &str,
        response: fn(Batch, DateTime<Utc>) -> T,
    ) -> Result<BoxStream<'static, Result<T, Status>>, CallError> {
        let start = match resume_position {
            "" => Start::Beginning,
            position => Start::After(
                position
                    .parse()
                    .map_err(|_| CallError::ResumePositionInvalid)?,
            ),
        };
        let (clock, domain) = (self.clock.clone(), self.domain);
        let refused = move |error: CallError| error.refusal().into_status(domain);
        let batches = watch(self.db.clone(), start, brand, self.shutdown.clone());
        let responses = batches.map(move |batch| match batch {
            Ok(batch) => Ok(response(batch, clock.now())),
            Err(error) => Err(refused(error.into())),
        });
        let end = stream::once(async move { Err(refused(CallError::ShuttingDown)) });
        Ok(responses.chain(end).boxed())
    }
}

macro_rules! watch_responses {
    ($($package:ident),+) => {$(
        impl From<rapport_proto::$package::v1::WatchEventsResponse> for Batch {
            fn from(response: rapport_proto::$package::v1::WatchEventsResponse) -> Self {
                use rapport_proto::$package::v1::watch_events_response::Content;
                let batch = match response.content {
                    Some(Content::Batch(batch)) => batch,
                    Some(Content::Heartbeat(_)) | None => EventBatch::default(),
                };
                Self {
                    events: batch.events,
                    position: response.position,
                    unread_count: batch.unread_count,
                }
            }
        }
        impl Batch {
            /// Returns the batch as a response of this package's `WatchEvents`, sent at `now`.
            pub fn $package(self, now: DateTime<Utc>) -> rapport_proto::$package::v1::WatchEventsResponse {
                use rapport_proto::$package::v1::watch_events_response::Content;
                let content = if self.events.is_empty() {
                    Content::Heartbeat(Heartbeat { heartbeat_time: Some(convert::timestamp(now)) })
                } else {
                    Content::Batch(EventBatch {
                        events: self.events,
                        unread_count: self.unread_count,
                    })
                };
                rapport_proto::$package::v1::WatchEventsResponse {
                    position: self.position,
                    content: Some(content),
                }
            }
        }
    )+};
}

watch_responses!(identity, chat);
