//! Recording many orders together (SPEC 35, 45, 46, 48).
//!
//! What a batch does is what its orders alone would do, one after another; a refusal is an answer, and
//! of an order that is refused nothing is recorded. Where a batch cannot be written, each of its
//! orders stands alone, and fails alone. One that `RecordOrder` tells of is recorded once under its
//! request id as well (SPEC 61).
//!
//! An order that comes again says nothing new, though its statuses and refunds may:
//!
//! | comes                      | is recorded                                                    |
//! |----------------------------|----------------------------------------------------------------|
//! | the first status (`order.status`) | with the order alone, as `RecordOrder` does              |
//! | a status with a time       | unless the order has it                                        |
//! | a status without a time    | as of now, unless the order has one of that label: a repetition must not make it the latest |
//! | a refund                   | unless the order has it; refused where it has another under its id |

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use chrono::{DateTime, Utc};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, OrderId, RefundId},
    order::{OrderStatus, RecordedRefund, decide_order_time},
};
use kit::{
    consistency::ConsistencyToken,
    db::{Connection, StoreError, TxError, index_lookups},
    request::{self, RequestKey},
};

use super::{
    App,
    attributions::{self, AttributionView},
    record_order::{OrderReport, StatusReport},
    record_refund::RefundReport,
};
use crate::{
    convert::RefundField,
    error::Error,
    evaluate,
    store::{
        awaited_sign_ins, dirty_marks, order_statuses,
        orders::{self, RecordedOrder},
        refunds,
    },
};

/// An order, and what became of it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportedOrder {
    pub(crate) order: OrderReport,
    /// Besides that of the order.
    pub(crate) statuses: Vec<StatusReport>,
    pub(crate) refunds: Vec<RefundReport>,
    /// The call that tells of it, where that may be repeated under its own id.
    pub(crate) request: Option<RequestKey>,
    /// The sign-in that it waits for, also where it was recorded before (SPEC 54).
    pub(crate) awaited: Option<ConsistencyToken>,
}

impl From<OrderReport> for ImportedOrder {
    fn from(order: OrderReport) -> Self {
        Self {
            order,
            statuses: Vec::new(),
            refunds: Vec::new(),
            request: None,
            awaited: None,
        }
    }
}

/// What became of an order that was to be recorded.
pub(crate) type Answer = Result<OrderId, Error>;

/// What became of several.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// One for each, in their order.
    pub(crate) answers: Vec<Answer>,
    /// The marks on those of which there is something new, for their evaluation to delete.
    pub(crate) marks: Vec<i64>,
}

impl Recorded {
    /// Returns the orders that are recorded.
    pub(crate) fn accepted(&self) -> BTreeSet<OrderId> {
        let accepted = self.answers.iter().flatten();
        accepted.cloned().collect()
    }
}

struct Input {
    brand_id: BrandId,
    imported: Arc<[ImportedOrder]>,
    range: Range<usize>,
    now: DateTime<Utc>,
}

/// Records orders, and returns an answer for each, in their order. What is accepted is marked, and
/// evaluated by [`evaluate`] or, if nobody calls that, a moment later.
///
/// # Errors
///
/// What the database fails with for all of them; those that were answered before are recorded.
pub(crate) async fn record(
    app: &App,
    brand_id: &BrandId,
    imported: Vec<ImportedOrder>,
) -> Result<Recorded, Error> {
    let imported: Arc<[ImportedOrder]> = imported.into();
    let count = imported.len();
    match record_range(app, brand_id, &imported, 0..count).await {
        Err(error) if !is_passing(&error) => {}
        result => return result,
    }
    let mut all = Recorded::default();
    for index in 0..count {
        match record_range(app, brand_id, &imported, index..index + 1).await {
            Ok(recorded) => {
                all.answers.extend(recorded.answers);
                all.marks.extend(recorded.marks);
            }
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => all.answers.push(Err(error)),
        }
    }
    Ok(all)
}

/// Whether the same may succeed later, whatever the orders.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.store_error(),
        Some(StoreError::Unavailable(_) | StoreError::Conflict(_))
    )
}

async fn record_range(
    app: &App,
    brand_id: &BrandId,
    imported: &Arc<[ImportedOrder]>,
    range: Range<usize>,
) -> Result<Recorded, Error> {
    let input = Input {
        brand_id: brand_id.clone(),
        imported: Arc::clone(imported),
        range,
        now: app.clock.now(),
    };
    app.db
        .run_locked_tx("import_orders", input, |connection, input| {
            Box::pin(write(connection, input))
        })
        .await
}

