//! What had been committed on PostgreSQL at a moment, for lists that are those of one moment.

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;

#[derive(QueryableByName)]
struct Snapshot {
    #[diesel(sql_type = BigInt)]
    before: i64,
    #[diesel(sql_type = Array<BigInt>)]
    running: Vec<i64>,
}

/// Returns the number from which on transactions are not committed now, and of those below it the ones that
/// are not either.
///
/// # Errors
///
/// What the database fails with.
pub async fn uncommitted(
    connection: &mut AsyncPgConnection,
) -> Result<(i64, Vec<i64>), StoreError> {
    let snapshot: Snapshot = diesel::sql_query(
        "SELECT pg_snapshot_xmax(s)::text::bigint AS before, \
         ARRAY(SELECT pg_snapshot_xip(s)::text::bigint) AS running \
         FROM pg_current_snapshot() AS s",
    )
    .get_result(connection)
    .await?;
    Ok((snapshot.before, snapshot.running))
}
