//! Recomputation by request: orders evaluated again from their facts, and the differences booked.

use chrono::{DateTime, Utc};
use domain::id::{BrandId, RecomputationId};
use kit::{
    db::{Connection, StoreError},
    error::CallError,
    request::{self, RequestKey},
};

use super::App;
use crate::{
    error::Error,
    store::{
        first_instant, last_instant, orders,
        recomputations::{self, Cause, Recomputation},
    },
};

/// How far a recomputation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many orders there are to be evaluated, those that were included.
    pub(crate) order_count: i64,
    pub(crate) evaluated_count: i64,
    pub(crate) changed_count: i64,
    pub(crate) complete_time: Option<DateTime<Utc>>,
}

struct Input {
    brand_id: BrandId,
    key: RequestKey,
    new: Recomputation,
    now: DateTime<Utc>,
}

/// Begins to evaluate the orders of a span again, from `from_time` and before `until_time`; a
/// repeated call tells how far that is.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] for a span that ends before it begins;
/// [`Error::RecomputationRunning`] while another request's is under way;
/// [`CallError::RequestIdReused`].
pub(crate) async fn recompute(
    app: &App,
    brand_id: &BrandId,
    key: RequestKey,
    from_time: Option<DateTime<Utc>>,
    until_time: Option<DateTime<Utc>>,
) -> Result<Progress, Error> {
    let from_time = from_time.unwrap_or_else(first_instant);
    let until_time = until_time.unwrap_or_else(last_instant);
    if until_time <= from_time {
        return Err(CallError::field("until_time", "must come after from_time").into());
    }
    let input = Input {
        brand_id: brand_id.clone(),
        key,
        new: Recomputation::new(app.ids.next(), from_time, until_time),
        now: app.clock.now(),
    };
    let state = app
        .db
        .run_tx("begin_recomputation", input, |connection, input| {
            Box::pin(begin(connection, input))
        })
        .await?;
    app.recompute_wake.notify_one();
    progress(app, brand_id, state).await
}

async fn begin(connection: &mut Connection, input: &Input) -> Result<Recomputation, Error> {
    let Input { brand_id, new, .. } = input;
    if let Some(kept) = request::find(connection, &input.key).await? {
        return find_kept(connection, brand_id, &kept).await;
    }
    if recomputations::is_any_running(connection, brand_id, &[Cause::Request]).await? {
        return Err(Error::RecomputationRunning);
    }
    recomputations::insert(connection, brand_id, new, Cause::Request, input.now).await?;
    let kept = new.id.to_string().into_bytes();
    request::keep(connection, &input.key, kept, input.now).await?;
    Ok(new.clone())
}

async fn find_kept(
    connection: &mut Connection,
    brand_id: &BrandId,
    kept: &[u8],
) -> Result<Recomputation, Error> {
    let corrupt = || StoreError::Corrupt {
        what: "request.response",
    };
    let text = std::str::from_utf8(kept).map_err(|_| corrupt())?;
    let id: RecomputationId = text.parse().map_err(|_| corrupt())?;
    let found = recomputations::find(connection, brand_id, id).await?;
    Ok(found.ok_or_else(corrupt)?)
}

/// What is still to be done is counted now: orders are recorded while it goes on.
async fn progress(app: &App, brand_id: &BrandId, state: Recomputation) -> Result<Progress, Error> {
    let remaining = if state.complete_time.is_some() {
        0
    } else {
        let mut connection = app.db.read().await?;
        let (from, until) = (state.from_time, state.until_time);
        orders::count_from(&mut connection, brand_id, from, until, state.last.as_ref()).await?
    };
    Ok(Progress {
        order_count: state.evaluated_count + remaining,
        evaluated_count: state.evaluated_count,
        changed_count: state.changed_count,
        complete_time: state.complete_time,
    })
}
