//! The table `brand`: what of a Brand's settings bears on its policies.

use chrono::TimeDelta;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, query_dsl::methods::FilterDsl as _,
    upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::id::BrandId;
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::schema::brand;

/// Keeps the longest window that a Brand allows, unless a later revision is known.
pub(crate) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    revision: i64,
    window_limit: Option<TimeDelta>,
) -> Result<(), StoreError> {
    let microseconds = window_limit.and_then(|limit| limit.num_microseconds());
    query!(connection, |c| diesel::insert_into(brand::table)
        .values((
            brand::brand_id.eq(Sql(brand_id)),
            brand::revision.eq(revision),
            brand::window_limit_microseconds.eq(microseconds),
        ))
        .on_conflict(brand::brand_id)
        .do_update()
        .set((
            brand::revision.eq(excluded(brand::revision)),
            brand::window_limit_microseconds.eq(excluded(brand::window_limit_microseconds)),
        ))
        .filter(brand::revision.lt(revision))
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns the longest window that the Brand allows, where it sets one.
pub(crate) async fn find_window_limit(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Option<TimeDelta>, StoreError> {
    let microseconds: Option<Option<i64>> = query!(connection, |c| brand::table
        .find(Sql(brand_id))
        .select(brand::window_limit_microseconds)
        .first(c)
        .await
        .optional())?;
    Ok(microseconds.flatten().map(TimeDelta::microseconds))
}
