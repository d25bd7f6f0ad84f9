//! The policies by which a Brand's orders count (SPEC 44).

use chrono::{DateTime, Utc};
use domain::{
    attribution_policy::{AttributionPolicy, AttributionPolicyRevision},
    id::{BrandId, RecomputationId},
};
use kit::{
    db::{Connection, StoreError},
    error::CallError,
    request::{self, RequestKey},
};

use super::App;
use crate::{
    error::Error,
    store::{
        attribution_policies::{self, SetPolicy},
        brands, last_instant,
        recomputations::{self, Cause, Recomputation},
    },
};

struct Input {
    brand_id: BrandId,
    key: RequestKey,
    policy: AttributionPolicy,
    effective_time: DateTime<Utc>,
    service_id: String,
    recomputation_id: RecomputationId,
    now: DateTime<Utc>,
}

/// Sets a policy from an effective time on, by default from now on. The orders that count by it
/// are evaluated after it; a repeated call returns the revision of the first.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] for a window longer than the Brand allows;
/// [`CallError::RequestIdReused`].
pub(crate) async fn set_policy(
    app: &App,
    brand_id: &BrandId,
    key: RequestKey,
    policy: AttributionPolicy,
    effective_time: Option<DateTime<Utc>>,
    service_id: String,
) -> Result<SetPolicy, Error> {
    let now = app.clock.now();
    let input = Input {
        brand_id: brand_id.clone(),
        key,
        policy,
        effective_time: effective_time.unwrap_or(now),
        service_id,
        recomputation_id: app.ids.next(),
        now,
    };
    let set = app
        .db
        .run_tx("set_policy", input, |connection, input| {
            Box::pin(set(connection, input))
        })
        .await?;
    app.recompute_wake.notify_one();
    Ok(set)
}

async fn set(connection: &mut Connection, input: &Input) -> Result<SetPolicy, Error> {
    let brand_id = &input.brand_id;
    if let Some(kept) = request::find(connection, &input.key).await? {
        return find_kept(connection, brand_id, &kept).await;
    }
    check_window(connection, brand_id, &input.policy).await?;
    let revision = attribution_policies::last_revision(connection, brand_id).await? + 1;
    let set = SetPolicy {
        revision: AttributionPolicyRevision {
            revision,
            effective_time: input.effective_time,
            create_time: input.now,
            policy: input.policy,
        },
        service_id: input.service_id.clone(),
    };
    attribution_policies::insert(connection, brand_id, &set).await?;
    let until_time = attribution_policies::next_effective_time(connection, brand_id, &set).await?;
    let span = Recomputation::new(
        input.recomputation_id,
        input.effective_time,
        until_time.unwrap_or_else(last_instant),
    );
    recomputations::insert(connection, brand_id, &span, Cause::Policy, input.now).await?;
    let kept = revision.to_be_bytes().to_vec();
    request::keep(connection, &input.key, kept, input.now).await?;
    Ok(set)
}

/// Checks that the window of a policy is no longer than the Brand allows.
///
/// # Errors
///
/// [`CallError::FieldInvalid`].
pub(super) async fn check_window(
    connection: &mut Connection,
    brand_id: &BrandId,
    policy: &AttributionPolicy,
) -> Result<(), Error> {
    let limit = brands::find_window_limit(connection, brand_id).await?;
    if limit.is_some_and(|limit| policy.window.length() > limit) {
        let problem = "is longer than the Brand's attribution_window_limit";
        return Err(CallError::field("policy.window", problem).into());
    }
    Ok(())
}

async fn find_kept(
    connection: &mut Connection,
    brand_id: &BrandId,
    kept: &[u8],
) -> Result<SetPolicy, Error> {
    let corrupt = || StoreError::Corrupt {
        what: "request.response",
    };
    let revision = u64::from_be_bytes(kept.try_into().map_err(|_| corrupt())?);
    let set = attribution_policies::find(connection, brand_id, revision).await?;
    Ok(set.ok_or_else(corrupt)?)
}

/// Returns the next `limit` revisions below `before`, newest first.
pub(crate) async fn list_policies(
    app: &App,
    brand_id: &BrandId,
    before: i64,
    limit: i64,
) -> Result<Vec<SetPolicy>, Error> {
    let mut connection = app.db.read().await?;
    Ok(attribution_policies::list(&mut connection, brand_id, before, limit).await?)
}
