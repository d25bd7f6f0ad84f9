//! Reads a log from its stream, for a consumer.
//!
//! Each process has a durable consumer of its own in the broker, since each has to see every event (it
//! remembers revocations); it begins at the process's place, and goes with it. The broker delivers what is
//! not acknowledged again; what was seen is passed over, and what comes too early makes the reader
//! look for its place anew.

use std::time::Duration;

use async_nats::{
    Subscriber,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
        message::Acker,
        stream::Stream,
    },
};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use prost::Message;
use rapport_proto::event::v1::{Event, EventBatch};

use super::{
    BrokerError, DeadLetters,
    copy::{LogCopy, Span, Standing},
};
use crate::{
    config::ServiceName,
    db::StoreError,
    event_log::{BATCH_LENGTH, Batch, Position},
};

/// How long the broker waits for an acknowledgement before it delivers again.
const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(30);
/// How long the broker remembers a consumer whose process is gone.
const ABSENCE_LIMIT: Duration = Duration::from_secs(600);
/// How often the broker says that it is there.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(5);
/// How many messages may be delivered and not acknowledged.
const MESSAGES_AHEAD: usize = 64;

/// A batch that was delivered, and what tells the broker that it was applied.
pub(crate) struct Delivery {
    pub(crate) batch: Batch,
    /// Of its last message in the stream.
    sequence: u64,
    receipts: Vec<Acker>,
}

impl From<Batch> for Delivery {
    /// Over gRPC there is nobody to tell: the cursor says it all.
    fn from(batch: Batch) -> Self {
        Self {
            batch,
            sequence: 0,
            receipts: Vec::new(),
        }
    }
}

impl Delivery {
    /// Tells the broker that all of it was applied and committed. An answer that is lost costs a delivery
    /// that is passed over.
    pub(crate) async fn acknowledge(self) -> Result<(), BrokerError> {
        for receipt in &self.receipts {
            acknowledge(receipt).await?;
        }
        Ok(())
    }
}

async fn acknowledge(receipt: &Acker) -> Result<(), BrokerError> {
    let told = receipt.ack().await;
    told.map_err(BrokerError::request("take an acknowledgement"))
}

/// The log of another service, read from its stream.
#[derive(Clone)]
pub struct Reader {
    log: ServiceName,
    copy: LogCopy,
    dead_letters: DeadLetters,
}

impl Reader {
    pub(super) fn new(log: ServiceName, copy: LogCopy, dead_letters: DeadLetters) -> Self {
        Self {
            log,
            copy,
            dead_letters,
        }
    }

    /// Returns whose log it is.
    pub(crate) fn log(&self) -> ServiceName {
        self.log
    }

    /// Returns what comes behind `place`, and heartbeats once there is nothing. Messages that wait come as
    /// one batch; with `is_first_alone` the first of all does not.
    pub(crate) async fn watch(
        &self,
        place: &str,
        is_first_alone: bool,
    ) -> Result<BoxStream<'static, Result<Delivery, BrokerError>>, BrokerError> {
        let client = &self.copy.broker.client;
        let place = place.parse().ok();
        let heartbeats = client.subscribe(self.copy.heartbeats()).await;
        let heartbeats = heartbeats.map_err(BrokerError::request("subscribe to heartbeats"))?;
        let stream = self.copy.open().await?;
        let sequence = self.copy.seek(&stream, place.as_ref()).await?;
        let messages = self.pull(&stream, sequence).await?;
        let reading = Reading {
            log: self.log.as_str(),
            items: items(messages, heartbeats),
            place,
            is_alone: is_first_alone,
            dead_letters: self.dead_letters.clone(),
        };
        let deliveries = stream::try_unfold(reading, async |mut reading| {
            let delivery = reading.next().await?;
            Ok(Some((delivery, reading)))
        });
        Ok(deliveries.boxed())
    }

    /// Makes the process's consumer anew, to begin with the message `sequence`.
    async fn pull(&self, stream: &Stream, sequence: u64) -> Result<pull::Stream, BrokerError> {
        let broker = &self.copy.broker;
        let name = format!("{}-{}", broker.name, broker.instance.simple());
        // Most often there is none.
        let _ = stream.delete_consumer(&name).await;
        let config = pull::Config {
            durable_name: Some(name),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: sequence.max(1),
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACKNOWLEDGEMENT_LIMIT,
            max_ack_pending: MESSAGES_AHEAD as i64,
            inactive_threshold: ABSENCE_LIMIT,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await;
        let consumer: PullConsumer = consumer.map_err(BrokerError::request("make a consumer"))?;
        let messages = consumer
            .stream()
            .heartbeat(IDLE_HEARTBEAT)
            .max_messages_per_batch(MESSAGES_AHEAD);
        let messages = messages.messages().await;
        messages.map_err(BrokerError::request("deliver"))
    }

    /// Puts an event that cannot be applied where an operator finds it, and lets it be replayed.
    pub(crate) async fn set_aside(
        &self,
        event: &Event,
        delivery: &Delivery,
        error: &StoreError,
    ) -> Result<(), BrokerError> {
        let payload = event.encode_to_vec();
        let reason = error.to_string();
        self.dead_letters
            .put(
                self.log.as_str(),
                &event.event_id,
                delivery.sequence,
                payload,
                &reason,
            )
            .await
    }
}

