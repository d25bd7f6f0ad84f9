//! What changed, for those who watch: the rows of `attribution` and `ledger_entry` themselves, by the place
//! of their last change.
//!
//! A place is read in commit order as kit's event log is: on PostgreSQL it is (transaction id, number), and
//! rows are read only below the oldest transaction still running; on SQLite, where there is one writer,
//! the number alone. An attribution that changes again moves to the place of that change, so who reads on
//! from before meets it once, as it is by then, and nothing is kept of what it was.

use std::sync::LazyLock;

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, LedgerEntryId, OrderId};
use kit::{
    db::{Connection, DbText, DbUuid, PgText, Sql, StoreError},
    event_log::{POSTGRES_INCARNATION, Position, SQLITE_INCARNATION},
};

/// Something that those who watch are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) order_id: OrderId,
    /// The entry that was booked, or `None` where the order's attribution changed.
    pub(crate) entry_id: Option<LedgerEntryId>,
}

/// The place of a change, and what changed.
#[derive(diesel::Queryable, QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    incarnation: String,
    #[diesel(sql_type = BigInt)]
    transaction: i64,
    #[diesel(sql_type = BigInt)]
    change_number: i64,
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
            row: self.change_number,
        }
    }
}

/// Returns the number before those of the changes to come, where they are not numbered by PostgreSQL: no
/// row that has the greatest ever loses it but to a greater one.
pub(crate) async fn last_number(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<i64, StoreError> {
    match connection {
        Connection::Postgres(_) => Ok(0),
        Connection::Sqlite(c) => {
            let last: LastNumber = diesel::sql_query(SQLITE_LAST_NUMBER)
                .bind::<DbText, _>(Sql(brand_id))
                .bind::<DbText, _>(Sql(brand_id))
                .get_result(c)
                .await?;
            Ok(last.last)
        }
    }
}

#[derive(QueryableByName)]
struct LastNumber {
    #[diesel(sql_type = BigInt)]
    last: i64,
}

const SQLITE_LAST_NUMBER: &str = "SELECT max( \
    coalesce((SELECT max(change_number) FROM attribution WHERE brand_id = ?), 0), \
    coalesce((SELECT max(change_number) FROM ledger_entry WHERE brand_id = ?), 0)) AS last";

type Types = (Text, BigInt, BigInt, Nullable<DbText>, Nullable<DbUuid>);

static POSTGRES_AFTER: LazyLock<String> = LazyLock::new(|| {
    let of = |table: &str, entry_id: &str| {
        format!(
            "(SELECT transaction_id, change_number, order_id, {entry_id} AS ledger_entry_id \
             FROM {table} WHERE brand_id = ? AND (transaction_id, change_number) > (?::xid8, ?) \
             AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY transaction_id, change_number LIMIT ?)"
        )
    };
    let (attributions, entries) = (
        of("attribution", "NULL::uuid"),
        of("ledger_entry", "ledger_entry_id"),
    );
    format!(
        "SELECT {POSTGRES_INCARNATION}, transaction_id::text::bigint, change_number, order_id, \
         ledger_entry_id FROM ({attributions} UNION ALL {entries}) AS changed \
         ORDER BY transaction_id, change_number LIMIT ?"
    )
});

static SQLITE_AFTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SQLITE_INCARNATION} AS incarnation, 0 AS \"transaction\", change_number, order_id, \
         ledger_entry_id FROM (SELECT change_number, order_id, NULL AS ledger_entry_id \
         FROM attribution WHERE brand_id = ?1 AND change_number > ?2 \
         UNION ALL SELECT change_number, order_id, ledger_entry_id FROM ledger_entry \
         WHERE brand_id = ?1 AND change_number > ?2) ORDER BY change_number LIMIT ?3"
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
            let mut query = PgText::<Types>::new(&POSTGRES_AFTER);
            for _ in ["attribution", "ledger_entry"] {
                query = query
                    .bind::<DbText, _>(Sql(brand_id))
                    .bind::<Text, _>(after.transaction.max(0).to_string())
                    .bind::<BigInt, _>(after.row)
                    .bind::<BigInt, _>(limit);
            }
            query.bind::<BigInt, _>(limit).load(c).await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(&*SQLITE_AFTER)
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
                let cause = "the database has become another one; its readers begin anew";
                return Err(StoreError::Unavailable(cause.into()));
            }
            let order_id = row
                .order_id
                .ok_or(StoreError::Corrupt { what: "order_id" })?;
            let change = Change {
                order_id: order_id.0,
                entry_id: row.ledger_entry_id.map(|id| id.0),
            };
            Ok((position, change))
        })
        .collect()
}

/// Returns the place before all that is committed in the Brand from now on.
pub(crate) async fn end(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Position, StoreError> {
    let row: Row = match connection {
        Connection::Postgres(c) => {
            diesel::sql_query(format!(
                "SELECT {POSTGRES_INCARNATION} AS incarnation, \
                 pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS transaction, \
                 {} AS change_number, NULL::text AS order_id, NULL::uuid AS ledger_entry_id",
                i64::MAX
            ))
            .get_result(c)
            .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT {SQLITE_INCARNATION} AS incarnation, 0 AS \"transaction\", \
                 last AS change_number, NULL AS order_id, NULL AS ledger_entry_id \
                 FROM ({SQLITE_LAST_NUMBER})",
            ))
            .bind::<DbText, _>(Sql(brand_id))
            .bind::<DbText, _>(Sql(brand_id))
            .get_result(c)
            .await?
        }
    };
    Ok(row.position())
}
