//! Recording an order (SPEC 35, 38, 46).

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, OrderId},
    money::Money,
    order::{BuyerKeys, OrderStatus, StatusLabel, decide_order_time},
};
use kit::{
    consistency::ConsistencyToken,
    db::Connection,
    request::{self, RequestKey},
};

use super::{App, attributions::AttributionView, consistency};
use crate::{
    error::Error,
    store::{
        awaited_sign_ins,
        dirty_marks::{self, NewMark, Subject},
        order_statuses,
        orders::{self, RecordedOrder},
    },
};

/// What the Brand's checkout reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderReport {
    pub(crate) id: OrderId,
    /// When it was placed, where the Brand says so.
    pub(crate) given_time: Option<DateTime<Utc>>,
    pub(crate) keys: BuyerKeys,
    /// With shipping.
    pub(crate) total: Money,
    /// Part of the total, in its currency.
    pub(crate) shipping: Money,
    pub(crate) status: Option<StatusReport>,
    /// Tells the same report from another.
    pub(crate) digest: [u8; 32],
}

/// A status as it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusReport {
    pub(crate) label: StatusLabel,
    /// From when on it holds, where the Brand says so.
    pub(crate) given_time: Option<DateTime<Utc>>,
}

impl OrderReport {
    /// Returns what is recorded of it `now`.
    pub(super) fn recorded(&self, order_time: DateTime<Utc>, now: DateTime<Utc>) -> RecordedOrder {
        RecordedOrder {
            id: self.id.clone(),
            order_time,
            receive_time: now,
            keys: self.keys.clone(),
            total: self.total,
            shipping: self.shipping,
            report_digest: self.digest,
        }
    }
}

impl StatusReport {
    /// Returns what is recorded of it `now`.
    pub(super) fn recorded(&self, now: DateTime<Utc>) -> OrderStatus {
        OrderStatus {
            status_time: self.given_time.unwrap_or(now),
            label: self.label.clone(),
        }
    }
}

struct Input {
    brand_id: BrandId,
    key: RequestKey,
    order: RecordedOrder,
    status: Option<OrderStatus>,
    awaited: Option<ConsistencyToken>,
    now: DateTime<Utc>,
}

/// Records an order, evaluates it as far as its facts are known, and returns what came of that, unless
/// it could not be evaluated yet.
///
/// It is never refused because something is not known yet. Messages and sign-ins that were
/// acknowledged a moment ago may still be on their way here; the order's credit follows when they
/// come, and only a consistency token makes the call ask for a sign-in.
///
/// # Errors
///
/// [`Error::OrderInFuture`]; [`Error::OrderIdReused`] and [`CallError::RequestIdReused`] for another
/// body.
///
/// [`CallError::RequestIdReused`]: kit::error::CallError::RequestIdReused
pub(crate) async fn record_order(
    app: &App,
    brand_id: &BrandId,
    key: RequestKey,
    report: OrderReport,
    token: Option<ConsistencyToken>,
) -> Result<Option<AttributionView>, Error> {
    let now = app.clock.now();
    let order_time = decide_order_time(report.given_time, now).map_err(|_| Error::OrderInFuture)?;
    let awaited = consistency::unseen(app, brand_id, token).await?;
    let order_id = report.id.clone();
    let input = Input {
        brand_id: brand_id.clone(),
        key,
        status: report.status.as_ref().map(|status| status.recorded(now)),
        order: report.recorded(order_time, now),
        awaited,
        now,
    };
    app.db
        .run_tx("record_order", input, |connection, input| {
            Box::pin(record(connection, input))
        })
        .await?;
    Ok(app.evaluate_now(brand_id, &order_id).await)
}

async fn record(connection: &mut Connection, input: &Input) -> Result<(), Error> {
    let (brand_id, order) = (&input.brand_id, &input.order);
    if request::find(connection, &input.key).await?.is_some() {
        return Ok(());
    }
    if orders::insert(connection, brand_id, order).await? {
        if let Some(status) = &input.status {
            order_statuses::keep(connection, brand_id, &order.id, status, input.now).await?;
        }
        if let Some(token) = input.awaited {
            awaited_sign_ins::insert(connection, brand_id, &order.id, token).await?;
        }
        let mark = NewMark::new(Subject::Order(order.id.clone()));
        dirty_marks::insert(connection, brand_id, &mark).await?;
    } else {
        let known = orders::find(connection, brand_id, &order.id).await?;
        if known.is_none_or(|known| known.report_digest != order.report_digest) {
            return Err(Error::OrderIdReused {
                order_id: order.id.clone(),
            });
        }
    }
    request::keep(connection, &input.key, Vec::new(), input.now).await?;
    Ok(())
}
