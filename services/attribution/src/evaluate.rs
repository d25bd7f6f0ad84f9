//! From facts to bookings: what a fact has touched is evaluated again, after it.
//!
//! 1. A fact, or an order, is written together with a mark on what it touches.
//! 2. Here, later, marks are read; then the orders behind each are looked up, and each is evaluated
//!    in a transaction of its own ([`order`]), which locks it first and then reads all its facts.
//! 3. The marks that were read are deleted.
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

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::id::{BrandId, LedgerEntryId, OrderId};
use futures_util::{StreamExt, stream};
use kit::{
    db::{Connection, StoreError},
    directory,
    error::CallError,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    evaluate::order::{Evaluate, Evaluated, Seed},
    store::{
        awaited_sign_ins,
        dirty_marks::{self, Mark, NewMark, Subject},
        orders,
    },
};

/// How long a mark of another replica, or one whose evaluation failed, may wait.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How many marks are looked at together.
const MARKS: i64 = 256;
/// How many orders of a policy's mark are looked at together.
const POLICY_ORDERS: i64 = 256;
/// How many orders are evaluated at once.
const AT_ONCE: usize = 4;
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
/// A mark whose order cannot be evaluated stays, and holds up no other.
///
/// # Errors
///
/// What reading the marks fails with.
pub(crate) async fn evaluate_marked(app: &App) -> Result<usize, StoreError> {
    let mut evaluated = 0;
    let mut after: Option<(BrandId, i64)> = None;
    loop {
        let marks = {
            let mut connection = app.db.read().await?;
            dirty_marks::list(&mut connection, after.as_ref(), MARKS).await?
        };
        let Some(last) = marks.last() else {
            return Ok(evaluated);
        };
        after = Some((last.brand_id.clone(), last.number));
        evaluated += evaluate_behind(app, &marks).await?;
    }
}

async fn evaluate_behind(app: &App, marks: &[Mark]) -> Result<usize, StoreError> {
    let mut evaluated: HashMap<(BrandId, OrderId), bool> = HashMap::new();
    let mut done: HashMap<BrandId, Vec<i64>> = HashMap::new();
    for mark in marks {
        let succeeded = match mark.subject {
            Subject::Policy => evaluate_policy(app, mark, &mut evaluated).await?,
            _ => {
                let orders = {
                    let mut connection = app.db.read().await?;
                    affected::orders(&mut connection, mark).await?
                };
                evaluate_each(app, &mark.brand_id, orders, &mut evaluated).await
            }
        };
        if succeeded {
            done.entry(mark.brand_id.clone())
                .or_default()
                .push(mark.number);
        }
    }
    for read in done {
        app.db
            .run_locked_tx("delete_marks", read, |connection, (brand_id, numbers)| {
                Box::pin(dirty_marks::delete(connection, brand_id, numbers))
            })
            .await?;
    }
    Ok(evaluated.len())
}

/// Evaluates the Brand's orders from the mark's time on, page by page.
async fn evaluate_policy(
    app: &App,
    mark: &Mark,
    evaluated: &mut HashMap<(BrandId, OrderId), bool>,
) -> Result<bool, StoreError> {
    let from_time = mark.from_time.unwrap_or_else(crate::store::first_instant);
    let mut after = None;
    let mut succeeded = true;
    loop {
        let page = {
            let mut connection = app.db.read().await?;
            orders::list_from(
                &mut connection,
                &mark.brand_id,
                from_time,
                after.as_ref(),
                POLICY_ORDERS,
            )
            .await?
        };
        let Some(last) = page.last() else {
            return Ok(succeeded);
        };
        after = Some(last.clone());
        let orders = page.into_iter().map(|(_, order_id)| order_id);
        succeeded &= evaluate_each(app, &mark.brand_id, orders, evaluated).await;
    }
}

/// Evaluates those of `orders` that were not yet, and returns whether all of them are now.
async fn evaluate_each(
    app: &App,
    brand_id: &BrandId,
    orders: impl IntoIterator<Item = OrderId>,
    evaluated: &mut HashMap<(BrandId, OrderId), bool>,
) -> bool {
    let keys: Vec<(BrandId, OrderId)> = orders
        .into_iter()
        .map(|order_id| (brand_id.clone(), order_id))
        .collect();
    let missing: Vec<(BrandId, OrderId)> = keys
        .iter()
        .filter(|key| !evaluated.contains_key(key))
        .cloned()
        .collect();
    let results: Vec<((BrandId, OrderId), bool)> = stream::iter(missing)
        .map(|(brand_id, order_id)| async move {
            let result = evaluate_order(app, &brand_id, &order_id).await;
            if let Err(error) = &result {
                tracing::error!(
                    order.id = %order_id,
                    error = error as &dyn std::error::Error,
                    "order cannot be evaluated"
                );
            }
            ((brand_id, order_id), result.is_ok())
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    evaluated.extend(results);
    keys.iter()
        .all(|key| evaluated.get(key).copied().unwrap_or(false))
}

/// Evaluates one order now.
///
/// # Errors
///
/// What the database fails with; the order's marks are left, and it is evaluated again.
pub(crate) async fn evaluate_order(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Evaluated, StoreError> {
    let first: LedgerEntryId = app.ids.next();
    let input = Evaluate {
        brand_id: brand_id.clone(),
        order_id: order_id.clone(),
        now: app.clock.now(),
        seed: Seed::new(first),
    };
    app.db
        .run_locked_tx("evaluate_order", input, |connection, input| {
            Box::pin(order::evaluate(connection, input))
        })
        .await
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
        settle_sign_in(app, &brand_id, &order_id).await?;
        evaluate_order(app, &brand_id, &order_id).await?;
    }
    Ok(())
}

/// Lets an order wait no longer, and marks it in the same transaction: what evaluated it while it
/// waited has deleted its marks, and whoever evaluates it next may not be this process.
pub(crate) async fn settle_sign_in(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<(), StoreError> {
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
) -> Result<(), StoreError> {
    awaited_sign_ins::delete(connection, brand_id, order_id).await?;
    let mark = NewMark::new(Subject::Order(order_id.clone()));
    dirty_marks::insert(connection, brand_id, &mark).await
}