enum Item {
    Message(Box<jetstream::Message>),
    Heartbeat(async_nats::Message),
}

fn items(
    messages: pull::Stream,
    heartbeats: Subscriber,
) -> BoxStream<'static, Result<Item, BrokerError>> {
    let messages = messages
        .map_ok(|message| Item::Message(Box::new(message)))
        .map_err(BrokerError::request("deliver"));
    let heartbeats = heartbeats.map(|message| Ok(Item::Heartbeat(message)));
    stream::select(messages, heartbeats).boxed()
}

/// The state of a reader that is under way.
struct Reading {
    log: &'static str,
    items: BoxStream<'static, Result<Item, BrokerError>>,
    place: Option<Position>,
    /// Whether the next message is not joined with others.
    is_alone: bool,
    dead_letters: DeadLetters,
}

impl Reading {
    /// Returns the next batch, or a heartbeat.
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let mut delivery = Delivery::from(Batch {
            events: Vec::new(),
            position: String::new(),
            unread_count: 0,
        });
        loop {
            let item = if delivery.batch.events.is_empty() {
                Some(self.items.next().await.ok_or(BrokerError::Ended)??)
            } else if !self.is_alone && delivery.batch.events.len() < BATCH_LENGTH as usize {
                self.items.next().now_or_never().flatten().transpose()?
            } else {
                None
            };
            match item {
                None => {
                    self.is_alone = false;
                    return Ok(delivery);
                }
                Some(Item::Message(message)) => self.take(*message, &mut delivery).await?,
                Some(Item::Heartbeat(message)) => {
                    // The end of the log, if this is where the reader is; else there is more to come.
                    if delivery.batch.events.is_empty()
                        && let Some(position) = self.position_of(&message)
                    {
                        delivery.batch.position = position;
                        return Ok(delivery);
                    }
                }
            }
        }
    }

    /// Adds a message that comes next to `delivery`, and passes over one that was seen.
    async fn take(
        &mut self,
        message: jetstream::Message,
        delivery: &mut Delivery,
    ) -> Result<(), BrokerError> {
        let info = message.info();
        let info = info.map_err(BrokerError::request("say which message it is"))?;
        let (sequence, unread) = (info.stream_sequence, info.pending);
        let (message, receipt) = message.split();
        let span = Span::of(message.headers.as_ref());
        let events = EventBatch::decode(message.payload.clone());
        let (Some(span), Ok(events)) = (span, events) else {
            let (id, payload) = ("message", message.payload.to_vec());
            let reason = "it holds no events";
            self.dead_letters
                .put(self.log, id, sequence, payload, reason)
                .await?;
            return acknowledge(&receipt).await;
        };
        match span.standing(self.place.as_ref()) {
            Standing::Beyond => {
                return Err(BrokerError::Gap {
                    log: self.log.to_owned(),
                });
            }
            Standing::Seen => acknowledge(&receipt).await?,
            Standing::Next => {
                delivery.batch.events.extend(events.events);
                delivery.batch.position = span.to.to_string();
                // Each message that waits is an event at least, and the relay may have more.
                let unread = i64::try_from(unread).unwrap_or(i64::MAX);
                delivery.batch.unread_count = events.unread_count.saturating_add(unread);
                delivery.sequence = sequence;
                delivery.receipts.push(receipt);
                self.place = Some(span.to);
            }
        }
        Ok(())
    }

    /// Returns the reader's place where a heartbeat says that nothing comes behind it.
    fn position_of(&self, heartbeat: &async_nats::Message) -> Option<String> {
        let text = std::str::from_utf8(&heartbeat.payload).ok()?;
        let end: Position = text.parse().ok()?;
        let is_here = match &self.place {
            Some(place) => *place == end,
            None => end.is_beginning(),
        };
        is_here.then(|| text.to_owned())
    }
}
