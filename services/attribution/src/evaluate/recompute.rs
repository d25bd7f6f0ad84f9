//! Orders of a span of time, evaluated again: behind a policy that was set, and by request.
//!
//! One page at a time, and of several recomputations each in turn. How far it is stands in the
//! database, so that it goes on after a crash; a claim keeps two processes from the same page, and is
//! void when it is old. Where one was void too early a page is evaluated twice, which books nothing
//! twice.
//!
//! Source: SPEC 43, 44.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{BrandId, OrderId, RecomputationId};
use kit::db::{Connection, StoreError};
use tokio_util::sync::CancellationToken;

use super::{POLL_INTERVAL, evaluate_each};
use crate::{
    app::App,
    store::{
        dirty_marks, orders,
        recomputations::{self, Recomputation},
    },
};

/// How many orders are evaluated in one turn.
const ORDERS: i64 = 256;
/// How many recomputations take turns.
const AT_ONCE: i64 = 64;
/// After how long a process that has not said how far it is counts as gone.
const CLAIM_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// Recomputes what there is to recompute until `shutdown`.
pub(crate) async fn run(app: Arc<App>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        // Not dropped half-way: a turn is short, and its claim would stand until it is void.
        let turns = recompute(&app).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "recomputation is put off"
            );
            0
        });
        if turns == 0 {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = app.recompute_wake.notified() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }
}

/// Gives each recomputation that is under way one turn, and returns how many took it.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn recompute(app: &App) -> Result<usize, StoreError> {
    let running = {
        let mut connection = app.db.read().await?;
        recomputations::list_running(&mut connection, AT_ONCE).await?
    };
    let mut turns = 0;
    for (brand_id, id) in running {
        turns += usize::from(take_turn(app, &brand_id, id).await?);
    }
    Ok(turns)
}

/// Evaluates the next orders, unless another process is at it.
async fn take_turn(app: &App, brand_id: &BrandId, id: RecomputationId) -> Result<bool, StoreError> {
    let claim_time = app.clock.now();
    let input = (brand_id.clone(), id, claim_time);
    let claimed = app
        .db
        .run_locked_tx("claim_recomputation", input, |connection, input| {
            Box::pin(claim(connection, input))
        })
        .await?;
    let Some(mut state) = claimed else {
        return Ok(false);
    };
    let page = {
        let mut connection = app.db.read().await?;
        let (from, until) = (state.from_time, state.until_time);
        orders::list_from(
            &mut connection,
            brand_id,
            from,
            until,
            state.last.as_ref(),
            ORDERS,
        )
        .await?
    };
    let mut failed = BTreeSet::new();
    match page.last().cloned() {
        None => state.complete_time = Some(app.clock.now()),
        Some(last) => {
            state.last = Some(last);
            state.evaluated_count += i64::try_from(page.len()).unwrap_or(ORDERS);
            let orders = page.into_iter().map(|(_, order_id)| order_id);
            let pass = evaluate_each(app, brand_id, orders, Vec::new()).await;
            state.changed_count += pass.changed_count;
            failed = pass.failed;
        }
    }
    let input = (brand_id.clone(), state, claim_time, failed);
    app.db
        .run_locked_tx("advance_recomputation", input, |connection, input| {
            Box::pin(advance(connection, input))
        })
        .await?;
    Ok(true)
}

async fn claim(
    connection: &mut Connection,
    (brand_id, id, now): &(BrandId, RecomputationId, DateTime<Utc>),
) -> Result<Option<Recomputation>, StoreError> {
    let void_time = *now - CLAIM_LIFETIME;
    if !recomputations::claim(connection, brand_id, *id, *now, void_time).await? {
        return Ok(None);
    }
    recomputations::find(connection, brand_id, *id).await
}

async fn advance(
    connection: &mut Connection,
    (brand_id, state, claim_time, failed): &(
        BrandId,
        Recomputation,
        DateTime<Utc>,
        BTreeSet<OrderId>,
    ),
) -> Result<(), StoreError> {
    dirty_marks::insert_orders(connection, brand_id, failed.clone()).await?;
    recomputations::advance(connection, brand_id, state, *claim_time).await
}