/// Evaluates orders that were recorded, and returns what each is credited to as known now. Their
/// `marks` are deleted, or left where something fails.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn evaluate(
    app: &App,
    brand_id: &BrandId,
    orders: &BTreeSet<OrderId>,
    marks: Vec<i64>,
) -> Result<BTreeMap<OrderId, AttributionView>, Error> {
    let pass = evaluate::evaluate_each(app, brand_id, orders.iter().cloned(), marks).await;
    let evaluated = pass.views.into_iter();
    let mut views: BTreeMap<OrderId, AttributionView> = evaluated
        .map(|view| (view.order_id.clone(), view))
        .collect();
    let others = orders.iter().filter(|id| !views.contains_key(*id));
    let others: Vec<OrderId> = others.cloned().collect();
    if !others.is_empty() {
        let mut connection = app.db.read().await?;
        let known = attributions::list(&mut connection, brand_id, &others).await?;
        views.extend(known.into_iter().map(|view| (view.order_id.clone(), view)));
    }
    Ok(views)
}

/// Somebody else who records the same order at the same instant makes an insertion fail, and then
/// this runs again and finds it. So it needs no lock.
async fn write(connection: &mut Connection, input: &Input) -> Result<Recorded, Error> {
    let (brand_id, now) = (&input.brand_id, input.now);
    let imported = &input.imported[input.range.clone()];
    if let Connection::Postgres(c) = connection {
        index_lookups().execute(c).await.map_err(StoreError::from)?;
    }
    let requests = imported.iter().filter_map(|one| one.request.as_ref());
    let mut claims = request::claim_all(connection, requests, now).await?;
    let mut known = Known::load(connection, brand_id, imported).await?;
    let mut new = New::default();
    let mut answers = Vec::with_capacity(imported.len());
    for one in imported {
        let claim = one.request.as_ref().and_then(|_| claims.pop_front());
        let is_first = matches!(claim, Some(Ok(true)));
        let decided = match claim {
            Some(Err(error)) => Err(error.into()),
            // Of a call that is repeated nothing is new.
            Some(Ok(_)) | None => known.decide(one, now, &mut new),
        };
        if let (Err(_), true, Some(key)) = (&decided, is_first, &one.request) {
            request::forget(connection, key).await?;
        }
        answers.push(decided.map(|()| one.order.id.clone()));
    }
    let mark = new.insert(connection, brand_id, now).await?;
    Ok(Recorded {
        answers,
        marks: mark.into_iter().collect(),
    })
}

/// What is to be written.
#[derive(Default)]
struct New {
    orders: Vec<RecordedOrder>,
    statuses: Vec<(OrderId, OrderStatus)>,
    refunds: Vec<(OrderId, RecordedRefund)>,
    awaited: BTreeMap<OrderId, ConsistencyToken>,
    touched: BTreeSet<OrderId>,
}

impl New {
    /// Inserts it, and returns the number of the mark on it.
    async fn insert(
        mut self,
        connection: &mut Connection,
        brand_id: &BrandId,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, StoreError> {
        // Each transaction inserts by id, so that two never wait for each other.
        self.orders
            .sort_unstable_by(|one, other| one.id.cmp(&other.id));
        self.statuses.sort_unstable();
        orders::insert_all(connection, brand_id, &self.orders).await?;
        order_statuses::keep_all(connection, brand_id, &self.statuses, now).await?;
        refunds::insert_all(connection, brand_id, &self.refunds).await?;
        for (order_id, token) in self.awaited {
            awaited_sign_ins::keep(connection, brand_id, &order_id, token).await?;
        }
        dirty_marks::insert_orders(connection, brand_id, self.touched).await
    }
}

fn ids(imported: &[ImportedOrder], which: fn(&ImportedOrder) -> bool) -> Vec<OrderId> {
    let ids: BTreeSet<&OrderId> = imported
        .iter()
        .filter(|one| which(one))
        .map(|one| &one.order.id)
        .collect();
    ids.into_iter().cloned().collect()
}

/// What is recorded of the orders of a batch, as far as it matters to what is told of them; that
/// included which was decided before in it.
struct Known {
    report_digests: BTreeMap<OrderId, [u8; 32]>,
    statuses: BTreeMap<OrderId, BTreeSet<OrderStatus>>,
    refunds: BTreeMap<OrderId, BTreeMap<RefundId, RecordedRefund>>,
}

impl Known {
    async fn load(
        connection: &mut Connection,
        brand_id: &BrandId,
        imported: &[ImportedOrder],
    ) -> Result<Self, StoreError> {
        let recorded = ids(imported, |_| true);
        let with_statuses = ids(imported, |one| !one.statuses.is_empty());
        let with_refunds = ids(imported, |one| !one.refunds.is_empty());
        let mut known = Self {
            report_digests: BTreeMap::new(),
            statuses: BTreeMap::new(),
            refunds: BTreeMap::new(),
        };
        for order in orders::list(connection, brand_id, &recorded).await? {
            known.report_digests.insert(order.id, order.report_digest);
        }
        if !with_statuses.is_empty() {
            let statuses = order_statuses::list(connection, brand_id, &with_statuses).await?;
            for (order_id, status) in statuses {
                known.statuses.entry(order_id).or_default().insert(status);
            }
        }
        if !with_refunds.is_empty() {
            for (order_id, one) in refunds::list(connection, brand_id, &with_refunds).await? {
                let of_order = known.refunds.entry(order_id).or_default();
                of_order.insert(one.refund.id.clone(), one);
            }
        }
        Ok(known)
    }

