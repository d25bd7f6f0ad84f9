//! The table `settlement`, which is append-only.

use chrono::{DateTime, Utc};
use diesel::{OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, LinkId},
    sign_in::{MergeCase, OutcomeKind},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{entity::row, schema::settlement};
use crate::model::Settlement;

row!(Row of Settlement as settlement (brand_id, temporary_account_id) {
    brand_id: BrandId,
    temporary_account_id: AccountId,
    outcome: OutcomeKind,
    merge_case: MergeCase,
    client_account_id: AccountId,
    link_id: Option<LinkId>,
    policy_revision: i64,
    settle_time: DateTime<Utc>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    temporary: AccountId,
) -> Result<Option<Settlement>, StoreError> {
    let row: Option<Row> = query!(connection, |c| settlement::table
        .find((Sql(brand_id), Sql(temporary)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Settlement::from))
}

pub(crate) async fn insert(
    connection: &mut Connection,
    settlement: &Settlement,
) -> Result<(), StoreError> {
    let row = Row::from(settlement);
    query!(connection, |c| diesel::insert_into(settlement::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}
