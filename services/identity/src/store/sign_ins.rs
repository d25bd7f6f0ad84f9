//! The table `sign_in`, which is append-only.

use chrono::{DateTime, Utc};
use diesel::{OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, LinkId, SessionId},
    sign_in::{MergeCase, OutcomeKind},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{entity::row, schema::sign_in};
use crate::model::SignIn;

row!(Row of SignIn as sign_in (brand_id, session_id) {
    brand_id: BrandId,
    session_id: SessionId,
    account_id: AccountId,
    outcome: OutcomeKind,
    merge_case: MergeCase,
    policy_revision: i64,
    temporary_account_id: Option<AccountId>,
    link_id: Option<LinkId>,
    email_replaced: bool,
    account_created: bool,
    sign_in_time: DateTime<Utc>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    session_id: SessionId,
) -> Result<Option<SignIn>, StoreError> {
    let row: Option<Row> = query!(connection, |c| sign_in::table
        .find((Sql(brand_id), Sql(session_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(SignIn::from))
}

pub(crate) async fn insert(
    connection: &mut Connection,
    sign_in: &SignIn,
) -> Result<(), StoreError> {
    let row = Row::from(sign_in);
    query!(connection, |c| diesel::insert_into(sign_in::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}
