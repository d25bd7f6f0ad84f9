//! Reads the event log of another service and applies it to one's own database.
//!
//! The cursor moves in the transaction of the effects, so each event is applied at least once and
//! its effects are those of once; it says only where to resume, never what is known.

mod progress;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, upsert::excluded};
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use rapport_proto::{
    chat::v1::{self as chat, message_event_service_client::MessageEventServiceClient},
    event::v1::{Event, event::Payload},
    identity::v1::{self as identity, link_service_client::LinkServiceClient},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::progress::Progress;
use crate::{
    access::SuiteChannel,
    backoff::Backoff,
    clock::Clock,
    db::{Connection, Db, Sql, StoreError, schema::event_cursor},
    event_log::Batch,
    query,
    telemetry::Causes,
};

/// A log that sends nothing for so long, not even a heartbeat, is connected to anew.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// The log of another service.
#[derive(Clone)]
pub enum EventSource {
    /// Accounts, links, sessions, Members, Brands.
    Identity(LinkServiceClient<SuiteChannel>),
    /// Chatrooms and messages.
    Chat(MessageEventServiceClient<SuiteChannel>),
}

impl EventSource {
    fn name(&self) -> &'static str {
        match self {
            Self::Identity(_) => "identity",
            Self::Chat(_) => "chat",
        }
    }

    async fn watch(
        &self,
        resume_position: String,
    ) -> Result<BoxStream<'static, Result<Batch, Status>>, Status> {
        match self {
            Self::Identity(client) => {
                let request = identity::WatchEventsRequest {
                    resume_position,
                    ..Default::default()
                };
                let stream = client.clone().watch_events(request).await?.into_inner();
                Ok(stream.map(|response| response.map(Batch::from)).boxed())
            }
            Self::Chat(client) => {
                let request = chat::WatchEventsRequest {
                    resume_position,
                    ..Default::default()
                };
                let stream = client.clone().watch_events(request).await?.into_inner();
                Ok(stream.map(|response| response.map(Batch::from)).boxed())
            }
        }
    }
}

/// Applies the events of a batch in the transaction of `connection`.
///
/// It must not depend on the order of events nor on how often it sees one: each carries the whole
/// state of its subject and a revision, and the greatest wins (SPEC 51).
pub type Apply = for<'a> fn(
    &'a mut Connection,
    &'a Batch,
    DateTime<Utc>,
) -> BoxFuture<'a, Result<(), StoreError>>;

/// Follows a log until `shutdown`: applies each batch, then lets `observe` see it.
///
/// `observe` is for what the process remembers besides its database, and for waking those who wait;
/// heartbeats, which hold no events, go to it alone. A failure is logged and the log is read again
/// from the kept position, after a wait that grows to five seconds as long as nothing is applied. So
/// an event that cannot be applied is neither skipped nor tried without pause: it is an error in the
/// log until somebody looks.
pub async fn follow(
    source: EventSource,
    db: Db,
    clock: Clock,
    apply: Apply,
    observe: impl Fn(&Batch) + Send,
    shutdown: CancellationToken,
) {
    let name = source.name();
    let mut backoff = Backoff::new();
    let progress = Progress::new(db.service(), name);
    let present = clock.clone();
    let observe = move |batch: &Batch| {
        progress.note(batch, present.now());
        observe(batch);
    };
    loop {
        let read = read(&source, &db, &clock, apply, &observe, &mut backoff);
        let failure = tokio::select! {
            () = shutdown.cancelled() => return,
            failure = read => failure,
        };
        let retry = backoff.wait();
        failure.log(name, retry);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(retry) => {}
        }
    }
}

