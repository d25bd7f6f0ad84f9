//! The copy of a log in a stream: how it is written, and how a place in it is found.
//!
//! Each message carries the events between two positions of the log. Its writer says which message he
//! takes for the last, and the broker refuses it when another has come; so whatever relays do at once,
//! the messages of one incarnation form a chain without a gap and without a repetition. Behind one that
//! he has sent himself and has no answer for, he names that one: its sequence may become another's. A message whose
//! positions are equal repeats events that were set aside, and moves nobody's place.

use std::cmp::Ordering;

use async_nats::{
    HeaderMap,
    jetstream::{
        context::{PublishAckFuture, PublishErrorKind},
        message::{PublishMessage, StreamMessage},
        stream::{RawMessageError, RawMessageErrorKind, Stream},
    },
    subject::Subject,
};
use prost::Message;
use rapport_proto::event::v1::EventBatch;

use super::{Broker, BrokerError, streams};
use crate::event_log::Position;

const AFTER: &str = "Rapport-After";
const POSITION: &str = "Rapport-Position";

/// What a message covers of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The position before its first event.
    pub(super) after: Position,
    /// The position behind its last event.
    pub(super) to: Position,
}

/// How a message stands to a reader's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// All of it was read.
    Seen,
    /// It goes on from there.
    Next,
    /// Something is missing in between.
    Beyond,
}

impl Span {
    /// Returns the span of a message, if it is one of ours.
    pub(super) fn of(headers: Option<&HeaderMap>) -> Option<Self> {
        let position = |name| headers?.get(name)?.as_str().parse().ok();
        Some(Self {
            after: position(AFTER)?,
            to: position(POSITION)?,
        })
    }

    fn is_repetition(&self) -> bool {
        self.after == self.to
    }

    /// Compares the message with the place of a reader, who has none before his first event.
    ///
    /// Another incarnation begins anew, as it does for readers of the log itself. Whoever stands inside a
    /// message, as one may who came from gRPC, reads all of it again, which changes nothing.
    pub(super) fn standing(&self, place: Option<&Position>) -> Standing {
        let place = place.filter(|place| place.incarnation == self.to.incarnation);
        match place {
            None if self.after.is_beginning() => Standing::Next,
            None => Standing::Beyond,
            Some(place) => match order(&self.to, place) {
                Ordering::Equal if self.is_repetition() => Standing::Next,
                Ordering::Less | Ordering::Equal => Standing::Seen,
                Ordering::Greater if order(&self.after, place).is_le() => Standing::Next,
                Ordering::Greater => Standing::Beyond,
            },
        }
    }
}

/// The order of two positions of one incarnation.
fn order(one: &Position, other: &Position) -> Ordering {
    (one.transaction, one.row).cmp(&(other.transaction, other.row))
}

/// The message that a writer takes for the last.
#[derive(Clone, Debug)]
pub(super) enum Last {
    /// The one that he has found, by its sequence.
    Found(u64),
    /// The one that he has sent, by its id.
    Sent(String),
}

/// Where a stream ends.
#[derive(Debug)]
pub(super) struct End {
    /// Of its last message; 0 where there is none.
    pub(super) sequence: u64,
    /// Behind the last event.
    pub(super) position: Option<Position>,
}

/// A log in its stream.
#[derive(Clone)]
pub(super) struct LogCopy {
    pub(super) broker: Broker,
    pub(super) log: String,
    stream: String,
    subject: String,
}

impl LogCopy {
    pub(super) fn new(broker: &Broker, log: &str) -> Self {
        Self {
            broker: broker.clone(),
            log: log.to_owned(),
            stream: format!("rapport_{log}"),
            subject: format!("rapport.events.{log}"),
        }
    }

    /// Returns the stream, made where it is missing.
    pub(super) async fn open(&self) -> Result<Stream, BrokerError> {
        streams::open(&self.broker, &self.stream, &self.subject).await
    }

    /// Where relays say that they have nothing more.
    pub(super) fn heartbeats(&self) -> Subject {
        format!("rapport.heartbeats.{}", self.log).into()
    }

    /// Sends events to stand behind `last`, and returns what waits for the answer.
    pub(super) async fn send(
        &self,
        events: EventBatch,
        span: &Span,
        id: &str,
        last: &Last,
    ) -> Result<PublishAckFuture, BrokerError> {
        let message = PublishMessage::build()
            .payload(events.encode_to_vec().into())
            .header(AFTER, span.after.to_string().as_str())
            .header(POSITION, span.to.to_string().as_str())
            .message_id(id);
        let message = match last {
            Last::Found(sequence) => message.expected_last_sequence(*sequence),
            Last::Sent(id) => message.expected_last_message_id(id),
        };
        let context = &self.broker.jetstream;
        let sent = context.send_publish(self.subject.clone(), message).await;
        sent.map_err(BrokerError::request("take events"))
    }

