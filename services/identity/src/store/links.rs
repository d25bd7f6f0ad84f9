//! The table `link`.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, OptionalExtension, QueryDsl, sql_types::Bool,
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, LinkId},
    person::LinkScope,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};
use uuid::Uuid;

use super::{entity::row, schema::link};
use crate::model::Link;

row!(Row of Link as link (brand_id, link_id) {
    brand_id: BrandId,
    link_id: LinkId,
    client_account_id: AccountId,
    temporary_account_id: AccountId,
    scope: LinkScope,
    policy_revision: i64,
    revision: i64,
    link_revision: i64,
    link_time: DateTime<Utc>,
    revoke_time: Option<DateTime<Utc>>,
    revoke_reason: Option<String>,
});

/// Which links a list shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    /// Only those of this account, on either end.
    pub(crate) account_id: Option<AccountId>,
    /// Revoked ones too.
    pub(crate) include_revoked: bool,
}

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    link_id: LinkId,
) -> Result<Option<Link>, StoreError> {
    let row: Option<Row> = query!(connection, |c| link::table
        .find((Sql(brand_id), Sql(link_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Link::from))
}

/// Returns the active link of a temporary account; there is at most one.
pub(crate) async fn find_active_of_temporary(
    connection: &mut Connection,
    brand_id: &BrandId,
    temporary: AccountId,
) -> Result<Option<Link>, StoreError> {
    let row: Option<Row> = query!(connection, |c| link::table
        .filter(link::brand_id.eq(Sql(brand_id)))
        .filter(link::temporary_account_id.eq(Sql(temporary)))
        .filter(link::revoke_time.is_null())
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Link::from))
}

/// Lists the active links of those accounts that are temporary ones.
pub(crate) async fn list_active_of_temporaries(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<Link>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| link::table
        .filter(link::brand_id.eq(Sql(brand_id)))
        .filter(link::temporary_account_id.eq_any(&accounts))
        .filter(link::revoke_time.is_null())
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// Lists every link of an account, on either end, oldest first and revoked ones included.
pub(crate) async fn list_of_account(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Vec<Link>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| link::table
        .filter(link::brand_id.eq(Sql(brand_id)))
        .filter(
            link::client_account_id
                .eq(Sql(account_id))
                .or(link::temporary_account_id.eq(Sql(account_id))),
        )
        .order((link::link_time, link::link_id))
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// Lists the Brand's links, newest first, those before `before`.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    filter: Filter,
    before: Option<LinkId>,
    limit: i64,
) -> Result<Vec<Link>, StoreError> {
    let before = before.map_or(Uuid::max(), Uuid::from);
    let account_id = filter.account_id.map_or(Uuid::nil(), Uuid::from);
    let rows: Vec<Row> = query!(connection, |c| link::table
        .filter(link::brand_id.eq(Sql(brand_id)))
        .filter(link::link_id.lt(Sql(before)))
        .filter(
            link::revoke_time
                .is_null()
                .or(filter.include_revoked.into_sql::<Bool>()),
        )
        .filter(
            link::client_account_id
                .eq(Sql(account_id))
                .or(link::temporary_account_id.eq(Sql(account_id)))
                .or(filter.account_id.is_none().into_sql::<Bool>()),
        )
        .order(link::link_id.desc())
        .limit(limit)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// Empties what callers wrote of the account's revoked links.
pub(crate) async fn clear_reasons(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        link::table
            .filter(link::brand_id.eq(Sql(brand_id)))
            .filter(link::revoke_reason.is_not_null())
            .filter(
                link::client_account_id
                    .eq(Sql(account_id))
                    .or(link::temporary_account_id.eq(Sql(account_id))),
            )
    )
    .set(link::revoke_reason.eq(Some("")))
    .execute(c)
    .await)?;
    Ok(())
}

pub(crate) async fn insert(connection: &mut Connection, link: &Link) -> Result<(), StoreError> {
    let row = Row::from(link);
    query!(connection, |c| diesel::insert_into(link::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn update(connection: &mut Connection, link: &Link) -> Result<(), StoreError> {
    let row = Row::from(link);
    query!(connection, |c| diesel::update(
        link::table.find((Sql(&link.brand_id), Sql(link.link_id)))
    )
    .set(&row)
    .execute(c)
    .await)?;
    Ok(())
}
