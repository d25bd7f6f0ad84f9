//! The one task of a process that reads the log of changes, for all who watch there.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::id::BrandId;
use kit::db::{Db, StoreError};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    live::Live,
    seat::{End, Seat},
    telling::{self, Audience, Telling},
};
use crate::{
    error::ChatError,
    store::chatroom_changes::{self, BATCH_LENGTH, Row, RowKey},
};

/// How long it waits for a commit of another process before it looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The least between two reads of which the first found something, so that under load a read finds what
/// several commits have left, and costs once.
const READ_INTERVAL: Duration = Duration::from_millis(3);
/// As much after a commit of this process, whose rows cannot be read while a transaction that began
/// earlier still runs.
const NEAR_INTERVAL: Duration = Duration::from_millis(1);
/// How many times.
const NEAR_LOOKS: u32 = 10;
/// How long it waits while nobody watches: often enough for who comes to have little to catch up with.
const REST_INTERVAL: Duration = Duration::from_millis(100);
/// How long a watcher for whom there is nothing waits for a word; the contract says fifteen seconds.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// The watchers are told in turns, so many in an interval.
const SLOTS: u32 = 100;
const RETRY: Duration = Duration::from_millis(100);
/// How often all rows that nobody remembers are deleted, and how many in one transaction.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);
const FORGET_LENGTH: i64 = 1_000;
/// For how many intervals a row that this process does not remember any more is kept for others, which
/// may be five minutes behind it.
const KEPT_FLOORS: usize = 30;

/// Reads the log of changes and tells all who watch, until `shutdown`; then ends their streams.
pub(crate) async fn run(live: Live, db: Db, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow(&live, &db) => {}
        () = forget(&live, &db) => {}
    }
    live.close();
}

async fn follow(live: &Live, db: &Db) {
    let mut commits = db.commits();
    let (mut slot, mut beat_time, mut near_looks) = (0, Instant::now(), 0_u32);
    loop {
        commits.mark_unchanged();
        let found = read(live, db).await;
        if let Ok(rows) = &found {
            tell(live, db, rows).await;
        }
        // Between two reads all that is known has been told, and may be called the position.
        if Instant::now() >= beat_time {
            live.beat(slot, SLOTS.into());
            slot = (slot + 1) % u64::from(SLOTS);
            beat_time = Instant::now() + HEARTBEAT_INTERVAL / SLOTS;
        }
        match found {
            Ok(rows) if rows.is_empty() || (live.is_empty() && rows.len() < BATCH_LENGTH) => {
                wait(live, &mut commits, &mut near_looks).await;
            }
            Ok(_) => tokio::time::sleep(READ_INTERVAL).await,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "changes of chatrooms cannot be read, trying again"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Waits until there may be more to read.
async fn wait(live: &Live, commits: &mut watch::Receiver<()>, near_looks: &mut u32) {
    if live.is_empty() {
        tokio::select! {
            () = live.arrival() => {}
            () = tokio::time::sleep(REST_INTERVAL) => {}
        }
        return;
    }
    let interval = if *near_looks > 0 {
        NEAR_INTERVAL
    } else {
        POLL_INTERVAL
    };
    *near_looks = near_looks.saturating_sub(1);
    tokio::select! {
        _ = commits.changed() => *near_looks = NEAR_LOOKS,
        () = tokio::time::sleep(interval) => {}
    }
}

async fn read(live: &Live, db: &Db) -> Result<Vec<Row>, StoreError> {
    let (incarnation, key) = live.position();
    let rows = {
        let mut connection = db.read().await?;
        chatroom_changes::list_after(&mut connection, &incarnation, key).await
    };
    if rows.is_err() {
        live.reopen(db).await?;
    }
    rows
}

/// Tells of rows in the order of the log. Whoever could not be told is cut off, and resumes.
async fn tell(live: &Live, db: &Db, rows: &[Row]) {
    for run in rows.chunk_by(|one, next| one.is_wide() == next.is_wide()) {
        let watchers = live.advance(run);
        let told = if run.iter().all(Row::is_wide) {
            tell_wide(live, db, run).await
        } else {
            tell_narrow(db, run, watchers).await
        };
        for (brand_id, error) in told {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "changes of chatrooms cannot be told"
            );
            live.end_brand(&brand_id, End::Unreadable);
        }
    }
}

type Failures = Vec<(BrandId, ChatError)>;

async fn tell_narrow(db: &Db, run: &[Row], watchers: Vec<Vec<Arc<Seat>>>) -> Failures {
    let mut by_brand: BTreeMap<&BrandId, Vec<Telling>> = BTreeMap::new();
    for (row, seats) in run.iter().zip(watchers) {
        if seats.is_empty() {
            continue;
        }
        if let Some(telling) = Telling::of_row(row, seats) {
            by_brand.entry(&row.brand_id).or_default().push(telling);
        }
    }
    let mut failures = Vec::new();
    for (brand_id, tellings) in by_brand {
        if let Err(error) = telling::tell(db, brand_id, tellings).await {
            failures.push((brand_id.clone(), error));
        }
    }
    failures
}

async fn tell_wide(live: &Live, db: &Db, run: &[Row]) -> Failures {
    let mut by_brand: BTreeMap<&BrandId, Vec<Row>> = BTreeMap::new();
    for row in run {
        by_brand.entry(&row.brand_id).or_default().push(row.clone());
    }
    let mut failures = Vec::new();
    for (brand_id, rows) in by_brand {
        let audience = Audience::All(live);
        if let Err(error) = telling::tell_wide(db, audience, brand_id, &rows).await {
            failures.push((brand_id.clone(), error));
        }
    }
    failures
}

/// Deletes what no process of this service needs to remember any more.
async fn forget(live: &Live, db: &Db) {
    let mut floors = VecDeque::new();
    loop {
        tokio::time::sleep(FORGET_INTERVAL).await;
        floors.push_back(live.floor());
        if floors.len() <= KEPT_FLOORS {
            continue;
        }
        let floor = floors.pop_front().unwrap_or_default();
        if let Err(error) = forget_before(db, floor).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "old changes of chatrooms cannot be deleted"
            );
        }
    }
}

async fn forget_before(db: &Db, floor: RowKey) -> Result<(), StoreError> {
    loop {
        let input = (floor, FORGET_LENGTH);
        let deleted = db.run_locked_tx("forget_changes", input, |connection, (floor, limit)| {
            Box::pin(chatroom_changes::delete_before(connection, *floor, *limit))
        });
        if deleted.await? < usize::try_from(FORGET_LENGTH).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}
