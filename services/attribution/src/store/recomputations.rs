//! The table `recomputation`: spans of orders that are evaluated again, and how far that is.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, OrderId, RecomputationId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::schema::recomputation;

/// An order's place in a recomputation, which takes them by time, then by id.
pub(crate) type Place = (DateTime<Utc>, OrderId);

/// Orders that are to be evaluated again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recomputation {
    pub(crate) id: RecomputationId,
    /// Only orders placed at or after it.
    pub(crate) from_time: DateTime<Utc>,
    /// Only orders placed before it.
    pub(crate) until_time: DateTime<Utc>,
    /// The last order that was evaluated.
    pub(crate) last: Option<Place>,
    pub(crate) evaluated_count: i64,
    /// How many of them came to something else than before.
    pub(crate) changed_count: i64,
    pub(crate) complete_time: Option<DateTime<Utc>>,
}

impl Recomputation {
    /// Returns one that has yet to begin.
    pub(crate) fn new(
        id: RecomputationId,
        from_time: DateTime<Utc>,
        until_time: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            from_time,
            until_time,
            last: None,
            evaluated_count: 0,
            changed_count: 0,
            complete_time: None,
        }
    }
}

/// Why orders are evaluated again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A policy was set from whose time on they count by another one.
    Policy,
    /// The Brand has asked for it. One at a time is under way.
    Request,
}

impl Cause {
    /// Every cause.
    pub(crate) const ALL: &[Self] = &[Self::Policy, Self::Request];

    fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "POLICY",
            Self::Request => "REQUEST",
        }
    }
}

#[derive(Queryable)]
struct Row {
    recomputation_id: Sql<RecomputationId>,
    from_time: Sql<DateTime<Utc>>,
    until_time: Sql<DateTime<Utc>>,
    last_order_time: Option<Sql<DateTime<Utc>>>,
    last_order_id: Option<Sql<OrderId>>,
    evaluated_count: i64,
    changed_count: i64,
    complete_time: Option<Sql<DateTime<Utc>>>,
}

impl From<Row> for Recomputation {
    fn from(row: Row) -> Self {
        Self {
            id: row.recomputation_id.0,
            from_time: row.from_time.0,
            until_time: row.until_time.0,
            last: row
                .last_order_time
                .zip(row.last_order_id)
                .map(|(time, id)| (time.0, id.0)),
            evaluated_count: row.evaluated_count,
            changed_count: row.changed_count,
            complete_time: row.complete_time.map(|time| time.0),
        }
    }
}

/// Inserts one that begins now.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    new: &Recomputation,
    cause: Cause,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(recomputation::table)
        .values((
            recomputation::brand_id.eq(Sql(brand_id)),
            recomputation::recomputation_id.eq(Sql(new.id)),
            recomputation::cause.eq(Sql(cause.as_str())),
            recomputation::from_time.eq(Sql(new.from_time)),
            recomputation::until_time.eq(Sql(new.until_time)),
            recomputation::evaluated_count.eq(new.evaluated_count),
            recomputation::changed_count.eq(new.changed_count),
            recomputation::create_time.eq(Sql(now)),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns a recomputation.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: RecomputationId,
) -> Result<Option<Recomputation>, StoreError> {
    let row: Option<Row> = query!(connection, |c| recomputation::table
        .find((Sql(brand_id), Sql(id)))
        .select((
            recomputation::recomputation_id,
            recomputation::from_time,
            recomputation::until_time,
            recomputation::last_order_time,
            recomputation::last_order_id,
            recomputation::evaluated_count,
            recomputation::changed_count,
            recomputation::complete_time,
        ))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Recomputation::from))
}

/// Returns the first `limit` that are under way, of all Brands.
pub(crate) async fn list_running(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<(BrandId, RecomputationId)>, StoreError> {
    let rows: Vec<(Sql<BrandId>, Sql<RecomputationId>)> =
        query!(connection, |c| recomputation::table
            .filter(recomputation::complete_time.is_null())
            .order((recomputation::brand_id, recomputation::recomputation_id))
            .limit(limit)
            .select((recomputation::brand_id, recomputation::recomputation_id))
            .load(c)
            .await)?;
    Ok(rows
        .into_iter()
        .map(|(brand, id)| (brand.0, id.0))
        .collect())
}

/// Returns whether one of the Brand's is under way, of one of `causes`.
pub(crate) async fn is_any_running(
    connection: &mut Connection,
    brand_id: &BrandId,
    causes: &[Cause],
) -> Result<bool, StoreError> {
    let causes: Vec<_> = causes.iter().map(|cause| Sql(cause.as_str())).collect();
    let first: Option<Sql<RecomputationId>> = query!(connection, |c| recomputation::table
        .filter(recomputation::brand_id.eq(Sql(brand_id)))
        .filter(recomputation::complete_time.is_null())
        .filter(recomputation::cause.eq_any(&causes))
        .select(recomputation::recomputation_id)
        .first(c)
        .await
        .optional())?;
    Ok(first.is_some())
}

/// Takes up the next orders, unless it is complete or somebody has claimed it since `void_time`.
pub(crate) async fn claim(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: RecomputationId,
    now: DateTime<Utc>,
    void_time: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let claimed = query!(connection, |c| diesel::update(
        recomputation::table
            .filter(recomputation::brand_id.eq(Sql(brand_id)))
            .filter(recomputation::recomputation_id.eq(Sql(id)))
            .filter(recomputation::complete_time.is_null())
            .filter(
                recomputation::claim_time
                    .is_null()
                    .or(recomputation::claim_time.lt(Sql(void_time)))
            )
    )
    .set(recomputation::claim_time.eq(Some(Sql(now))))
    .execute(c)
    .await)?;
    Ok(claimed > 0)
}

/// Keeps how far it is, and gives up the claim of `claim_time`; whoever has claimed it since then
/// counts instead.
pub(crate) async fn advance(
    connection: &mut Connection,
    brand_id: &BrandId,
    state: &Recomputation,
    claim_time: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (last_time, last_id) = match &state.last {
        Some((time, id)) => (Some(Sql(*time)), Some(Sql(id))),
        None => (None, None),
    };
    query!(connection, |c| diesel::update(
        recomputation::table
            .filter(recomputation::brand_id.eq(Sql(brand_id)))
            .filter(recomputation::recomputation_id.eq(Sql(state.id)))
            .filter(recomputation::claim_time.eq(Some(Sql(claim_time))))
    )
    .set((
        recomputation::last_order_time.eq(last_time),
        recomputation::last_order_id.eq(last_id),
        recomputation::evaluated_count.eq(state.evaluated_count),
        recomputation::changed_count.eq(state.changed_count),
        recomputation::claim_time.eq(None::<Sql<DateTime<Utc>>>),
        recomputation::complete_time.eq(state.complete_time.map(Sql)),
    ))
    .execute(c)
    .await)?;
    Ok(())
}
