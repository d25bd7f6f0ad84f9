//! Telling attributions and entries of the ledger as they happen.
//!
//! Each has the place of its last change in commit order (`store::changes`), and who reads on from a place
//! is told what has changed since, as it is by then. So of an attribution that changes twice in a moment
//! the last state is told, and nothing is left out. What a reader has not taken waits in the database: two
//! batches are ahead of him, and who takes nothing for too long is told to come again.

use std::{collections::BTreeMap, time::Duration};

use domain::id::{BrandId, LedgerEntryId, OrderId};
use kit::{db::StoreError, error::CallError, event_log::Position};
use tokio::{
    sync::mpsc::{self, error::SendTimeoutError},
    time::Instant,
};

use super::{
    App,
    attributions::{self, AttributionView},
};
use crate::{
    error::Error,
    store::{
        changes::{self, Change},
        ledger_entries::{self, LedgerEntry},
    },
};

/// How long to wait for a commit of another process before looking again.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often one for whom there is nothing is told so; the contract says once a second.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(900);
/// How many changes are read at once.
const BATCH_LENGTH: i64 = 256;
/// How many batches may wait for the reader.
pub(crate) const BATCHES_AHEAD: usize = 2;
/// How long they may wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what happens from now on.
    Now,
    /// Behind what he was told last.
    After(Position),
}

/// What is told, and where to resume behind it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) position: Position,
    pub(crate) update: Update,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Update {
    /// An attribution that is new or has changed.
    Attribution(AttributionView),
    /// An entry that was booked.
    Entry(LedgerEntry),
    /// Nothing.
    Heartbeat,
}

/// Tells `reader` what happens in the Brand, until he goes away.
///
/// # Errors
///
/// [`CallError::ShuttingDown`] when the service stops; [`Error::WatcherTooSlow`] when the reader takes
/// nothing for as long as `patience`; what the database fails with.
pub(crate) async fn watch(
    app: &App,
    brand_id: &BrandId,
    start: Start,
    patience: Duration,
    reader: &mpsc::Sender<Vec<Told>>,
) -> Result<(), Error> {
    tokio::select! {
        () = app.shutdown.cancelled() => Err(CallError::ShuttingDown.into()),
        () = reader.closed() => Ok(()),
        result = tell(app, brand_id, start, patience, reader) => result,
    }
}

async fn tell(
    app: &App,
    brand_id: &BrandId,
    start: Start,
    patience: Duration,
    reader: &mpsc::Sender<Vec<Told>>,
) -> Result<(), Error> {
    let mut commits = app.db.commits();
    let mut position = first_position(app, brand_id, start).await?;
    let mut heartbeat_time = Instant::now();
    loop {
        commits.mark_unchanged();
        let mut told = read_after(app, brand_id, &position).await?;
        let is_idle = told.is_empty();
        if is_idle && Instant::now() >= heartbeat_time {
            told.push(Told {
                position: position.clone(),
                update: Update::Heartbeat,
            });
        }
        if let Some(last) = told.last() {
            position = last.position.clone();
            match reader.send_timeout(told, patience).await {
                Ok(()) => {}
                Err(SendTimeoutError::Timeout(_)) => return Err(Error::WatcherTooSlow),
                Err(SendTimeoutError::Closed(_)) => return Ok(()),
            }
            heartbeat_time = Instant::now() + HEARTBEAT_INTERVAL;
        }
        if is_idle {
            tokio::select! {
                _ = commits.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }
}

/// A position of another life of the database says nothing of this one: all is told again.
async fn first_position(
    app: &App,
    brand_id: &BrandId,
    start: Start,
) -> Result<Position, StoreError> {
    let mut connection = app.db.read().await?;
    let end = changes::end(&mut connection, brand_id).await?;
    Ok(match start {
        Start::Now => end,
        Start::After(position) if position.incarnation == end.incarnation => position,
        Start::After(_) => Position {
            transaction: -1,
            row: 0,
            ..end
        },
    })
}

async fn read_after(
    app: &App,
    brand_id: &BrandId,
    position: &Position,
) -> Result<Vec<Told>, StoreError> {
    let mut connection = app.db.read().await?;
    let changes = changes::list_after(&mut connection, brand_id, position, BATCH_LENGTH).await?;
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<LedgerEntryId> = changes.iter().filter_map(|(_, one)| one.entry_id).collect();
    let orders = changes.iter().filter(|(_, one)| one.entry_id.is_none());
    let orders: Vec<OrderId> = orders.map(|(_, one)| one.order_id.clone()).collect();
    let entries = ledger_entries::list_by_ids(&mut connection, brand_id, &entries).await?;
    let views = attributions::list(&mut connection, brand_id, &orders).await?;
    let views: BTreeMap<OrderId, AttributionView> = views
        .into_iter()
        .map(|view| (view.order_id.clone(), view))
        .collect();
    let update = |change: &Change| match change.entry_id {
        Some(id) => entries.get(&id).cloned().map(Update::Entry),
        None => views
            .get(&change.order_id)
            .cloned()
            .map(Update::Attribution),
    };
    changes
        .iter()
        .map(|(position, change)| {
            // What has changed is never removed.
            let update = update(change).ok_or(StoreError::Corrupt { what: "change" })?;
            Ok(Told {
                position: position.clone(),
                update,
            })
        })
        .collect()
}
