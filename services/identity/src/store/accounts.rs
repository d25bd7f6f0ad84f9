//! The tables `account` and `account_email`.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    email::Provenance,
    id::{AccountId, BrandId, CustomerId},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{
    entity::row,
    schema::{account, account_email},
};
use crate::model::{Account, AccountEmail, AccountKind, AccountState};

row!(Row of Account as account (brand_id, account_id) {
    brand_id: BrandId,
    account_id: AccountId,
    kind: AccountKind,
    state: AccountState,
    customer_id: Option<CustomerId>,
    username: Option<String>,
    email: Option<String>,
    email_provenance: Option<Provenance>,
    given_name: Option<String>,
    family_name: Option<String>,
    locale: Option<String>,
    picture_uri: Option<String>,
    nonce_digest: Option<Vec<u8>>,
    link_revision: i64,
    session_epoch: i64,
    session_revocations: i64,
    revision: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    upgrade_time: Option<DateTime<Utc>>,
    expire_time: Option<DateTime<Utc>>,
});

row!(EmailRow of AccountEmail as account_email (brand_id, account_id, number) {
    brand_id: BrandId,
    account_id: AccountId,
    number: i64,
    digest: Vec<u8>,
    provenance: Provenance,
    from_time: DateTime<Utc>,
    until_time: Option<DateTime<Utc>>,
});

/// Which part of a list of accounts is read; what is absent does not bound it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Only those made at or after this time.
    pub(crate) from_time: Option<DateTime<Utc>>,
    /// Only those made before this time.
    pub(crate) until_time: Option<DateTime<Utc>>,
    /// Only those behind this one.
    pub(crate) after: Option<(DateTime<Utc>, AccountId)>,
}

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = query!(connection, |c| account::table
        .find((Sql(brand_id), Sql(account_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Account::from))
}

/// Returns the client account of a customer; an erased one is nobody's any more.
pub(crate) async fn find_by_customer(
    connection: &mut Connection,
    brand_id: &BrandId,
    customer_id: &CustomerId,
) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = query!(connection, |c| account::table
        .filter(account::brand_id.eq(Sql(brand_id)))
        .filter(account::customer_id.eq(Sql(customer_id)))
        .filter(account::state.ne(Sql(AccountState::Erased)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Account::from))
}

/// Lists the Brand's accounts of one kind and state, oldest first and then by id.
pub(crate) async fn list_stage(
    connection: &mut Connection,
    brand_id: &BrandId,
    kind: AccountKind,
    state: AccountState,
    span: &Span,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| {
        let mut accounts = account::table
            .filter(account::brand_id.eq(Sql(brand_id)))
            .filter(account::kind.eq(Sql(kind)))
            .filter(account::state.eq(Sql(state)))
            .into_boxed();
        if let Some(from_time) = span.from_time {
            accounts = accounts.filter(account::create_time.ge(Sql(from_time)));
        }
        if let Some(until_time) = span.until_time {
            accounts = accounts.filter(account::create_time.lt(Sql(until_time)));
        }
        if let Some((time, id)) = span.after {
            // The first condition is all that an index needs, the second one settles ties.
            accounts = accounts.filter(account::create_time.ge(Sql(time))).filter(
                account::create_time
                    .gt(Sql(time))
                    .or(account::account_id.gt(Sql(id))),
            );
        }
        accounts
            .order((account::create_time, account::account_id))
            .limit(limit)
            .load(c)
            .await
    })?;
    Ok(rows.into_iter().map(Account::from).collect())
}

/// Lists every account that a customer has or had: one, and those that were erased.
pub(crate) async fn list_of_customer(
    connection: &mut Connection,
    brand_id: &BrandId,
    customer_id: &CustomerId,
) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| account::table
        .filter(account::brand_id.eq(Sql(brand_id)))
        .filter(account::customer_id.eq(Sql(customer_id)))
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Account::from).collect())
}

pub(crate) async fn insert(
    connection: &mut Connection,
    account: &Account,
) -> Result<(), StoreError> {
    let row = Row::from(account);
    query!(connection, |c| diesel::insert_into(account::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn update(
    connection: &mut Connection,
    account: &Account,
) -> Result<(), StoreError> {
    let row = Row::from(account);
    query!(connection, |c| diesel::update(
        account::table.find((Sql(&account.brand_id), Sql(account.account_id)))
    )
    .set(&row)
    .execute(c)
    .await)?;
    Ok(())
}

/// Lists temporary accounts, of all Brands, whose time may have come, the earliest first.
pub(crate) async fn list_expired(
    connection: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(BrandId, AccountId)>, StoreError> {
    let rows: Vec<(Sql<BrandId>, Sql<AccountId>)> = query!(connection, |c| account::table
        .filter(account::expire_time.le(Some(Sql(now))))
        .order(account::expire_time)
        .limit(limit)
        .select((account::brand_id, account::account_id))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(brand_id, account_id)| (brand_id.0, account_id.0))
        .collect())
}

/// Lists the e-mails that an account has or had, oldest first.
pub(crate) async fn list_emails(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Vec<AccountEmail>, StoreError> {
    let rows: Vec<EmailRow> = query!(connection, |c| account_email::table
        .filter(account_email::brand_id.eq(Sql(brand_id)))
        .filter(account_email::account_id.eq(Sql(account_id)))
        .order(account_email::number)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(AccountEmail::from).collect())
}

pub(crate) async fn insert_email(
    connection: &mut Connection,
    email: &AccountEmail,
) -> Result<(), StoreError> {
    let row = EmailRow::from(email);
    query!(connection, |c| diesel::insert_into(account_email::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

/// Ends the current e-mail of an account, if it has one.
pub(crate) async fn end_email(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(account_email::table)
        .filter(account_email::brand_id.eq(Sql(brand_id)))
        .filter(account_email::account_id.eq(Sql(account_id)))
        .filter(account_email::until_time.is_null())
        .set(account_email::until_time.eq(Some(Sql(now))))
        .execute(c)
        .await)?;
    Ok(())
}
