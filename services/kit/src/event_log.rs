//! The log of what happened: appended in the transaction of the change, read in commit order.
//!
//! A row of a transaction that began earlier and commits later must not be skipped (SPEC 50). On
//! PostgreSQL a row's place is (transaction id, row), and rows are read only below the oldest
//! transaction still running; on SQLite there is one writer, and the row alone will do. What counts as
//! running are the writing transactions of the whole PostgreSQL cluster, of other databases too: a
//! long one there delays readers here, and skips nothing.
//!
//! A position also names the log's incarnation. A database that was restored from a backup is
//! another incarnation: whoever resumes with a position of the old one reads again from the start,
//! which costs time and changes nothing, since consumers are idempotent (SPEC 51).

mod feed;
mod unread;

use std::{fmt, str::FromStr, sync::LazyLock, time::Duration};

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, Queryable, QueryableByName,
    sql_types::{Array, Binary},
};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, EventId};
use prost::Message;
use rapport_proto::event::v1::Event;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

pub use self::feed::EventFeed;
use self::unread::Unread;
use crate::{
    convert,
    db::{Connection, Db, DbText, DbTime, DbUuid, PgText, Sql, StoreError, schema::event_log},
    telemetry,
};

/// How long a reader waits for a commit of another process before it looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often a reader for whom there is nothing is told the position; the contract says once a second.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(900);
/// The most events in one batch.
pub(crate) const BATCH_LENGTH: i64 = 256;
/// The most bytes of events in one batch, below what a gRPC client (4 MiB) and a NATS server (1 MiB) take;
/// one event that is larger still comes alone.
const BATCH_BYTES: usize = 768 * 1024;
/// How many batches may wait for a slow reader.
const BATCHES_AHEAD: usize = 4;

/// A place in a log, behind one event and before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Of which life of the database it is a place.
    pub incarnation: String,
    /// The number of the transaction on PostgreSQL; 0 on SQLite.
    pub transaction: i64,
    /// The number of the row.
    pub row: i64,
}

impl Position {
    /// Returns the place before the first event.
    pub(crate) fn beginning(incarnation: String) -> Self {
        Self {
            incarnation,
            transaction: -1,
            row: 0,
        }
    }

    /// Tells whether no event comes before it.
    pub(crate) fn is_beginning(&self) -> bool {
        self.transaction < 0
    }
}

/// A text that is no position of any log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position that a log gave")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.incarnation, self.transaction, self.row)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.split(':');
        let (Some(incarnation), Some(transaction), Some(row), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidPosition);
        };
        Ok(Self {
            incarnation: incarnation.to_owned(),
            transaction: transaction.parse().map_err(|_| InvalidPosition)?,
            row: row.parse().map_err(|_| InvalidPosition)?,
        })
    }
}

/// Some events in order, and the position behind the last of them; without events a heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// At most 256 events.
    pub events: Vec<Event>,
    /// Where to resume.
    pub position: String,
    /// How many events are known to come after these, up to 100,000.
    pub unread_count: i64,
}

/// Where a reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first event.
    Beginning,
    /// With the next event.
    End,
    /// Behind a position that the log gave.
    After(Position),
}

/// What the log keeps of an event beside its place.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// The event's id.
    pub event_id: EventId,
    /// Its Brand.
    pub brand_id: BrandId,
    /// Its time.
    pub create_time: DateTime<Utc>,
    /// All of it, encoded.
    pub event: Vec<u8>,
}

#[derive(Queryable, QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    incarnation: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    transaction: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    row_number: i64,
    #[diesel(sql_type = diesel::sql_types::Binary)]
    event: Vec<u8>,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

