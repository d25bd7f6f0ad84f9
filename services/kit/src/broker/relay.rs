//! Copies a log into its stream.
//!
//! Every replica of the service has a relay, and none is the leader: whoever is first writes, and the
//! others stand back for a moment. Where to go on is read from the stream's last message, so nothing is
//! kept elsewhere; and since a message stands only behind the one that its writer knows, a relay that is
//! killed, cut off or outrun leaves neither a gap nor a repetition.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream::FuturesOrdered};
use rapport_proto::event::v1::EventBatch;
use tokio_util::sync::CancellationToken;

use super::{
    BrokerError,
    copy::{End, Last, LogCopy, Span, written},
};
use crate::{
    backoff::Backoff,
    db::{Db, StoreError},
    event_log::{self, Position, Start},
};

/// How many messages may wait for their answer: one by one, each would wait for a disk.
const MESSAGES_IN_FLIGHT: usize = 64;
/// How long a relay stands back behind another. The other may have died just then, and nobody reads
/// meanwhile.
const COURTESY: Duration = Duration::from_millis(500);

pub(super) async fn run(copy: LogCopy, db: Db, shutdown: CancellationToken) {
    let log = copy.log.as_str();
    let mut backoff = Backoff::new();
    loop {
        let failure = tokio::select! {
            () = shutdown.cancelled() => return,
            Err(failure) = relay(&copy, &db, &mut backoff) => failure,
        };
        let wait = if matches!(failure, BrokerError::Outrun) {
            COURTESY
        } else {
            let retry = backoff.wait();
            let (error, retry_ms) = (&failure as &dyn std::error::Error, retry.as_millis());
            tracing::warn!(log, retry_ms, error, "log of {log} is not published");
            retry
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Publishes until something fails.
async fn relay(copy: &LogCopy, db: &Db, backoff: &mut Backoff) -> Result<Infallible, BrokerError> {
    let End {
        sequence,
        position: mut place,
    } = copy.end(&copy.open().await?).await?;
    let mut last = Last::Found(sequence);
    let start = place.clone().map_or(Start::Beginning, Start::After);
    let mut batches = event_log::watch(db.clone(), start, None, CancellationToken::new());
    let mut in_flight = FuturesOrdered::new();
    loop {
        tokio::select! {
            Some(answer) = in_flight.next() => {
                answer?;
                backoff.reset();
            }
            batch = batches.next(), if in_flight.len() < MESSAGES_IN_FLIGHT => {
                let batch = batch.ok_or(BrokerError::Ended)?.map_err(BrokerError::Log)?;
                if batch.events.is_empty() {
                    // What it says has to be true: all up to there is in the stream.
                    while let Some(answer) = in_flight.next().await {
                        answer?;
                    }
                    copy.beat(batch.position).await?;
                    backoff.reset();
                    continue;
                }
                let span = span(place, &batch.position)?;
                let events = EventBatch {
                    events: batch.events,
                    unread_count: batch.unread_count,
                };
                let sent = copy.send(events, &span, &batch.position, &last).await?;
                in_flight.push_back(written(sent));
                last = Last::Sent(batch.position);
                place = Some(span.to);
            }
        }
    }
}

/// Returns what lies between two positions of the log; a new incarnation begins anew.
fn span(place: Option<Position>, to: &str) -> Result<Span, BrokerError> {
    let corrupt = |_| BrokerError::Log(StoreError::Corrupt { what: "position" });
    let to: Position = to.parse().map_err(corrupt)?;
    let after = place
        .filter(|place| place.incarnation == to.incarnation)
        .unwrap_or_else(|| Position::beginning(to.incarnation.clone()));
    Ok(Span { after, to })
}
