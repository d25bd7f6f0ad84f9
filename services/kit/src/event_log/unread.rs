//! How much of the log a reader has not read.

use std::time::Duration;

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use tokio::time::Instant;

use super::Position;
use crate::db::{Connection, Db, StoreError};

/// How far the events behind a reader's place are counted, and how often.
const UNREAD_LIMIT: i64 = 100_000;
const UNREAD_INTERVAL: Duration = Duration::from_secs(1);

/// How many events come after a reader's place: counted now and then, and reckoned in between.
#[derive(Default)]
pub(super) struct Unread {
    count: i64,
    count_time: Option<Instant>,
}

impl Unread {
    /// Returns how many come after `position`, which was just moved over `taken` of them.
    pub(super) async fn after(
        &mut self,
        db: &Db,
        position: &Position,
        taken: usize,
    ) -> Result<i64, StoreError> {
        let now = Instant::now();
        if self
            .count_time
            .is_none_or(|time| now - time >= UNREAD_INTERVAL)
        {
            let mut connection = db.read().await?;
            self.count = count_after(&mut connection, position).await?;
            self.count_time = Some(now);
        } else {
            let taken = i64::try_from(taken).unwrap_or(i64::MAX);
            self.count = self.count.saturating_sub(taken).max(0);
        }
        Ok(self.count)
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

async fn count_after(connection: &mut Connection, position: &Position) -> Result<i64, StoreError> {
    let count: Counted = match connection {
        Connection::Postgres(c) => {
            diesel::sql_query(format!(
                "SELECT count(*) AS count FROM (SELECT 1 FROM event_log \
                 WHERE (transaction_id, row_number) > ($1::xid8, $2) \
                 AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
                 LIMIT {UNREAD_LIMIT}) AS unread",
            ))
            .bind::<Text, _>(position.transaction.max(0).to_string())
            .bind::<BigInt, _>(position.row)
            .get_result(c)
            .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT count(*) AS count FROM (SELECT 1 FROM event_log WHERE row_number > ? \
                 LIMIT {UNREAD_LIMIT})",
            ))
            .bind::<BigInt, _>(position.row)
            .get_result(c)
            .await?
        }
    };
    Ok(count.count)
}
