//! Recording a status of an order, which may come later (SPEC 45).

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, OrderId},
    order::OrderStatus,
};
use kit::{
    db::Connection,
    request::{self, RequestKey},
};
use prost::Message;
use rapport_proto::attribution::v1 as wire;

use super::{App, record_order::StatusReport};
use crate::{
    convert,
    error::Error,
    store::{dirty_marks, order_statuses},
};

struct Input {
    brand_id: BrandId,
    key: RequestKey,
    order_id: OrderId,
    status: OrderStatus,
    now: DateTime<Utc>,
}

/// Records a status, and evaluates its order where that is known. Returns the status with its time;
/// a repeated call returns that of the first.
///
/// # Errors
///
/// [`CallError::RequestIdReused`](kit::error::CallError::RequestIdReused).
pub(crate) async fn record_status(
    app: &App,
    brand_id: &BrandId,
    key: RequestKey,
    order_id: &OrderId,
    report: StatusReport,
) -> Result<wire::OrderStatus, Error> {
    let now = app.clock.now();
    let input = Input {
        brand_id: brand_id.clone(),
        key,
        order_id: order_id.clone(),
        status: report.recorded(now),
        now,
    };
    let (status, mark) = app
        .db
        .run_tx("record_status", input, |connection, input| {
            Box::pin(record(connection, input))
        })
        .await?;
    app.evaluate_now(brand_id, order_id, mark).await;
    Ok(status)
}

/// Returns the status, and the mark on its order.
async fn record(
    connection: &mut Connection,
    input: &Input,
) -> Result<(wire::OrderStatus, Option<i64>), Error> {
    if let Some(kept) = request::find(connection, &input.key).await? {
        return Ok((convert::kept(&kept)?, None));
    }
    let status = convert::order_status(&input.status);
    order_statuses::keep(
        connection,
        &input.brand_id,
        &input.order_id,
        &input.status,
        input.now,
    )
    .await?;
    let mark = dirty_marks::insert_order(connection, &input.brand_id, &input.order_id).await?;
    request::keep(connection, &input.key, status.encode_to_vec(), input.now).await?;
    Ok((status, Some(mark)))
}
