//! From facts to bookings: what a fact has touched is evaluated again, after it.
//!
//! 1. A fact, or an order, is written together with a mark on what it touches.
//! 2. Here, later, marks are read; then the orders behind them are looked up and evaluated
//!    ([`order`]), many in one transaction, which locks them first and then reads all their facts.
//! 3. The marks that were read are deleted; orders that could not be evaluated are marked themselves.
//!
//! Who records orders marks them all by one mark, evaluates them itself, for the answer's sake, and
//! deletes the mark with that.
//!
//! Orders of a whole span of time, behind a policy or by request, are gone through by [`recompute`],
//! which has a task of its own, so that the latest fact need not wait for a year of orders.
//!
//! Why nothing is missed: who sees a mark sees its fact. An order and its last fact that commit at
//! the same instant both leave a mark, and whichever of the two is looked at last sees both. Why
//! nothing is booked twice: the lock, and entries unique by order, Member and number. A crash before
//! step 3 repeats an evaluation, which then finds nothing to book. What it costs grows with the
//! orders behind the marks.
//!
//! Source: SPEC 42, 43.

pub(crate) mod affected;
pub(crate) mod facts;
pub(crate) mod order;
pub(crate) mod recompute;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::id::{BrandId, LedgerEntryId, OrderId};
use futures_util::{StreamExt, future, stream};
use kit::{
    db::{Connection, StoreError},
    directory,
    error::CallError,
    telemetry::Causes,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, attributions::AttributionView},
    evaluate::order::{Evaluate, Evaluated, Seed},
    store::{
        awaited_sign_ins,
        dirty_marks::{self, Mark},
    },
};

/// How long a mark of another replica, or one whose evaluation failed, may wait.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How many marks of a Brand are looked at together.
const MARKS: i64 = 256;
/// How many orders are evaluated in one transaction.
const BATCH_LENGTH: usize = 256;
/// How many such transactions run at once.
const AT_ONCE: usize = 2;
/// How many orders that wait for a sign-in are looked at in one pass.
const AWAITED: i64 = 64;

/// Evaluates what is marked until `shutdown`: when it is woken, and every second.
pub(crate) async fn run(app: Arc<App>, shutdown: CancellationToken) {
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = evaluate_marked(&app) => result,
        };
        if let Err(error) = result {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "evaluation is put off"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = app.wake.notified() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Asks for the sign-ins that orders wait for, every second until `shutdown`. A task of its own: an
/// identity that is slow to answer must not hold up what can be evaluated.
pub(crate) async fn run_awaited(app: Arc<App>, shutdown: CancellationToken) {
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = settle_awaited(&app) => result,
        };
        if let Err(error) = result {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "orders wait on for their sign-in"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Evaluates everything behind the marks that are there now, and returns how many orders that was.
///
/// Brands take turns, a page each, and marks that come meanwhile are left for the next time: no
/// Brand holds up another, nor does one whose facts cannot be read.
///
/// # Errors
///
/// What reading the marks fails with.
pub(crate) async fn evaluate_marked(app: &App) -> Result<usize, StoreError> {
    let mut turns = VecDeque::new();
    {
        let mut connection = app.db.read().await?;
        for (brand_id, through) in dirty_marks::list_brands(&mut connection).await? {
            turns.push_back((brand_id, 0, through));
        }
    }
    let mut count = 0;
    while let Some((brand_id, after, through)) = turns.pop_front() {
        let marks = {
            let mut connection = app.db.read().await?;
            dirty_marks::list(&mut connection, &brand_id, after, through, MARKS).await?
        };
        let Some(last) = marks.last() else {
            continue;
        };
        match evaluate_behind(app, &brand_id, &marks).await {
            Ok(evaluated) => {
                count += evaluated;
                turns.push_back((brand_id, last.number, through));
            }
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => tracing::error!(
                brand.id = %brand_id,
                error = &error as &dyn std::error::Error,
                "the brand's orders are evaluated later"
            ),
        }
    }
    Ok(count)
}

async fn evaluate_behind(
    app: &App,
    brand_id: &BrandId,
    marks: &[Mark],
) -> Result<usize, StoreError> {
    let orders = {
        let mut connection = app.db.read().await?;
        affected::orders(&mut connection, brand_id, marks).await?
    };
    let count = orders.len();
    let numbers: Vec<i64> = marks.iter().map(|mark| mark.number).collect();
    if count == 0 {
        finish_marks(app, brand_id, numbers, BTreeSet::new()).await?;
        return Ok(0);
    }
    let causes = marks.iter().map(|mark| &*mark.trace_parent);
    let causes = Causes::of(causes.map(|trace_parent| ("evaluate orders", trace_parent)));
    let evaluation = evaluate_each(app, brand_id, orders, numbers.clone());
    let pass = causes.run(evaluation).await;
    if !pass.has_deleted_marks {
        finish_marks(app, brand_id, numbers, pass.failed).await?;
    }
    Ok(count)
}

/// Deletes marks whose orders were evaluated, and marks those that could not be.
async fn finish_marks(
    app: &App,
    brand_id: &BrandId,
    numbers: Vec<i64>,
    failed: BTreeSet<OrderId>,
) -> Result<(), StoreError> {
    let input = (brand_id.clone(), numbers, failed);
    app.db
        .run_locked_tx("finish_marks", input, |connection, input| {
            Box::pin(async move {
                let (brand_id, numbers, failed) = input;
                dirty_marks::insert_orders(connection, brand_id, failed.clone()).await?;
                dirty_marks::delete(connection, brand_id, numbers).await
            })
        })
        .await
}

/// What came of evaluating several orders.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// How many came to something else than before.
    changed_count: i64,
    /// Those that could not be evaluated.
    failed: BTreeSet<OrderId>,
    /// Whether the marks that led to them went with their evaluation.
    has_deleted_marks: bool,
    /// What is known now of those that were.
    pub(crate) views: Vec<AttributionView>,
}

impl Pass {
    fn add(&mut self, evaluated: Evaluated) {
        self.changed_count += i64::try_from(evaluated.changed_count).unwrap_or(i64::MAX);
        self.views.extend(evaluated.views);
    }
}

/// Evaluates orders, a batch in each transaction. Where a batch fails, each of its orders stands
/// alone, and fails alone. Where there is one batch, and it does not fail, `marks` go with it.
pub(crate) async fn evaluate_each(
    app: &App,
    brand_id: &BrandId,
    orders: impl IntoIterator<Item = OrderId>,
    marks: Vec<i64>,
) -> Pass {
    let orders: Vec<OrderId> = orders.into_iter().collect();
    if orders.len() <= BATCH_LENGTH {
        return evaluate_batch(app, brand_id, orders, marks).await;
    }
    let batches: Vec<Vec<OrderId>> = orders.chunks(BATCH_LENGTH).map(<[_]>::to_vec).collect();
    let passes =
        stream::iter(batches).map(|batch| evaluate_batch(app, brand_id, batch, Vec::new()));
    passes
        .buffer_unordered(AT_ONCE)
        .fold(Pass::default(), |mut sum, pass| {
            sum.changed_count += pass.changed_count;
            sum.failed.extend(pass.failed);
            sum.views.extend(pass.views);
            future::ready(sum)
        })
        .await
}

async fn evaluate_batch(
    app: &App,
    brand_id: &BrandId,
    orders: Vec<OrderId>,
    marks: Vec<i64>,
) -> Pass {
    let mut pass = Pass::default();
    if orders.is_empty() {
        return pass;
    }
    match evaluate_orders(app, brand_id, orders.clone(), marks).await {
        Ok(evaluated) => {
            pass.add(evaluated);
            pass.has_deleted_marks = true;
            return pass;
        }
        Err(error @ StoreError::Unavailable(_)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "orders are evaluated later"
            );
            pass.failed = orders.into_iter().collect();
            return pass;
        }
        // Which of them is at fault shows below.
        Err(_) => {}
    }
    for order_id in orders {
        match evaluate_orders(app, brand_id, vec![order_id.clone()], Vec::new()).await {
            Ok(evaluated) => pass.add(evaluated),
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                if error.is_lasting() {
                    tracing::error!(order.id = %order_id, error = cause, "order cannot be evaluated");
                } else {
                    tracing::warn!(order.id = %order_id, error = cause, "order is evaluated later");
                }
                pass.failed.insert(order_id);
            }
        }
    }
    pass
}

