//! The table `merge_policy`, which is append-only.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    id::BrandId,
    merge_policy::{OnExistingClient, OnNewClient},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{entity::row, schema::merge_policy};
use crate::model::MergePolicyRevision;

row!(Row of MergePolicyRevision as merge_policy (brand_id, revision) {
    brand_id: BrandId,
    revision: i64,
    on_new_client: OnNewClient,
    on_existing_client: OnExistingClient,
    actor_caller: String,
    actor_id: String,
    create_time: DateTime<Utc>,
});

/// Returns a revision that the Brand names as its own, and which therefore exists.
pub(crate) async fn get(
    connection: &mut Connection,
    brand_id: &BrandId,
    revision: i64,
) -> Result<MergePolicyRevision, StoreError> {
    let row: Row = query!(connection, |c| merge_policy::table
        .find((Sql(brand_id), revision))
        .first(c)
        .await)?;
    Ok(row.into())
}

/// Lists the Brand's policies, newest first, those before `before`.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<MergePolicyRevision>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| merge_policy::table
        .filter(merge_policy::brand_id.eq(Sql(brand_id)))
        .filter(merge_policy::revision.lt(before.unwrap_or(i64::MAX)))
        .order(merge_policy::revision.desc())
        .limit(limit)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(MergePolicyRevision::from).collect())
}

pub(crate) async fn insert(
    connection: &mut Connection,
    policy: &MergePolicyRevision,
) -> Result<(), StoreError> {
    let row = Row::from(policy);
    query!(connection, |c| diesel::insert_into(merge_policy::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}
