//! Reading recorded orders.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, OrderId},
    order::{OrderStatus, RecordedRefund},
};
use kit::db::{Connection, StoreError};

use super::App;
use crate::{
    error::Error,
    store::{
        order_statuses,
        orders::{
            self, RecordedOrder,
            pages::{self, Filter},
        },
        refunds,
    },
};

/// An order with what was recorded for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderView {
    pub(crate) order: RecordedOrder,
    /// By time, then by label.
    pub(crate) statuses: Vec<OrderStatus>,
    /// By time, then by id.
    pub(crate) refunds: Vec<RecordedRefund>,
}

/// Returns an order.
///
/// # Errors
///
/// [`Error::OrderNotFound`].
pub(crate) async fn get_order(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<OrderView, Error> {
    let found = find_order(app, brand_id, order_id).await?;
    found.ok_or_else(|| Error::OrderNotFound {
        order_id: order_id.clone(),
    })
}

/// Returns an order, if it is recorded.
pub(crate) async fn find_order(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Option<OrderView>, Error> {
    let mut connection = app.db.read().await?;
    let Some(order) = orders::find(&mut connection, brand_id, order_id).await? else {
        return Ok(None);
    };
    let views = with_details(&mut connection, brand_id, vec![order]).await?;
    Ok(views.into_iter().next())
}

/// Returns those of `order_ids` that are recorded, by id.
pub(crate) async fn list_by_ids(
    app: &App,
    brand_id: &BrandId,
    order_ids: &BTreeSet<OrderId>,
) -> Result<Vec<OrderView>, Error> {
    let order_ids: Vec<OrderId> = order_ids.iter().cloned().collect();
    let mut connection = app.db.read().await?;
    let orders = orders::list(&mut connection, brand_id, &order_ids).await?;
    Ok(with_details(&mut connection, brand_id, orders).await?)
}

/// Returns the next `limit` orders, newest first, then by id, behind `after`.
pub(crate) async fn list_orders(
    app: &App,
    brand_id: &BrandId,
    filter: &Filter,
    after: Option<&(DateTime<Utc>, OrderId)>,
    limit: i64,
) -> Result<Vec<OrderView>, Error> {
    let mut connection = app.db.read().await?;
    let orders = pages::list(&mut connection, brand_id, filter, after, limit).await?;
    Ok(with_details(&mut connection, brand_id, orders).await?)
}

async fn with_details(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: Vec<RecordedOrder>,
) -> Result<Vec<OrderView>, StoreError> {
    let ids: Vec<OrderId> = orders.iter().map(|order| order.id.clone()).collect();
    let mut statuses: BTreeMap<OrderId, Vec<OrderStatus>> = BTreeMap::new();
    for (order_id, status) in order_statuses::list(connection, brand_id, &ids).await? {
        statuses.entry(order_id).or_default().push(status);
    }
    let mut refunds: BTreeMap<OrderId, Vec<RecordedRefund>> = BTreeMap::new();
    for (order_id, refund) in refunds::list(connection, brand_id, &ids).await? {
        refunds.entry(order_id).or_default().push(refund);
    }
    Ok(orders
        .into_iter()
        .map(|order| OrderView {
            statuses: statuses.remove(&order.id).unwrap_or_default(),
            refunds: refunds.remove(&order.id).unwrap_or_default(),
            order,
        })
        .collect())
}
