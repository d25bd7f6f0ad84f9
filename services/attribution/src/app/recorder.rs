//! One commit for all who record orders at once.
//!
//! The orders of a batch are recorded as an import's are, and evaluated together, each Brand's by
//! themselves; each is answered after both. Its evaluation may fail: then it is evaluated later, and
//! stays recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use domain::id::{BrandId, OrderId};
use kit::{
    batches::{Batches, Unanswered},
    db::StoreError,
    telemetry::{self, Causes},
};

use super::{
    App,
    attributions::AttributionView,
    import_orders::{self, Answer, ImportedOrder},
    orders::{self, OrderView},
};
use crate::error::Error;

/// An order as it is known after it was recorded, and what it is credited to, unless it waits for a
/// sign-in.
pub(crate) type Recorded = (OrderView, AttributionView);

struct Call {
    brand_id: BrandId,
    imported: ImportedOrder,
    /// The trace of the call; empty where none is kept.
    trace_parent: String,
}

/// Where orders are handed in to be recorded.
pub(crate) struct Recorder(Batches<Call, Result<Recorded, Error>>);

impl Recorder {
    /// Returns a recorder for `app`, which owns it.
    pub(crate) fn new(app: Weak<App>) -> Self {
        Self(Batches::new(|| {
            let app = app.clone();
            move |calls| {
                let app = app.clone();
                Box::pin(async move { record_all(app.upgrade(), calls).await })
            }
        }))
    }

    /// Records an order together with those of others.
    ///
    /// # Errors
    ///
    /// The refusals of [`import_orders::record`]; what the database fails with.
    pub(super) async fn record(
        &self,
        brand_id: &BrandId,
        imported: ImportedOrder,
    ) -> Result<Recorded, Error> {
        let call = Call {
            brand_id: brand_id.clone(),
            trace_parent: telemetry::trace_parent(),
            imported,
        };
        let subject = (brand_id.clone(), call.imported.order.id.clone());
        let written = self.0.write(subject, call).await;
        written.unwrap_or_else(|unanswered| Err(unavailable(unanswered)))
    }
}

fn unavailable(unanswered: Unanswered) -> Error {
    let cause = match unanswered {
        Unanswered::Full => "too many orders wait to be recorded",
        Unanswered::Lost => "the order may not have been recorded",
    };
    StoreError::Unavailable(cause.into()).into()
}

/// Answers each of `calls`, in their order.
async fn record_all(app: Option<Arc<App>>, calls: Vec<Call>) -> Vec<Result<Recorded, Error>> {
    let mut answers: Vec<Result<Recorded, Error>> = calls
        .iter()
        .map(|_| Err(unavailable(Unanswered::Lost)))
        .collect();
    let Some(app) = app else {
        return answers;
    };
    let mut by_brand: BTreeMap<BrandId, Vec<(usize, Call)>> = BTreeMap::new();
    for (index, call) in calls.into_iter().enumerate() {
        let of_brand = by_brand.entry(call.brand_id.clone()).or_default();
        of_brand.push((index, call));
    }
    for (brand_id, calls) in by_brand {
        let causes = calls.iter().map(|(_, call)| &*call.trace_parent);
        let causes = Causes::of(causes.map(|trace_parent| ("record orders", trace_parent)));
        let (places, orders): (Vec<usize>, Vec<ImportedOrder>) = calls
            .into_iter()
            .map(|(index, call)| (index, call.imported))
            .unzip();
        let recorded = causes.run(record_of_brand(&app, &brand_id, orders)).await;
        for (index, answer) in places.into_iter().zip(recorded) {
            answers[index] = answer;
        }
    }
    answers
}

/// Answers none of those that cannot be written because the database is lost, but one, whose answer
/// tells the log why.
async fn record_of_brand(
    app: &App,
    brand_id: &BrandId,
    imported: Vec<ImportedOrder>,
) -> Vec<Result<Recorded, Error>> {
    let recorded = match import_orders::record(app, brand_id, imported).await {
        Ok(recorded) => recorded,
        Err(error) => return vec![Err(error)],
    };
    let accepted = recorded.accepted();
    let known = known(app, brand_id, &accepted, recorded.marks).await;
    let known = match known {
        Ok(known) => known,
        Err(error) => return vec![Err(error)],
    };
    let answer = |answer: Answer| {
        let order_id = answer?;
        let found = known.get(&order_id).cloned();
        found.ok_or(Error::OrderNotFound { order_id })
    };
    recorded.answers.into_iter().map(answer).collect()
}

/// Evaluates orders that were recorded, and returns what is known of them.
async fn known(
    app: &App,
    brand_id: &BrandId,
    order_ids: &BTreeSet<OrderId>,
    marks: Vec<i64>,
) -> Result<BTreeMap<OrderId, Recorded>, Error> {
    let mut views = import_orders::evaluate(app, brand_id, order_ids, marks).await?;
    let orders = orders::list_by_ids(app, brand_id, order_ids).await?;
    Ok(orders
        .into_iter()
        .filter_map(|order| {
            let id = order.order.id.clone();
            let view = views.remove(&id)?;
            Some((id, (order, view)))
        })
        .collect())
}