/// Evaluates orders now, in one transaction, which deletes the `marks` that led to them, and returns
/// what they came to.
///
/// # Errors
///
/// What the database fails with; the orders' marks are left, and they are evaluated again.
pub(crate) async fn evaluate_orders(
    app: &App,
    brand_id: &BrandId,
    order_ids: Vec<OrderId>,
    marks: Vec<i64>,
) -> Result<Evaluated, StoreError> {
    let first: LedgerEntryId = app.ids.next();
    let input = Evaluate {
        brand_id: brand_id.clone(),
        order_ids,
        marks,
        now: app.clock.now(),
        seed: Seed::new(first),
    };
    let evaluated = app
        .db
        .run_locked_tx("evaluate_orders", input, |connection, input| {
            Box::pin(order::evaluate(connection, input))
        })
        .await?;
    evaluated.tell();
    Ok(evaluated)
}

/// Asks identity for the sign-ins that orders wait for. Whatever it answers is all there is to know:
/// a token that tells of more was not given by identity, and holds up its order no longer.
async fn settle_awaited(app: &App) -> Result<(), StoreError> {
    let waiting = {
        let mut connection = app.db.read().await?;
        awaited_sign_ins::list(&mut connection, AWAITED).await?
    };
    for (brand_id, order_id, account_id) in waiting {
        match directory::refresh(&app.db, &app.identity, &brand_id, account_id).await {
            Ok(_) => {}
            Err(CallError::IdentityUnavailable) => return Ok(()),
            Err(CallError::Store(error)) => return Err(error),
            Err(_) => continue,
        }
        let mark = settle_sign_in(app, &brand_id, &order_id).await?;
        evaluate_orders(app, &brand_id, vec![order_id], vec![mark]).await?;
    }
    Ok(())
}

/// Lets an order wait no longer, and marks it in the same transaction: what evaluated it while it
/// waited has deleted its marks, and whoever evaluates it next may not be this process. Returns the
/// mark's number.
pub(crate) async fn settle_sign_in(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<i64, StoreError> {
    let input = (brand_id.clone(), order_id.clone());
    app.db
        .run_locked_tx("settle_sign_in", input, |connection, input| {
            Box::pin(settle(connection, input))
        })
        .await
}

async fn settle(
    connection: &mut Connection,
    (brand_id, order_id): &(BrandId, OrderId),
) -> Result<i64, StoreError> {
    awaited_sign_ins::delete(connection, brand_id, order_id).await?;
    dirty_marks::insert_order(connection, brand_id, order_id).await
}
