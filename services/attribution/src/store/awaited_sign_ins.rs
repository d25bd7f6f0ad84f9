//! The table `awaited_sign_in`: orders whose consistency token tells of a sign-in not seen yet.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, upsert::excluded};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, OrderId};
use kit::{
    consistency::ConsistencyToken,
    db::{Connection, Sql, StoreError},
    query,
};

use super::schema::awaited_sign_in;

/// Keeps what an order waits for, in the place of what it waited for before.
pub(crate) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
    token: ConsistencyToken,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(awaited_sign_in::table)
        .values((
            awaited_sign_in::brand_id.eq(Sql(brand_id)),
            awaited_sign_in::order_id.eq(Sql(order_id)),
            awaited_sign_in::account_id.eq(Sql(token.account_id)),
            awaited_sign_in::link_revision.eq(token.link_revision),
        ))
        .on_conflict((awaited_sign_in::brand_id, awaited_sign_in::order_id))
        .do_update()
        .set((
            awaited_sign_in::account_id.eq(excluded(awaited_sign_in::account_id)),
            awaited_sign_in::link_revision.eq(excluded(awaited_sign_in::link_revision)),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns those of `orders` that wait, each with what it waits for.
pub(crate) async fn list_of_orders(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<Vec<(OrderId, ConsistencyToken)>, StoreError> {
    let orders: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<(Sql<OrderId>, Sql<AccountId>, i64)> =
        query!(connection, |c| awaited_sign_in::table
            .filter(awaited_sign_in::brand_id.eq(Sql(brand_id)))
            .filter(awaited_sign_in::order_id.eq_any(&orders))
            .select((
                awaited_sign_in::order_id,
                awaited_sign_in::account_id,
                awaited_sign_in::link_revision,
            ))
            .load(c)
            .await)?;
    Ok(rows
        .into_iter()
        .map(|(order_id, account_id, link_revision)| {
            let token = ConsistencyToken {
                account_id: account_id.0,
                link_revision,
            };
            (order_id.0, token)
        })
        .collect())
}

/// Returns whether an order of the Brand waits.
pub(crate) async fn exist(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<bool, StoreError> {
    let first: Option<Sql<OrderId>> = query!(connection, |c| awaited_sign_in::table
        .filter(awaited_sign_in::brand_id.eq(Sql(brand_id)))
        .select(awaited_sign_in::order_id)
        .first(c)
        .await
        .optional())?;
    Ok(first.is_some())
}

/// Returns the first `limit` orders that wait, each with the account that it waits for.
pub(crate) async fn list(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<(BrandId, OrderId, AccountId)>, StoreError> {
    let rows: Vec<(Sql<BrandId>, Sql<OrderId>, Sql<AccountId>)> =
        query!(connection, |c| awaited_sign_in::table
            .order((awaited_sign_in::brand_id, awaited_sign_in::order_id))
            .limit(limit)
            .select((
                awaited_sign_in::brand_id,
                awaited_sign_in::order_id,
                awaited_sign_in::account_id,
            ))
            .load(c)
            .await)?;
    Ok(rows
        .into_iter()
        .map(|(brand, order, account)| (brand.0, order.0, account.0))
        .collect())
}

/// Returns the orders that wait for one of `accounts`.
pub(crate) async fn list_by_accounts(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<OrderId>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let orders: Vec<Sql<OrderId>> = query!(connection, |c| awaited_sign_in::table
        .filter(awaited_sign_in::brand_id.eq(Sql(brand_id)))
        .filter(awaited_sign_in::account_id.eq_any(&accounts))
        .select(awaited_sign_in::order_id)
        .load(c)
        .await)?;
    Ok(orders.into_iter().map(|order| order.0).collect())
}

/// Deletes what an order waited for.
pub(crate) async fn delete(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(
        awaited_sign_in::table.find((Sql(brand_id), Sql(order_id)))
    )
    .execute(c)
    .await)?;
    Ok(())
}
