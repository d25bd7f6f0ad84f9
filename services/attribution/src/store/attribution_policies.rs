//! The table `attribution_policy`: the policies that a Brand has had. Append-only.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, dsl::max};
use diesel_async::RunQueryDsl;
use domain::{
    attribution_policy::{
        AttributionPolicy, AttributionPolicyRevision, ClockTolerance, Model, Window,
    },
    id::BrandId,
    money::PartsPerMillion,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{revision, schema::attribution_policy, to_column};

/// A policy revision as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetPolicy {
    pub(crate) revision: AttributionPolicyRevision,
    /// Who set it.
    pub(crate) service_id: String,
}

#[derive(Queryable)]
struct Row {
    revision: i64,
    effective_time: Sql<DateTime<Utc>>,
    model: Sql<Model>,
    window_microseconds: i64,
    clock_tolerance_microseconds: i64,
    commission_rate_ppm: i32,
    retroactive_links: bool,
    typed_email_allowed: bool,
    create_time: Sql<DateTime<Utc>>,
    service_id: String,
}

/// The columns of [`Row`], in its order.
type Columns = (
    attribution_policy::revision,
    attribution_policy::effective_time,
    attribution_policy::model,
    attribution_policy::window_microseconds,
    attribution_policy::clock_tolerance_microseconds,
    attribution_policy::commission_rate_ppm,
    attribution_policy::retroactive_links,
    attribution_policy::typed_email_allowed,
    attribution_policy::create_time,
    attribution_policy::service_id,
);

const COLUMNS: Columns = (
    attribution_policy::revision,
    attribution_policy::effective_time,
    attribution_policy::model,
    attribution_policy::window_microseconds,
    attribution_policy::clock_tolerance_microseconds,
    attribution_policy::commission_rate_ppm,
    attribution_policy::retroactive_links,
    attribution_policy::typed_email_allowed,
    attribution_policy::create_time,
    attribution_policy::service_id,
);

impl TryFrom<Row> for SetPolicy {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt {
            what: "attribution_policy",
        };
        let rate = u32::try_from(row.commission_rate_ppm).map_err(|_| corrupt())?;
        let tolerance = TimeDelta::microseconds(row.clock_tolerance_microseconds);
        let policy = AttributionPolicy {
            window: Window::new(TimeDelta::microseconds(row.window_microseconds))
                .map_err(|_| corrupt())?,
            clock_tolerance: ClockTolerance::new(tolerance).map_err(|_| corrupt())?,
            model: row.model.0,
            retroactive_links: row.retroactive_links,
            typed_email_allowed: row.typed_email_allowed,
            commission_rate: PartsPerMillion::new(rate).map_err(|_| corrupt())?,
        };
        Ok(Self {
            revision: AttributionPolicyRevision {
                revision: revision("attribution_policy.revision", row.revision)?,
                effective_time: row.effective_time.0,
                create_time: row.create_time.0,
                policy,
            },
            service_id: row.service_id,
        })
    }
}

/// Inserts a policy revision that is not there yet.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    set: &SetPolicy,
) -> Result<(), StoreError> {
    let policy = &set.revision.policy;
    let microseconds = |span: TimeDelta| span.num_microseconds().unwrap_or(i64::MAX);
    // At most a million.
    let rate = i32::try_from(policy.commission_rate.parts()).unwrap_or(i32::MAX);
    query!(connection, |c| diesel::insert_into(
        attribution_policy::table
    )
    .values((
        attribution_policy::brand_id.eq(Sql(brand_id)),
        attribution_policy::revision.eq(to_column(set.revision.revision)),
        attribution_policy::effective_time.eq(Sql(set.revision.effective_time)),
        attribution_policy::model.eq(Sql(policy.model)),
        attribution_policy::window_microseconds.eq(microseconds(policy.window.length())),
        attribution_policy::clock_tolerance_microseconds
            .eq(microseconds(policy.clock_tolerance.length())),
        attribution_policy::commission_rate_ppm.eq(rate),
        attribution_policy::retroactive_links.eq(policy.retroactive_links),
        attribution_policy::typed_email_allowed.eq(policy.typed_email_allowed),
        attribution_policy::create_time.eq(Sql(set.revision.create_time)),
        attribution_policy::service_id.eq(&set.service_id),
    ))
    .execute(c)
    .await)?;
    Ok(())
}

