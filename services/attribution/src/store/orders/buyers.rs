//! Pages of the orders that name somebody.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    email::EmailDigest,
    id::{AccountId, BrandId, CustomerId, OrderId},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::order;
use crate::store::{first_instant, schema::checkout};

/// By what an order may name somebody.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// His accounts, also through the carts with which they stood at a checkout.
    pub(crate) accounts: Vec<AccountId>,
    /// His ids at the Brand.
    pub(crate) customers: Vec<CustomerId>,
    /// His e-mails.
    pub(crate) emails: Vec<EmailDigest>,
}

/// Returns the next `limit` orders that name him, by time, then by id, behind `after`.
///
/// Each kind of key has an index of its own and is asked for by itself; the pages are merged.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    naming: &Naming,
    after: Option<&(DateTime<Utc>, OrderId)>,
    limit: i64,
) -> Result<Vec<(DateTime<Utc>, OrderId)>, StoreError> {
    // No order has an empty id, so every order of the first instant is behind it.
    let (time, id) = after.map_or((first_instant(), ""), |(time, id)| (*time, id.as_str()));
    let accounts: Vec<Sql<AccountId>> = naming.accounts.iter().copied().map(Sql).collect();
    let customers: Vec<Sql<&CustomerId>> = naming.customers.iter().map(Sql).collect();
    let emails: Vec<&[u8]> = naming
        .emails
        .iter()
        .map(|digest| digest.as_bytes().as_slice())
        .collect();
    let mut found: Vec<(DateTime<Utc>, OrderId)> = Vec::new();
    macro_rules! add {
        ($named:expr) => {
            let rows: Vec<(Sql<DateTime<Utc>>, Sql<OrderId>)> =
                query!(connection, |c| order::table
                    .filter(order::brand_id.eq(Sql(brand_id)))
                    .filter($named)
                    .filter(order::order_time.ge(Sql(time)))
                    .filter(
                        order::order_time
                            .gt(Sql(time))
                            .or(order::order_id.gt(Sql(id))),
                    )
                    .order((order::order_time, order::order_id))
                    .limit(limit)
                    .select((order::order_time, order::order_id))
                    .load(c)
                    .await)?;
            found.extend(rows.into_iter().map(|(time, id)| (time.0, id.0)));
        };
    }
    add!(order::account_id.eq_any(&accounts));
    add!(order::customer_id.eq_any(&customers));
    add!(order::email_digest.eq_any(&emails));
    add!(
        order::cart_id.eq_any(
            checkout::table
                .filter(checkout::brand_id.eq(Sql(brand_id)))
                .filter(checkout::account_id.eq_any(&accounts))
                .select(checkout::cart_id.nullable())
        )
    );
    found.sort();
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}
