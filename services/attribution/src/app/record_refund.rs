//! Recording a refund of an order, which may come later (SPEC 45, 46).

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, OrderId},
    order::{RecordedRefund, Refund},
};
use kit::{
    db::Connection,
    request::{self, RequestKey},
};
use prost::Message;
use rapport_proto::attribution::v1 as wire;

use super::App;
use crate::{
    convert::{self, RefundField},
    error::Error,
    store::{dirty_marks, orders, refunds},
};

/// A refund as it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefundReport {
    pub(crate) refund: Refund,
    /// When, where the Brand says so.
    pub(crate) given_time: Option<DateTime<Utc>>,
}

impl RefundReport {
    /// Returns what is recorded of it `now`.
    pub(super) fn recorded(&self, now: DateTime<Utc>) -> RecordedRefund {
        RecordedRefund {
            refund: self.refund.clone(),
            refund_time: self.given_time.unwrap_or(now),
        }
    }

    /// Returns whether it tells again of what is recorded under its id.
    pub(crate) fn is_of(&self, recorded: &RecordedRefund) -> bool {
        let same_time = self
            .given_time
            .is_none_or(|time| time == recorded.refund_time);
        recorded.refund == self.refund && same_time
    }
}

struct Input {
    brand_id: BrandId,
    key: RequestKey,
    order_id: OrderId,
    report: RefundReport,
    now: DateTime<Utc>,
}

/// Records a refund, and evaluates its order where that is known. Returns the refund with its time;
/// a repeated one returns that of the first.
///
/// # Errors
///
/// [`Error::RefundIdReused`] for another amount, or another time where one is given;
/// [`CallError::FieldInvalid`] for another currency than the order's;
/// [`CallError::RequestIdReused`].
pub(crate) async fn record_refund(
    app: &App,
    brand_id: &BrandId,
    key: RequestKey,
    order_id: &OrderId,
    report: RefundReport,
) -> Result<wire::Refund, Error> {
    let input = Input {
        brand_id: brand_id.clone(),
        key,
        order_id: order_id.clone(),
        report,
        now: app.clock.now(),
    };
    let (refund, mark) = app
        .db
        .run_tx("record_refund", input, |connection, input| {
            Box::pin(record(connection, input))
        })
        .await?;
    app.evaluate_now(brand_id, order_id, mark).await;
    Ok(refund)
}

/// Returns the refund, and the mark on its order where it is new.
async fn record(
    connection: &mut Connection,
    input: &Input,
) -> Result<(wire::Refund, Option<i64>), Error> {
    if let Some(kept) = request::find(connection, &input.key).await? {
        return Ok((convert::kept(&kept)?, None));
    }
    let (brand_id, order_id) = (&input.brand_id, &input.order_id);
    let reported = &input.report.refund;
    if let Some(order) = orders::find(connection, brand_id, order_id).await? {
        let (expected, found) = (order.total.currency(), reported.amount.currency());
        if expected != found {
            return Err(RefundField::ONE.other_currency(expected, found).into());
        }
    }
    let recorded = input.report.recorded(input.now);
    let (recorded, mark) = match refunds::insert(connection, brand_id, order_id, &recorded).await? {
        true => {
            let mark = dirty_marks::insert_order(connection, brand_id, order_id).await?;
            (recorded, Some(mark))
        }
        false => (find_same(connection, input).await?, None),
    };
    let refund = convert::refund(&recorded);
    request::keep(connection, &input.key, refund.encode_to_vec(), input.now).await?;
    Ok((refund, mark))
}

/// Returns the refund of that id, if it is the same.
async fn find_same(connection: &mut Connection, input: &Input) -> Result<RecordedRefund, Error> {
    let ids = std::slice::from_ref(&input.order_id);
    let known = refunds::list(connection, &input.brand_id, ids).await?;
    known
        .into_iter()
        .map(|(_, known)| known)
        .find(|known| input.report.is_of(known))
        .ok_or_else(|| Error::RefundIdReused {
            refund_id: input.report.refund.id.clone(),
        })
}