/// Appends events to the log, in the transaction of `connection`; on PostgreSQL by one statement.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when an event lacks its id, Brand or time, a bug of the caller.
pub async fn append(connection: &mut Connection, events: &[Event]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    match connection {
        Connection::Postgres(c) => {
            insertion(events)?.execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for row in new_rows(events)? {
                diesel::insert_into(event_log::table)
                    .values((
                        event_log::event_id.eq(Sql(row.event_id)),
                        event_log::brand_id.eq(Sql(&row.brand_id)),
                        event_log::create_time.eq(Sql(row.create_time)),
                        event_log::event.eq(&row.event),
                    ))
                    .execute(c)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Returns the statement with which [`append`] writes on PostgreSQL, for a caller who sends it along
/// with statements of his own.
///
/// # Errors
///
/// As [`append`].
pub fn insertion(events: &[Event]) -> Result<PgText<'static>, StoreError> {
    let rows = new_rows(events)?;
    let event_ids: Vec<_> = rows.iter().map(|row| Sql(row.event_id)).collect();
    let brand_ids: Vec<_> = rows.iter().map(|row| Sql(row.brand_id.clone())).collect();
    let times: Vec<_> = rows.iter().map(|row| Sql(row.create_time)).collect();
    let encoded: Vec<_> = rows.into_iter().map(|row| row.event).collect();
    Ok(PgText::new(
        "INSERT INTO event_log (event_id, brand_id, create_time, event) \
         SELECT * FROM unnest(?, ?, ?, ?)",
    )
    .bind::<Array<DbUuid>, _>(event_ids)
    .bind::<Array<DbText>, _>(brand_ids)
    .bind::<Array<DbTime>, _>(times)
    .bind::<Array<Binary>, _>(encoded))
}

/// Returns the rows of events, for a caller whose statement writes them along with rows of his own.
///
/// # Errors
///
/// As [`append`].
pub fn new_rows(events: &[Event]) -> Result<Vec<NewRow>, StoreError> {
    let present = telemetry::trace_parent();
    let rows = events.iter().map(|event| new_row(event, &present));
    let rows: Option<Vec<NewRow>> = rows.collect();
    rows.ok_or(StoreError::Corrupt { what: "event" })
}

/// An event that does not say which trace it belongs to belongs to `present`.
fn new_row(event: &Event, present: &str) -> Option<NewRow> {
    let encoded = if event.trace_parent.is_empty() && !present.is_empty() {
        let trace_parent = present.to_owned();
        let event = event.clone();
        Event {
            trace_parent,
            ..event
        }
        .encode_to_vec()
    } else {
        event.encode_to_vec()
    };
    Some(NewRow {
        event_id: event.event_id.parse().ok()?,
        brand_id: event.brand_id.parse().ok()?,
        create_time: convert::instant(event.event_time.as_ref()?)?,
        event: encoded,
    })
}

/// Returns a stream of the batches from `start` on, without end, and stops with `shutdown`.
///
/// With `brand` only that Brand's events are given; positions move over the others.
/// A reader that is slow holds back only itself: at most four batches wait for it.
pub fn watch(
    db: Db,
    start: Start,
    brand: Option<BrandId>,
    shutdown: CancellationToken,
) -> ReceiverStream<Result<Batch, StoreError>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sender.closed() => {}
            result = send_batches(&db, start, brand.as_ref(), &sender) => {
                if let Err(error) = result {
                    let _ = sender.send(Err(error)).await;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn send_batches(
    db: &Db,
    start: Start,
    brand: Option<&BrandId>,
    sender: &mpsc::Sender<Result<Batch, StoreError>>,
) -> Result<(), StoreError> {
    let mut commits = db.commits();
    let mut position = first_position(db, start).await?;
    let mut heartbeat_time = Instant::now();
    let mut unread = Unread::default();
    loop {
        commits.mark_unchanged();
        let rows = {
            let mut connection = db.read().await?;
            read_after(&mut connection, &position).await?
        };
        let is_idle = rows.is_empty();
        let events = take(&rows, &mut position, brand)?;
        // A reader whose Brand is silent while others are busy is told the position all the same.
        if !events.is_empty() || Instant::now() >= heartbeat_time {
            let is_behind = events.len() < rows.len() || rows.len() == BATCH_LENGTH as usize;
            // What other Brands do is nothing that a Brand's reader is told of.
            let unread_count = match brand {
                None if is_behind => unread.after(db, &position, events.len()).await?,
                _ => 0,
            };
            let batch = Batch {
                events,
                position: position.to_string(),
                unread_count,
            };
            if sender.send(Ok(batch)).await.is_err() {
                return Ok(());
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

/// Returns the events of as many rows as make a batch, without those of other Brands, and moves
/// `position` behind the last row that was taken.
fn take(
    rows: &[Row],
    position: &mut Position,
    brand: Option<&BrandId>,
) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::with_capacity(rows.len());
    let mut size_bytes = 0;
    for row in rows {
        if row.incarnation != position.incarnation {
            let cause = "the log has become another one; its readers begin anew";
            return Err(StoreError::Unavailable(cause.into()));
        }
        size_bytes += row.event.len();
        if size_bytes > BATCH_BYTES && !events.is_empty() {
            break;
        }
        let event = Event::decode(row.event.as_slice()).map_err(|_| StoreError::Corrupt {
            what: "event_log.event",
        })?;
        if brand.is_none_or(|brand| brand.as_str() == event.brand_id) {
            events.push(event);
        }
        (position.transaction, position.row) = (row.transaction, row.row_number);
    }
    Ok(events)
}

async fn first_position(db: &Db, start: Start) -> Result<Position, StoreError> {
    let mut connection = db.read().await?;
    let beginning = Position::beginning(incarnation(&mut connection).await?);
    match start {
        Start::After(position) if position.incarnation == beginning.incarnation => Ok(position),
        Start::After(_) | Start::Beginning => Ok(beginning),
        Start::End => {
            let last = last_row(&mut connection).await?;
            Ok(last.map_or(beginning.clone(), |row| Position {
                transaction: row.transaction,
                row: row.row_number,
                ..beginning
            }))
        }
    }
}

/// The log's incarnation: of the cluster, its timeline and the database on PostgreSQL, so that every
/// way of restoring a backup, and every failover, changes it. The timeline is that of the WAL, since
/// the control file learns of a failover only later. Any role may ask.
pub const POSTGRES_INCARNATION: &str = "(SELECT concat_ws('.', s.system_identifier, \
     left(pg_walfile_name(pg_current_wal_lsn()), 8), d.oid) \
     FROM pg_control_system() s, pg_database d WHERE d.datname = current_database())";

/// On SQLite a name kept in the file, which the restore procedure replaces.
pub const SQLITE_INCARNATION: &str = "(SELECT name FROM incarnation)";

/// Returns the name of the database's present life, which is also that of every log in it.
///
/// # Errors
///
/// What the database fails with.
pub async fn incarnation(connection: &mut Connection) -> Result<String, StoreError> {
    let name: Name = match connection {
        Connection::Postgres(c) => {
            diesel::sql_query(format!("SELECT {POSTGRES_INCARNATION} AS name"))
                .get_result(c)
                .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!("SELECT {SQLITE_INCARNATION} AS name"))
                .get_result(c)
                .await?
        }
    };
    Ok(name.name)
}

static POSTGRES_AFTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {POSTGRES_INCARNATION}, transaction_id::text::bigint, row_number, event \
         FROM event_log WHERE (transaction_id, row_number) > (?::xid8, ?) \
         AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
         ORDER BY event_log.transaction_id, row_number LIMIT {BATCH_LENGTH}"
    )
});

async fn read_after(
    connection: &mut Connection,
    position: &Position,
) -> Result<Vec<Row>, StoreError> {
    use diesel::sql_types::{BigInt, Text};
    let rows = match connection {
        Connection::Postgres(c) => {
            PgText::<(Text, BigInt, BigInt, Binary)>::new(&POSTGRES_AFTER)
                .bind::<Text, _>(position.transaction.max(0).to_string())
                .bind::<BigInt, _>(position.row)
                .load(c)
                .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT {SQLITE_INCARNATION} AS incarnation, \
                 0 AS \"transaction\", row_number, event FROM event_log \
                 WHERE row_number > ? ORDER BY row_number LIMIT ?",
            ))
            .bind::<BigInt, _>(position.row)
            .bind::<BigInt, _>(BATCH_LENGTH)
            .load(c)
            .await?
        }
    };
    Ok(rows)
}

async fn last_row(connection: &mut Connection) -> Result<Option<Row>, StoreError> {
    let row = match connection {
        Connection::Postgres(c) => {
            diesel::sql_query(format!(
                "SELECT {POSTGRES_INCARNATION} AS incarnation, \
                 transaction_id::text::bigint AS transaction, row_number, event \
                 FROM event_log WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
                 ORDER BY transaction_id DESC, row_number DESC LIMIT 1",
            ))
            .get_result(c)
            .await
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT {SQLITE_INCARNATION} AS incarnation, \
                 0 AS \"transaction\", row_number, event FROM event_log \
                 ORDER BY row_number DESC LIMIT 1",
            ))
            .get_result(c)
            .await
        }
    };
    Ok(row.optional()?)
}

#[cfg(test)]
mod tests;
