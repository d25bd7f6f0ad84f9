//! Reads the event log of another service and applies it to one's own database.
//!
//! The cursor moves in the transaction of the effects, so each event is applied at least once and
//! its effects are those of once; it says only where to resume, never what is known.

mod progress;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, upsert::excluded};
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream::BoxStream};
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
    broker::{BrokerError, Delivery, Reader},
    clock::Clock,
    config::ServiceName,
    db::{Connection, Db, Sql, StoreError, schema::event_cursor},
    event_log::Batch,
    query,
    telemetry::Causes,
};

/// A log that sends nothing for so long, not even a heartbeat, is connected to anew.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// How often events are tried before those that cannot be applied are set aside, if there is a broker to
/// keep them.
const TRIES: u32 = 5;

/// The log of another service.
#[derive(Clone)]
pub enum EventSource {
    /// Accounts, links, sessions, Members, Brands.
    Identity(LinkServiceClient<SuiteChannel>),
    /// Chatrooms and messages.
    Chat(MessageEventServiceClient<SuiteChannel>),
    /// Either of them, by way of the broker.
    Broker(Box<Reader>),
}

impl EventSource {
    fn name(&self) -> &'static str {
        match self {
            Self::Identity(_) => ServiceName::Identity.as_str(),
            Self::Chat(_) => ServiceName::Chat.as_str(),
            Self::Broker(reader) => reader.log().as_str(),
        }
    }

    /// Returns what comes behind `resume_position`; with `is_first_alone` the broker's first message is not
    /// joined with others, which have not failed.
    async fn watch(
        &self,
        resume_position: String,
        is_first_alone: bool,
    ) -> Result<BoxStream<'static, Result<Delivery, Failure>>, Failure> {
        match self {
            Self::Identity(client) => {
                let request = identity::WatchEventsRequest {
                    resume_position,
                    ..Default::default()
                };
                let stream = client.clone().watch_events(request).await?.into_inner();
                let batches = stream.map_ok(|response| Delivery::from(Batch::from(response)));
                Ok(batches.map_err(Failure::from).boxed())
            }
            Self::Chat(client) => {
                let request = chat::WatchEventsRequest {
                    resume_position,
                    ..Default::default()
                };
                let stream = client.clone().watch_events(request).await?.into_inner();
                let batches = stream.map_ok(|response| Delivery::from(Batch::from(response)));
                Ok(batches.map_err(Failure::from).boxed())
            }
            Self::Broker(reader) => {
                let deliveries = reader.watch(&resume_position, is_first_alone).await?;
                Ok(deliveries.map_err(Failure::from).boxed())
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

/// Returns the place in the log of `source` up to which the service, in whatever process, has applied events.
///
/// # Errors
///
/// What the database fails with.
pub async fn place(db: &Db, source: ServiceName) -> Result<String, StoreError> {
    let mut connection = db.read().await?;
    let position: Option<String> = query!(&mut *connection, |c| event_cursor::table
        .find(source.as_str())
        .select(event_cursor::position)
        .first(c)
        .await
        .optional())?;
    Ok(position.unwrap_or_default())
}

/// Follows a log from `place` until `shutdown`: applies each batch, then lets `observe` see it.
///
/// Each process goes on from where it was itself, not from the cursor, which other replicas move: it has to
/// observe also what they have applied. So `place` is [`place`] as it was read before what the process
/// remembers was loaded.
///
/// `observe` is for what the process remembers besides its database, and for waking those who wait;
/// heartbeats, which hold no events, go to it alone. A failure is logged and the log is read again
/// from the kept position, after a wait that grows to five seconds as long as nothing is applied. So
/// an event that cannot be applied is neither skipped nor tried without pause: it is an error in the
/// log until somebody looks. Where a broker keeps dead letters, it becomes one at the fifth try, and the
/// others go on.
pub async fn follow(
    source: EventSource,
    mut place: String,
    db: Db,
    clock: Clock,
    apply: Apply,
    observe: impl Fn(&Batch) + Send,
    shutdown: CancellationToken,
) {
    let progress = Progress::new(db.service(), source.name());
    let present = clock.clone();
    let observe = move |batch: &Batch| {
        progress.note(batch, present.now());
        observe(batch);
    };
    let consumer = Consumer {
        name: source.name(),
        source,
        db,
        clock,
        apply,
    };
    let mut tries = Tries::default();
    loop {
        let failure = tokio::select! {
            () = shutdown.cancelled() => return,
            failure = consumer.read(&mut place, &observe, &mut tries) => failure,
        };
        if failure.is_lasting() {
            tries.failed += 1;
        }
        let retry = tries.backoff.wait();
        failure.log(consumer.name, retry);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(retry) => {}
        }
    }
}

/// What has been tried since something was applied.
#[derive(Default)]
struct Tries {
    backoff: Backoff,
    /// How often the same events could not be applied.
    failed: u32,
}

/// Why the reading of a log ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the log does not answer")]
    Status(#[source] Box<Status>),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the log ended")]
    Ended,
    #[error("the log fell silent")]
    Silent,
    #[error("events cannot be applied")]
    Apply(#[source] StoreError),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Failure {
    /// Tells whether events failed by themselves, and will again.
    fn is_lasting(&self) -> bool {
        matches!(self, Self::Apply(error) if error.is_lasting())
    }

    /// Logs the failure with its causes: as an error where it will not pass by itself.
    fn log(&self, source: &str, retry: Duration) {
        let (error, retry_ms) = (self as &dyn std::error::Error, retry.as_millis());
        match self {
            Self::Broker(BrokerError::Gap { .. }) => {
                tracing::error!(source, retry_ms, error, "events of {source} are missing");
            }
            _ if self.is_lasting() => {
                tracing::error!(source, retry_ms, error, "events of {source} are stuck");
            }
            _ => tracing::warn!(source, retry_ms, error, "log of {source} is lost"),
        }
    }
}

/// Who follows a log.
struct Consumer {
    name: &'static str,
    source: EventSource,
    db: Db,
    clock: Clock,
    apply: Apply,
}

impl Consumer {
    /// Reads from `place`, which moves with what is applied, until something fails, and returns what.
    async fn read(
        &self,
        place: &mut String,
        observe: &(impl Fn(&Batch) + Send),
        tries: &mut Tries,
    ) -> Failure {
        let watching = self.source.watch(place.clone(), tries.failed > 0);
        let mut deliveries = match tokio::time::timeout(SILENCE_LIMIT, watching).await {
            Ok(Ok(deliveries)) => deliveries,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::Silent,
        };
        loop {
            let delivery = match tokio::time::timeout(SILENCE_LIMIT, deliveries.next()).await {
                Ok(Some(Ok(delivery))) => delivery,
                Ok(Some(Err(failure))) => return failure,
                Ok(None) => return Failure::Ended,
                Err(_) => return Failure::Silent,
            };
            if let Err(failure) = self.receive(&delivery, tries.failed).await {
                return failure;
            }
            // Not before: what cannot be applied arrives well each time.
            tries.backoff.reset();
            if !delivery.batch.events.is_empty() {
                tries.failed = 0;
                place.clone_from(&delivery.batch.position);
            }
            observe(&delivery.batch);
            if let Err(error) = delivery.acknowledge().await {
                return error.into();
            }
        }
    }

    /// Applies the events of a delivery; at the last try one by one, without those that fail.
    async fn receive(&self, delivery: &Delivery, failed: u32) -> Result<(), Failure> {
        let batch = &delivery.batch;
        if batch.events.is_empty() {
            return Ok(());
        }
        let error = match self.apply(batch.clone()).await {
            Err(error) if error.is_lasting() && failed + 1 >= TRIES => error,
            applied => return applied.map_err(Failure::Apply),
        };
        let EventSource::Broker(reader) = &self.source else {
            return Err(Failure::Apply(error));
        };
        for event in &batch.events {
            let alone = Batch {
                events: vec![event.clone()],
                position: String::new(),
                unread_count: 0,
            };
            match self.apply(alone).await {
                Err(error) if error.is_lasting() => {
                    reader.set_aside(event, delivery, &error).await?;
                }
                applied => applied.map_err(Failure::Apply)?,
            }
        }
        let done = Batch {
            events: Vec::new(),
            position: batch.position.clone(),
            unread_count: batch.unread_count,
        };
        self.apply(done).await.map_err(Failure::Apply)
    }

    /// Applies events and moves the cursor behind them, in one transaction; without a position it stays.
    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let traces = batch.events.iter();
        let causes = Causes::of(traces.map(|event| (span_name(event), &*event.trace_parent)));
        let input = (self.name, batch, self.clock.now(), self.apply);
        let applied = self.db.run_tx("apply_events", input, |connection, input| {
            Box::pin(apply_batch(connection, input))
        });
        causes.run(applied).await
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

async fn apply_batch(
    connection: &mut Connection,
    (source, batch, now, apply): &(&'static str, Batch, DateTime<Utc>, Apply),
) -> Result<(), StoreError> {
    if !batch.events.is_empty() {
        apply(connection, batch, *now).await?;
    }
    if batch.position.is_empty() {
        return Ok(());
    }
    move_cursor(connection, source, &batch.position, *now).await
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
