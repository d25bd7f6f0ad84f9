//! Moments of the database: what had been committed, and what had not, when one was taken.
//!
//! A list that is paged while others write is the list of one moment (SPEC 25). Clocks cannot say
//! what belongs to it: a message takes its time before it is committed, and may become visible
//! after a page that its time is before. Transactions can. Each row keeps the number of the
//! transaction that wrote it, and a moment knows which numbers had been committed:
//!
//! | engine     | number of a transaction                          | committed at a moment           |
//! |------------|--------------------------------------------------|---------------------------------|
//! | PostgreSQL | its transaction id                               | as a snapshot says, which is the moment |
//! | SQLite     | the event log's next row; each transaction that counts here writes one | below the next row then |
//!
//! A PostgreSQL database that is copied row by row into another cluster (a logical dump) meets that
//! cluster's smaller transaction ids. Its first open there sets the numbers of its rows to 0, as in the
//! event log: all of them were committed before every moment to come.

use chrono::{DateTime, Utc};
use diesel::{
    AppearsOnTable, Expression, QueryResult, QueryableByName, SelectableExpression,
    expression::{ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::BigInt,
    sqlite::Sqlite,
};
use diesel_async::RunQueryDsl;
use kit::db::{Connection, StoreError, uncommitted};
use serde::{Deserialize, Serialize};

/// What had been committed at one moment; a page token carries it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Moment {
    /// Transactions from this number on had not been committed.
    pub before: i64,
    /// Neither had these, although their numbers are smaller.
    pub running: Vec<i64>,
    /// The service's time of the moment, in microseconds since 1970. It bounds a search and decides
    /// nothing, so clocks may differ by hours.
    pub time_micros: i64,
}

/// The number of the transaction in which it is evaluated, for a column of a row that it writes.
#[derive(Clone, Copy, Debug, QueryId)]
pub(crate) struct CurrentTransaction;

#[derive(QueryableByName)]
struct NextRow {
    #[diesel(sql_type = BigInt)]
    before: i64,
}

/// Takes the present moment; `now` is the service's time.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn take(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Moment, StoreError> {
    let (before, running) = match connection {
        Connection::Postgres(c) => uncommitted(c).await?,
        Connection::Sqlite(c) => {
            let next: NextRow = diesel::sql_query(
                "SELECT coalesce(max(seq), 0) + 1 AS before FROM sqlite_sequence \
                 WHERE name = 'event_log'",
            )
            .get_result(c)
            .await?;
            (next.before, Vec::new())
        }
    };
    Ok(Moment {
        before,
        running,
        time_micros: now.timestamp_micros(),
    })
}

impl Expression for CurrentTransaction {
    type SqlType = BigInt;
}

impl<Source> AppearsOnTable<Source> for CurrentTransaction {}

impl<Source> SelectableExpression<Source> for CurrentTransaction {}

impl<GroupBy> ValidGrouping<GroupBy> for CurrentTransaction {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Pg> for CurrentTransaction {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("pg_current_xact_id()::text::bigint");
        Ok(())
    }
}

impl QueryFragment<Sqlite> for CurrentTransaction {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "(SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'event_log')",
        );
        Ok(())
    }
}
