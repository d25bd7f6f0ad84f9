//! Recording an order (SPEC 35, 38, 46).

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, OrderId},
    money::Money,
    order::{BuyerKeys, OrderStatus, StatusLabel},
};
use kit::{consistency::ConsistencyToken, request::RequestKey};

use super::{App, consistency, import_orders::ImportedOrder, recorder::Recorded};
use crate::{error::Error, store::orders::RecordedOrder};

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

/// Records an order, evaluates it as far as its facts are known, and returns what came of that.
///
/// It is never refused because something is not known yet. Messages and sign-ins that were
/// acknowledged a moment ago may still be on their way here; the order's credit follows when they
/// come, and only a consistency token makes the call ask for a sign-in. Where that cannot be answered
/// the order waits for it, also one that was recorded before.
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
) -> Result<Recorded, Error> {
    let imported = ImportedOrder {
        awaited: consistency::unseen(app, brand_id, token).await?,
        request: Some(key),
        ..report.into()
    };
    app.recorder.record(brand_id, imported).await
}