    fn decide(
        &mut self,
        imported: &ImportedOrder,
        now: DateTime<Utc>,
        new: &mut New,
    ) -> Result<(), Error> {
        let report = &imported.order;
        let order_time =
            decide_order_time(report.given_time, now).map_err(|_| Error::OrderInFuture)?;
        let known = self.report_digests.get(&report.id);
        if known.is_some_and(|digest| *digest != report.digest) {
            return Err(Error::OrderIdReused {
                order_id: report.id.clone(),
            });
        }
        let is_new = known.is_none();
        let refunds = self.decide_refunds(imported, now)?;
        let statuses = self.decide_statuses(imported, is_new, now);
        // Nothing can be refused any more.
        let id = &report.id;
        if is_new || !statuses.is_empty() || !refunds.is_empty() || imported.awaited.is_some() {
            new.touched.insert(id.clone());
        }
        if let Some(token) = imported.awaited {
            new.awaited.insert(id.clone(), token);
        }
        if is_new {
            self.report_digests.insert(id.clone(), report.digest);
            new.orders.push(report.recorded(order_time, now));
        }
        let known = self.statuses.entry(id.clone()).or_default();
        known.extend(statuses.iter().cloned());
        new.statuses
            .extend(statuses.into_iter().map(|one| (id.clone(), one)));
        let known = self.refunds.entry(id.clone()).or_default();
        known.extend(refunds.iter().map(|(id, one)| (id.clone(), one.clone())));
        new.refunds
            .extend(refunds.into_values().map(|one| (id.clone(), one)));
        Ok(())
    }

    fn decide_statuses(
        &self,
        imported: &ImportedOrder,
        is_new: bool,
        now: DateTime<Utc>,
    ) -> BTreeSet<OrderStatus> {
        let known = self.statuses.get(&imported.order.id);
        let mut new = BTreeSet::new();
        if let Some(first) = imported.order.status.as_ref().filter(|_| is_new) {
            new.insert(first.recorded(now));
        }
        for status in &imported.statuses {
            let mut all = known.into_iter().flatten().chain(&new);
            let has_label = all.any(|one| one.label == status.label);
            if status.given_time.is_none() && has_label {
                continue;
            }
            let status = status.recorded(now);
            if known.is_none_or(|known| !known.contains(&status)) {
                new.insert(status);
            }
        }
        new
    }

    fn decide_refunds(
        &self,
        imported: &ImportedOrder,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<RefundId, RecordedRefund>, Error> {
        let known = self.refunds.get(&imported.order.id);
        let expected = imported.order.total.currency();
        let mut new: BTreeMap<RefundId, RecordedRefund> = BTreeMap::new();
        for report in &imported.refunds {
            let (id, found) = (&report.refund.id, report.refund.amount.currency());
            if expected != found {
                return Err(RefundField::IMPORTED.other_currency(expected, found).into());
            }
            let known = known.and_then(|known| known.get(id));
            match known.or_else(|| new.get(id)) {
                Some(known) if report.is_of(known) => {}
                Some(_) => {
                    return Err(Error::RefundIdReused {
                        refund_id: id.clone(),
                    });
                }
                None => {
                    new.insert(id.clone(), report.recorded(now));
                }
            }
        }
        Ok(new)
    }
}
