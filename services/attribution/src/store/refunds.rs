//! The table `refund`: what was given back. Append-only.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, OrderId, RefundId},
    money::Currency,
    order::Refund,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{money, schema::refund};

/// A refund as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedRefund {
    pub(crate) refund: Refund,
    /// When; decides nothing.
    pub(crate) refund_time: DateTime<Utc>,
}

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
