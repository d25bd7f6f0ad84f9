//! What a service could not apply, kept apart so that it holds nobody up, until an operator has it
//! replayed.
//!
//! A replay appends the event once more to the end of its log's stream: there all replicas of all
//! readers see it, in the way in which they see every event, and none of them needs to know.

use async_nats::jetstream::{message::PublishMessage, stream::Stream};
use chrono::{DateTime, Utc};
use prost::Message;
use rapport_proto::event::v1::{Event, EventBatch};
use uuid::Uuid;

use super::{
    Broker, BrokerError,
    copy::{Last, LogCopy, Span, found, written},
    streams,
};
use crate::telemetry::Count;

const STREAM: &str = "rapport_dead_letters";
const SUBJECTS: &str = "rapport.dead_letters.*.*";
const REASON: &str = "Rapport-Reason";
/// How often a replay may find that the stream's end has moved meanwhile.
const REPLAY_TRIES: u32 = 100;

static DEAD_LETTERS: Count<2> = Count::new(
    "rapport.event.dead_letters",
    "{event}",
    "Events that were set aside because they could not be applied",
    ["service", "source"],
);

/// An event that a service could not apply.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Names it among dead letters.
    pub sequence: u64,
    /// Whose log it comes from.
    pub log: String,
    /// Which service could not apply it.
    pub consumer: String,
    /// Why not, without anything that a database said.
    pub reason: String,
    /// When it was set aside.
    pub set_aside_time: DateTime<Utc>,
    /// The event; none where what came was no event.
    pub event: Option<Event>,
}

/// The dead letters of a broker.
#[derive(Clone)]
pub struct DeadLetters {
    broker: Broker,
    stream: Stream,
}

impl DeadLetters {
    /// Returns them; their stream is made where it is missing.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Stream`] when it is not as it has to be.
    pub async fn open(broker: &Broker) -> Result<Self, BrokerError> {
        Ok(Self {
            broker: broker.clone(),
            stream: streams::open(broker, STREAM, SUBJECTS).await?,
        })
    }

    /// Keeps what came at `sequence` of a log's stream. Replicas that set the same aside make one letter.
    pub(super) async fn put(
        &self,
        log: &'static str,
        id: &str,
        sequence: u64,
        payload: Vec<u8>,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let consumer = self.broker.name;
        tracing::error!(
            log,
            consumer,
            event.id = id,
            reason,
            "event {id} of {log} is set aside"
        );
        let subject = format!("rapport.dead_letters.{log}.{consumer}");
        let message = PublishMessage::build()
            .payload(payload.into())
            .header(REASON, reason)
            .message_id(format!("{log}.{consumer}.{sequence}.{id}"));
        let sent = self.broker.jetstream.send_publish(subject, message).await;
        let sent = sent.map_err(BrokerError::request("take a dead letter"))?;
        sent.await
            .map_err(BrokerError::request("keep a dead letter"))?;
        DEAD_LETTERS.add(1, [consumer, log]);
        Ok(())
    }

    /// Returns all of them, the oldest first.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Request`] when the broker does not answer.
    pub async fn list(&self) -> Result<Vec<DeadLetter>, BrokerError> {
        let mut letters = Vec::new();
        let mut sequence = 1;
        loop {
            let message = self
                .stream
                .get_first_raw_message_by_subject(SUBJECTS, sequence)
                .await;
            let Some(message) = found(message)? else {
                return Ok(letters);
            };
            sequence = message.sequence + 1;
            let mut names = message.subject.split('.').skip(2).map(str::to_owned);
            letters.push(DeadLetter {
                sequence: message.sequence,
                log: names.next().unwrap_or_default(),
                consumer: names.next().unwrap_or_default(),
                reason: message
                    .headers
                    .get(REASON)
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                set_aside_time: DateTime::from_timestamp(message.time.unix_timestamp(), 0)
                    .unwrap_or_default(),
                event: Event::decode(message.payload)
                    .ok()
                    .filter(|event| !event.event_id.is_empty()),
            });
        }
    }

    /// Has the readers of its log read the event of `letter` once more, and removes the letter. One that
    /// fails again becomes another letter.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Gap`] when the log's stream is empty; [`BrokerError::Outrun`] when relays wrote
    /// behind its end each time it was looked for. The letter is kept then.
    pub async fn replay(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        if let Some(event) = &letter.event {
            self.append(&letter.log, event).await?;
        }
        let deleted = self.stream.delete_message(letter.sequence).await;
        deleted.map_err(BrokerError::request("remove a dead letter"))?;
        Ok(())
    }

    async fn append(&self, log: &str, event: &Event) -> Result<(), BrokerError> {
        let copy = LogCopy::new(&self.broker, log);
        let stream = copy.open().await?;
        let events = EventBatch {
            events: vec![event.clone()],
            unread_count: 0,
        };
        let mut tries = 0;
        loop {
            let end = copy.end(&stream).await?;
            let position = end.position.ok_or_else(|| BrokerError::Gap {
                log: log.to_owned(),
            })?;
            let span = Span {
                after: position.clone(),
                to: position,
            };
            let id = format!("replay.{}", Uuid::new_v4());
            let sent = copy
                .send(events.clone(), &span, &id, &Last::Found(end.sequence))
                .await?;
            match written(sent).await {
                Err(BrokerError::Outrun) if tries < REPLAY_TRIES => tries += 1,
                answer => return answer,
            }
        }
    }
}