/// Why the reading of a log ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the log does not answer")]
    Status(#[source] Box<Status>),
    #[error("the log ended")]
    Ended,
    #[error("the log fell silent")]
    Silent,
    #[error("the position cannot be read")]
    Position(#[source] StoreError),
    #[error("events cannot be applied")]
    Apply(#[source] StoreError),
}

impl Failure {
    /// Logs the failure with its causes: as an error where it will not pass by itself.
    fn log(&self, source: &str, retry: Duration) {
        let (error, retry_ms) = (self as &dyn std::error::Error, retry.as_millis());
        match self {
            Self::Apply(
                StoreError::Corrupt { .. }
                | StoreError::Constraint { .. }
                | StoreError::Query(_)
                | StoreError::Defect(_),
            ) => tracing::error!(source, retry_ms, error, "events of {source} are stuck"),
            _ => tracing::warn!(source, retry_ms, error, "log of {source} is lost"),
        }
    }
}

/// Reads until something fails, and returns what.
async fn read(
    source: &EventSource,
    db: &Db,
    clock: &Clock,
    apply: Apply,
    observe: &(impl Fn(&Batch) + Send),
    backoff: &mut Backoff,
) -> Failure {
    let name = source.name();
    let position = match cursor(db, name).await {
        Ok(position) => position,
        Err(error) => return Failure::Position(error),
    };
    let mut batches = match tokio::time::timeout(SILENCE_LIMIT, source.watch(position)).await {
        Ok(Ok(batches)) => batches,
        Ok(Err(status)) => return Failure::Status(status.into()),
        Err(_) => return Failure::Silent,
    };
    loop {
        let batch = match tokio::time::timeout(SILENCE_LIMIT, batches.next()).await {
            Ok(Some(Ok(batch))) => batch,
            Ok(Some(Err(status))) => return Failure::Status(status.into()),
            Ok(None) => return Failure::Ended,
            Err(_) => return Failure::Silent,
        };
        if !batch.events.is_empty() {
            let input = (name, batch.clone(), clock.now(), apply);
            let applied = db.run_tx("apply_events", input, |connection, input| {
                Box::pin(apply_batch(connection, input))
            });
            let events = batch.events.iter();
            let causes = Causes::of(events.map(|event| (span_name(event), &*event.trace_parent)));
            if let Err(error) = causes.run(applied).await {
                return Failure::Apply(error);
            }
        }
        // Not before: what cannot be applied arrives well each time.
        backoff.reset();
        observe(&batch);
    }
}

/// Returns what the applying of an event is called in its trace.
fn span_name(event: &Event) -> &'static str {
    match &event.payload {
        Some(Payload::AccountChanged(_)) => "apply AccountChanged",
        Some(Payload::LinkChanged(_)) => "apply LinkChanged",
        Some(Payload::AccountErased(_)) => "apply AccountErased",
        Some(Payload::SessionsRevoked(_)) => "apply SessionsRevoked",
        Some(Payload::MemberChanged(_)) => "apply MemberChanged",
        Some(Payload::BrandChanged(_)) => "apply BrandChanged",
        Some(Payload::ChatroomOpened(_)) => "apply ChatroomOpened",
        Some(Payload::MessageSent(_)) => "apply MessageSent",
        None => "apply",
    }
}

/// Applies a batch and moves the cursor behind it, in one transaction.
async fn apply_batch(
    connection: &mut Connection,
    (source, batch, now, apply): &(&'static str, Batch, DateTime<Utc>, Apply),
) -> Result<(), StoreError> {
    apply(connection, batch, *now).await?;
    move_cursor(connection, source, &batch.position, *now).await
}

async fn cursor(db: &Db, source: &str) -> Result<String, StoreError> {
    let mut connection = db.read().await?;
    let position: Option<String> = query!(&mut *connection, |c| event_cursor::table
        .find(source)
        .select(event_cursor::position)
        .first(c)
        .await
        .optional())?;
    Ok(position.unwrap_or_default())
}

async fn move_cursor(
    connection: &mut Connection,
    source: &str,
    position: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(event_cursor::table)
        .values((
            event_cursor::source.eq(source),
            event_cursor::position.eq(position),
            event_cursor::update_time.eq(Sql(now)),
        ))
        .on_conflict(event_cursor::source)
        .do_update()
        .set((
            event_cursor::position.eq(excluded(event_cursor::position)),
            event_cursor::update_time.eq(excluded(event_cursor::update_time)),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

#[cfg(test)]
mod tests;