/// Returns the greatest revision of the Brand's; 0 before the first.
pub(crate) async fn last_revision(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<u64, StoreError> {
    let last: Option<i64> = query!(connection, |c| attribution_policy::table
        .filter(attribution_policy::brand_id.eq(Sql(brand_id)))
        .select(max(attribution_policy::revision))
        .first(c)
        .await)?;
    revision("attribution_policy.revision", last.unwrap_or(0))
}

/// Returns a policy revision.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    revision: u64,
) -> Result<Option<SetPolicy>, StoreError> {
    let row: Option<Row> = query!(connection, |c| attribution_policy::table
        .find((Sql(brand_id), to_column(revision)))
        .select(COLUMNS)
        .first(c)
        .await
        .optional())?;
    row.map(SetPolicy::try_from).transpose()
}

/// Returns when the next policy behind `set` takes effect that is no younger: from then on `set` counts
/// for no order, also not as of an instant at which younger ones were not there yet.
pub(crate) async fn next_effective_time(
    connection: &mut Connection,
    brand_id: &BrandId,
    set: &SetPolicy,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let next: Option<Sql<DateTime<Utc>>> = query!(connection, |c| attribution_policy::table
        .filter(attribution_policy::brand_id.eq(Sql(brand_id)))
        .filter(attribution_policy::effective_time.gt(Sql(set.revision.effective_time)))
        .filter(attribution_policy::create_time.le(Sql(set.revision.create_time)))
        .order(attribution_policy::effective_time)
        .select(attribution_policy::effective_time)
        .first(c)
        .await
        .optional())?;
    Ok(next.map(|time| time.0))
}

/// Returns the revisions that may count for orders placed from `first_time` to `last_time`: what
/// [`AttributionPolicyRevision::in_force`] picks from them for each, it would pick from all.
pub(crate) async fn list_in_force(
    connection: &mut Connection,
    brand_id: &BrandId,
    first_time: DateTime<Utc>,
    last_time: DateTime<Utc>,
) -> Result<Vec<AttributionPolicyRevision>, StoreError> {
    let policies = attribution_policy::table;
    let first: Option<Sql<DateTime<Utc>>> = query!(connection, |c| policies
        .filter(attribution_policy::brand_id.eq(Sql(brand_id)))
        .filter(attribution_policy::effective_time.le(Sql(first_time)))
        .select(max(attribution_policy::effective_time))
        .first(c)
        .await)?;
    let first_time = first.map_or(first_time, |time| time.0);
    let rows: Vec<Row> = query!(connection, |c| policies
        .filter(attribution_policy::brand_id.eq(Sql(brand_id)))
        .filter(attribution_policy::effective_time.ge(Sql(first_time)))
        .filter(attribution_policy::effective_time.le(Sql(last_time)))
        .select(COLUMNS)
        .load(c)
        .await)?;
    let sets = rows.into_iter().map(SetPolicy::try_from);
    sets.map(|set| set.map(|set| set.revision)).collect()
}

/// Returns the next `limit` revisions below `before`, newest first.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    before: i64,
    limit: i64,
) -> Result<Vec<SetPolicy>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| attribution_policy::table
        .filter(attribution_policy::brand_id.eq(Sql(brand_id)))
        .filter(attribution_policy::revision.lt(before))
        .order(attribution_policy::revision.desc())
        .limit(limit)
        .select(COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(SetPolicy::try_from).collect()
}
