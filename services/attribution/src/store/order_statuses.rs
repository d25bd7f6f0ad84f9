//! The table `order_status`: what became of orders. Append-only.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl, sql_types::Array};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, OrderId},
    order::{OrderStatus, StatusLabel},
};
use kit::{
    db::{Connection, DbText, DbTime, PgText, Sql, StoreError},
    query,
};

use super::schema::order_status;

/// Keeps a status of an order, which need not be known, unless it is known itself.
pub(crate) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
    status: &OrderStatus,
    receive_time: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(order_status::table)
        .values((
            order_status::brand_id.eq(Sql(brand_id)),
            order_status::order_id.eq(Sql(order_id)),
            order_status::status_time.eq(Sql(status.status_time)),
            order_status::label.eq(Sql(status.label.as_str())),
            order_status::receive_time.eq(Sql(receive_time)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(())
}

/// Keeps statuses that were received together, as [`keep`] does; on PostgreSQL by one statement.
pub(crate) async fn keep_all(
    connection: &mut Connection,
    brand_id: &BrandId,
    statuses: &[(OrderId, OrderStatus)],
    receive_time: DateTime<Utc>,
) -> Result<(), StoreError> {
    match connection {
        _ if statuses.is_empty() => {}
        Connection::Postgres(c) => {
            let order_ids = statuses.iter().map(|(id, _)| Sql(id.clone()));
            let times = statuses.iter().map(|(_, one)| Sql(one.status_time));
            let labels = statuses.iter().map(|(_, one)| Sql(one.label.as_str()));
            PgText::<()>::new(
                "INSERT INTO order_status (brand_id, order_id, status_time, label, receive_time) \
                 SELECT ?, s.*, ? FROM unnest(?, ?, ?) AS s ON CONFLICT DO NOTHING",
            )
            .bind::<DbText, _>(Sql(brand_id))
            .bind::<DbTime, _>(Sql(receive_time))
            .bind::<Array<DbText>, _>(order_ids.collect::<Vec<_>>())
            .bind::<Array<DbTime>, _>(times.collect::<Vec<_>>())
            .bind::<Array<DbText>, _>(labels.collect::<Vec<_>>())
            .execute(c)
            .await?;
        }
        Connection::Sqlite(_) => {
            for (order_id, status) in statuses {
                keep(connection, brand_id, order_id, status, receive_time).await?;
            }
        }
    }
    Ok(())
}

/// Returns the statuses of `orders`, by order, then by time, then by label.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<Vec<(OrderId, OrderStatus)>, StoreError> {
    type Row = (Sql<OrderId>, Sql<DateTime<Utc>>, Sql<String>);
    let orders: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| order_status::table
        .filter(order_status::brand_id.eq(Sql(brand_id)))
        .filter(order_status::order_id.eq_any(&orders))
        .order((
            order_status::order_id,
            order_status::status_time,
            order_status::label,
        ))
        .select((
            order_status::order_id,
            order_status::status_time,
            order_status::label,
        ))
        .load(c)
        .await)?;
    rows.into_iter()
        .map(|(order_id, status_time, label)| {
            let label = StatusLabel::parse(&label.0).map_err(|_| StoreError::Corrupt {
                what: "order_status.label",
            })?;
            let status = OrderStatus {
                status_time: status_time.0,
                label,
            };
            Ok((order_id.0, status))
        })
        .collect()
}
