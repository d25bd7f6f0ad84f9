//! The table `refund`: what was given back. Append-only.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl, Queryable,
    sql_types::{Array, BigInt},
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, OrderId, RefundId},
    money::Currency,
    order::{RecordedRefund, Refund},
};
use kit::{
    db::{Connection, DbText, DbTime, PgText, Sql, StoreError},
    query,
};

use super::{conflict_unless, money, schema::refund};

#[derive(Queryable)]
struct Row {
    order_id: Sql<OrderId>,
    refund_id: Sql<RefundId>,
    currency_code: Sql<Currency>,
    minor_units: i64,
    refund_time: Sql<DateTime<Utc>>,
}

/// Inserts a refund of an order, which need not be known. Returns `false`, and inserts nothing,
/// where the order has a refund of that id.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
    recorded: &RecordedRefund,
) -> Result<bool, StoreError> {
    let amount = recorded.refund.amount;
    let inserted = query!(connection, |c| diesel::insert_into(refund::table)
        .values((
            refund::brand_id.eq(Sql(brand_id)),
            refund::order_id.eq(Sql(order_id)),
            refund::refund_id.eq(Sql(&recorded.refund.id)),
            refund::currency_code.eq(Sql(amount.currency())),
            refund::minor_units.eq(amount.minor_units()),
            refund::refund_time.eq(Sql(recorded.refund_time)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(inserted > 0)
}

/// Inserts refunds that are not there yet; on PostgreSQL by one statement.
///
/// [`StoreError::Conflict`] where one is there by now: the transaction is run again and finds it.
pub(crate) async fn insert_all(
    connection: &mut Connection,
    brand_id: &BrandId,
    refunds: &[(OrderId, RecordedRefund)],
) -> Result<(), StoreError> {
    let inserted = match connection {
        _ if refunds.is_empty() => 0,
        Connection::Postgres(c) => insertion(brand_id, refunds).execute(c).await?,
        Connection::Sqlite(_) => {
            for (order_id, recorded) in refunds {
                insert(connection, brand_id, order_id, recorded).await?;
            }
            refunds.len()
        }
    };
    conflict_unless(inserted == refunds.len())
}

fn insertion(brand_id: &BrandId, refunds: &[(OrderId, RecordedRefund)]) -> PgText<'static> {
    let amounts = || refunds.iter().map(|(_, one)| one.refund.amount);
    let order_ids = refunds.iter().map(|(id, _)| Sql(id.clone()));
    let ids = refunds.iter().map(|(_, one)| Sql(one.refund.id.clone()));
    let times = refunds.iter().map(|(_, one)| Sql(one.refund_time));
    PgText::new(
        "INSERT INTO refund (brand_id, order_id, refund_id, currency_code, minor_units, \
         refund_time) SELECT ?, * FROM unnest(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<Array<DbText>, _>(order_ids.collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(ids.collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(amounts().map(|one| Sql(one.currency())).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(amounts().map(|one| one.minor_units()).collect::<Vec<_>>())
    .bind::<Array<DbTime>, _>(times.collect::<Vec<_>>())
}

/// Returns the refunds of `orders`, by order, then by time, then by id.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<Vec<(OrderId, RecordedRefund)>, StoreError> {
    let orders: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| refund::table
        .filter(refund::brand_id.eq(Sql(brand_id)))
        .filter(refund::order_id.eq_any(&orders))
        .order((refund::order_id, refund::refund_time, refund::refund_id))
        .select((
            refund::order_id,
            refund::refund_id,
            refund::currency_code,
            refund::minor_units,
            refund::refund_time,
        ))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let recorded = RecordedRefund {
                refund: Refund {
                    id: row.refund_id.0,
                    amount: money(row.minor_units, row.currency_code),
                },
                refund_time: row.refund_time.0,
            };
            (row.order_id.0, recorded)
        })
        .collect())
}
