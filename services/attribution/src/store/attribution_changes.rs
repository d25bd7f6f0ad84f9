//! The table `attribution_change`: the log of what changed, by id, for those who watch.
//!
//! A row is appended in the transaction of the change, and read in commit order as kit's event log is:
//! on PostgreSQL its place is (transaction id, row), and rows are read only below the oldest
//! transaction still running. What an order is credited to is read when somebody is told.

use std::sync::LazyLock;

use diesel::{
    ExpressionMethods, Queryable, QueryableByName,
    sql_types::{Array, BigInt, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, LedgerEntryId, OrderId};
use kit::{
    db::{Connection, DbText, DbUuid, PgText, Sql, StoreError},
    event_log::{POSTGRES_INCARNATION, Position, SQLITE_INCARNATION},
};

use super::schema::attribution_change;

/// Something that those who watch are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) order_id: OrderId,
    /// The entry that was booked, or `None` where the order's attribution changed.
    pub(crate) entry_id: Option<LedgerEntryId>,
}

/// A place in the log, with the change before it, if any.
#[derive(Queryable, QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    incarnation: String,
    #[diesel(sql_type = BigInt)]
    transaction: i64,
    #[diesel(sql_type = BigInt)]
    row_number: i64,
    #[diesel(sql_type = Nullable<DbText>)]
    order_id: Option<Sql<OrderId>>,
    #[diesel(sql_type = Nullable<DbUuid>)]
    ledger_entry_id: Option<Sql<LedgerEntryId>>,
}

impl Row {
    fn position(&self) -> Position {
        Position {
            incarnation: self.incarnation.clone(),
            transaction: self.transaction,
            row: self.row_number,
        }
    }
}

/// Appends changes, in the transaction that makes them; on PostgreSQL by one statement.
pub(crate) async fn append(
    connection: &mut Connection,
    brand_id: &BrandId,
    changes: &[Change],
) -> Result<(), StoreError> {
    match connection {
        _ if changes.is_empty() => {}
        Connection::Postgres(c) => {
            let order_ids = changes.iter().map(|one| Sql(one.order_id.clone()));
            let entry_ids = changes.iter().map(|one| one.entry_id.map(Sql));
            PgText::<()>::new(
                "INSERT INTO attribution_change (brand_id, order_id, ledger_entry_id) \
                 SELECT ?, * FROM unnest(?, ?)",
            )
            .bind::<DbText, _>(Sql(brand_id.clone()))
            .bind::<Array<DbText>, _>(order_ids.collect::<Vec<_>>())
            .bind::<Array<Nullable<DbUuid>>, _>(entry_ids.collect::<Vec<_>>())
            .execute(c)
            .await?;
        }
        Connection::Sqlite(c) => {
            for change in changes {
                diesel::insert_into(attribution_change::table)
                    .values((
                        attribution_change::brand_id.eq(Sql(brand_id)),
                        attribution_change::order_id.eq(Sql(&change.order_id)),
                        attribution_change::ledger_entry_id.eq(change.entry_id.map(Sql)),
                    ))
                    .execute(c)
                    .await?;
            }
        }
    }
    Ok(())
}

type Types = (Text, BigInt, BigInt, Nullable<DbText>, Nullable<DbUuid>);

static POSTGRES_AFTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {POSTGRES_INCARNATION}, transaction_id::text::bigint, row_number, order_id, \
         ledger_entry_id FROM attribution_change WHERE brand_id = ? \
         AND (transaction_id, row_number) > (?::xid8, ?) \
         AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
         ORDER BY transaction_id, row_number LIMIT ?"
    )
});

/// Returns the Brand's next `limit` changes behind `after`, each with the place behind it.
///
/// # Errors
///
/// [`StoreError::Unavailable`] where the database has become another one, whose places are others.
pub(crate) async fn list_after(
    connection: &mut Connection,
    brand_id: &BrandId,
    after: &Position,
    limit: i64,
) -> Result<Vec<(Position, Change)>, StoreError> {
    let rows: Vec<Row> = match connection {
        Connection::Postgres(c) => {
            PgText::<Types>::new(&POSTGRES_AFTER)
                .bind::<DbText, _>(Sql(brand_id))
                .bind::<Text, _>(after.transaction.max(0).to_string())
                .bind::<BigInt, _>(after.row)
                .bind::<BigInt, _>(limit)
                .load(c)
                .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT {SQLITE_INCARNATION} AS incarnation, 0 AS \"transaction\", row_number, \
                 order_id, ledger_entry_id FROM attribution_change \
                 WHERE brand_id = ? AND row_number > ? ORDER BY row_number LIMIT ?",
            ))
            .bind::<DbText, _>(Sql(brand_id))
            .bind::<BigInt, _>(after.row)
            .bind::<BigInt, _>(limit)
            .load(c)
            .await?
        }
    };
    rows.into_iter()
        .map(|row| {
            let position = row.position();
            if position.incarnation != after.incarnation {
                let cause = "the log has become another one; its readers begin anew";
                return Err(StoreError::Unavailable(cause.into()));
            }
            let order_id = row.order_id.ok_or(StoreError::Corrupt {
                what: "attribution_change.order_id",
            })?;
            let change = Change {
                order_id: order_id.0,
                entry_id: row.ledger_entry_id.map(|id| id.0),
            };
            Ok((position, change))
        })
        .collect()
}

/// Returns the place before all that is committed from now on.
pub(crate) async fn end(connection: &mut Connection) -> Result<Position, StoreError> {
    let row: Row = match connection {
        Connection::Postgres(c) => {
            diesel::sql_query(format!(
                "SELECT {POSTGRES_INCARNATION} AS incarnation, \
                 pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS transaction, \
                 {} AS row_number, NULL::text AS order_id, NULL::uuid AS ledger_entry_id",
                i64::MAX
            ))
            .get_result(c)
            .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT {SQLITE_INCARNATION} AS incarnation, 0 AS \"transaction\", \
                 coalesce((SELECT max(row_number) FROM attribution_change), 0) AS row_number, \
                 NULL AS order_id, NULL AS ledger_entry_id",
            ))
            .get_result(c)
            .await?
        }
    };
    Ok(row.position())
}
