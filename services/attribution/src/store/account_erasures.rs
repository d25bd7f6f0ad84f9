//! The table `account_erasure`: which erasures have been applied.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, ErasureId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::schema::account_erasure;

/// An erasure, as it was applied to one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppliedErasure {
    pub(crate) account_id: AccountId,
    pub(crate) erasure_id: ErasureId,
    pub(crate) apply_time: DateTime<Utc>,
}

/// Keeps that an account's erasure is applied; the first time counts.
pub(crate) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    applied: AppliedErasure,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(account_erasure::table)
        .values((
            account_erasure::brand_id.eq(Sql(brand_id)),
            account_erasure::account_id.eq(Sql(applied.account_id)),
            account_erasure::erasure_id.eq(Sql(applied.erasure_id)),
            account_erasure::apply_time.eq(Sql(applied.apply_time)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(())
}

/// Lists the erasures of those of the accounts that are erased.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<AppliedErasure>, StoreError> {
    type Row = (Sql<AccountId>, Sql<ErasureId>, Sql<DateTime<Utc>>);
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| account_erasure::table
        .filter(account_erasure::brand_id.eq(Sql(brand_id)))
        .filter(account_erasure::account_id.eq_any(&accounts))
        .select((
            account_erasure::account_id,
            account_erasure::erasure_id,
            account_erasure::apply_time
        ))
        .load(c)
        .await)?;
    let applied = |(account_id, erasure_id, apply_time): Row| AppliedErasure {
        account_id: account_id.0,
        erasure_id: erasure_id.0,
        apply_time: apply_time.0,
    };
    Ok(rows.into_iter().map(applied).collect())
}