    /// Tells readers that the log has nothing behind `position`.
    pub(super) async fn beat(&self, position: String) -> Result<(), BrokerError> {
        let client = &self.broker.client;
        let told = client.publish(self.heartbeats(), position.into()).await;
        told.map_err(BrokerError::request("take a heartbeat"))
    }

    /// Returns where the stream ends.
    pub(super) async fn end(&self, stream: &Stream) -> Result<End, BrokerError> {
        // In this order: a message that comes in between is then refused to us, and not written twice.
        let info = stream.get_info().await;
        let state = info
            .map_err(BrokerError::request("describe a stream"))?
            .state;
        let mut end = End {
            sequence: state.last_sequence,
            position: None,
        };
        let mut sequence = state.last_sequence;
        while sequence >= state.first_sequence.max(1) && end.position.is_none() {
            let message = stream.get_raw_message(sequence).await;
            end.position = found(message)?
                .and_then(|message| Span::of(Some(&message.headers)))
                .map(|span| span.to);
            sequence -= 1;
        }
        Ok(end)
    }

    /// Returns the sequence from which a reader who stands at `place` has to read: of the first message
    /// that he has not seen, or of one before it.
    ///
    /// The messages are in the order of their positions, so it takes few looks into a long stream.
    pub(super) async fn seek(
        &self,
        stream: &Stream,
        place: Option<&Position>,
    ) -> Result<u64, BrokerError> {
        let Some(last) = self.end(stream).await?.position else {
            return Ok(1);
        };
        let info = stream.get_info().await;
        let state = info
            .map_err(BrokerError::request("describe a stream"))?
            .state;
        let place = place.filter(|place| place.incarnation == last.incarnation);
        let is_ahead = |span: &Span| {
            span.to.incarnation == last.incarnation
                && place.is_none_or(|place| order(&span.to, place).is_ge())
        };
        let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.span_from(stream, middle).await? {
                Some((sequence, span)) if sequence < high && !is_ahead(&span) => low = sequence + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Returns the first message from `sequence` on that is one of ours.
    async fn span_from(
        &self,
        stream: &Stream,
        mut sequence: u64,
    ) -> Result<Option<(u64, Span)>, BrokerError> {
        loop {
            let message = stream
                .get_first_raw_message_by_subject(&self.subject, sequence)
                .await;
            let Some(message) = found(message)? else {
                return Ok(None);
            };
            if let Some(span) = Span::of(Some(&message.headers)) {
                return Ok(Some((message.sequence, span)));
            }
            sequence = message.sequence + 1;
        }
    }
}

/// Waits for the answer to [`LogCopy::send`], which must be that the message stands where it should.
pub(super) async fn written(sent: PublishAckFuture) -> Result<(), BrokerError> {
    use PublishErrorKind::{WrongLastMessageId, WrongLastSequence};
    match sent.await {
        Ok(ack) if ack.duplicate => Err(BrokerError::Outrun),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), WrongLastSequence | WrongLastMessageId) => {
            Err(BrokerError::Outrun)
        }
        Err(error) => Err(BrokerError::request("write events")(error)),
    }
}

/// Returns the message, if there is one.
pub(super) fn found(
    message: Result<StreamMessage, RawMessageError>,
) -> Result<Option<StreamMessage>, BrokerError> {
    match message {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(BrokerError::request("show a message")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(incarnation: &str, row: i64) -> Position {
        Position {
            incarnation: incarnation.to_owned(),
            transaction: if row < 0 { -1 } else { 5 },
            row,
        }
    }

    #[track_caller]
    fn check(after: Position, to: Position, place: Option<Position>, standing: Standing) {
        let span = Span { after, to };
        assert_eq!(
            span.standing(place.as_ref()),
            standing,
            "{span:?} from {place:?}"
        );
    }

    #[test]
    fn a_message_is_seen_or_next_or_beyond() {
        check(at("a", -1), at("a", 3), None, Standing::Next);
        check(at("a", 3), at("a", 4), None, Standing::Beyond);
        check(at("a", 3), at("a", 6), Some(at("a", 3)), Standing::Next);
        check(at("a", 3), at("a", 6), Some(at("a", 4)), Standing::Next);
        check(at("a", 3), at("a", 6), Some(at("a", 6)), Standing::Seen);
        check(at("a", 3), at("a", 6), Some(at("a", 9)), Standing::Seen);
        check(at("a", 3), at("a", 6), Some(at("a", 2)), Standing::Beyond);
        check(at("b", -1), at("b", 3), Some(at("a", 9)), Standing::Next);
        check(at("b", 3), at("b", 4), Some(at("a", 9)), Standing::Beyond);
    }

    #[test]
    fn a_repetition_is_next_where_the_reader_is() {
        check(at("a", 6), at("a", 6), Some(at("a", 6)), Standing::Next);
        check(at("a", 6), at("a", 6), Some(at("a", 9)), Standing::Seen);
        check(at("a", 6), at("a", 6), Some(at("a", 3)), Standing::Beyond);
    }
}
