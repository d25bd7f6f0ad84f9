//! The table `checkout`: who stood at the checkout with which cart.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, CartId},
    order::Checkout,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{first_instant, schema::checkout};

/// Inserts a checkout. Returns `false`, and inserts nothing, where the cart has one at that instant.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    checkout: &Checkout,
) -> Result<bool, StoreError> {
    let inserted = query!(connection, |c| diesel::insert_into(checkout::table)
        .values((
            checkout::brand_id.eq(Sql(brand_id)),
            checkout::cart_id.eq(Sql(&checkout.cart)),
            checkout::checkout_time.eq(Sql(checkout.checkout_time)),
            checkout::account_id.eq(Sql(checkout.account)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(inserted > 0)
}

/// Returns whose checkout of the cart was at that instant.
pub(crate) async fn find_account(
    connection: &mut Connection,
    brand_id: &BrandId,
    cart_id: &CartId,
    checkout_time: DateTime<Utc>,
) -> Result<Option<AccountId>, StoreError> {
    let account: Option<Sql<AccountId>> = query!(connection, |c| checkout::table
        .find((Sql(brand_id), Sql(cart_id), Sql(checkout_time)))
        .select(checkout::account_id)
        .first(c)
        .await
        .optional())?;
    Ok(account.map(|account| account.0))
}

/// Returns the checkouts of `carts`, by cart, then by time.
pub(crate) async fn list_by_carts(
    connection: &mut Connection,
    brand_id: &BrandId,
    carts: &[CartId],
) -> Result<Vec<Checkout>, StoreError> {
    type Row = (Sql<CartId>, Sql<DateTime<Utc>>, Sql<AccountId>);
    let carts: Vec<Sql<&CartId>> = carts.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| checkout::table
        .filter(checkout::brand_id.eq(Sql(brand_id)))
        .filter(checkout::cart_id.eq_any(&carts))
        .order((checkout::cart_id, checkout::checkout_time))
        .select((
            checkout::cart_id,
            checkout::checkout_time,
            checkout::account_id
        ))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(cart, checkout_time, account)| Checkout {
            checkout_time: checkout_time.0,
            cart: cart.0,
            account: account.0,
        })
        .collect())
}

/// Returns the next `limit` checkouts of an account, by time, then by cart, behind `after`.
pub(crate) async fn list_of_account(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    after: Option<&(DateTime<Utc>, CartId)>,
    limit: i64,
) -> Result<Vec<Checkout>, StoreError> {
    // No cart has an empty id, so every checkout of the first instant is behind it.
    let (time, cart) = after.map_or((first_instant(), ""), |(time, cart)| (*time, cart.as_str()));
    let rows: Vec<(Sql<DateTime<Utc>>, Sql<CartId>)> = query!(connection, |c| checkout::table
        .filter(checkout::brand_id.eq(Sql(brand_id)))
        .filter(checkout::account_id.eq(Sql(account_id)))
        .filter(checkout::checkout_time.ge(Sql(time)))
        .filter(
            checkout::checkout_time
                .gt(Sql(time))
                .or(checkout::cart_id.gt(Sql(cart)))
        )
        .order((checkout::checkout_time, checkout::cart_id))
        .limit(limit)
        .select((checkout::checkout_time, checkout::cart_id))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(checkout_time, cart)| Checkout {
            checkout_time: checkout_time.0,
            cart: cart.0,
            account: account_id,
        })
        .collect())
}

/// Returns the carts with which each of `accounts` stood at a checkout.
pub(crate) async fn list_carts(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, CartId)>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let carts: Vec<(Sql<AccountId>, Sql<CartId>)> = query!(connection, |c| checkout::table
        .filter(checkout::brand_id.eq(Sql(brand_id)))
        .filter(checkout::account_id.eq_any(&accounts))
        .select((checkout::account_id, checkout::cart_id))
        .distinct()
        .load(c)
        .await)?;
    Ok(carts
        .into_iter()
        .map(|(account, cart)| (account.0, cart.0))
        .collect())
}
