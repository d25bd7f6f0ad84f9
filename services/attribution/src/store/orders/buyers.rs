//! Pages of the orders that name somebody.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, CartId, CustomerId, OrderId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{Keys, order};
use crate::store::first_instant;

/// Returns the next `limit` orders that name one of `keys`, by time, then by id, behind `after`.
///
/// Each kind of key has an index of its own and is asked for by itself; the pages are merged.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    keys: &Keys,
    after: Option<&(DateTime<Utc>, OrderId)>,
    limit: i64,
) -> Result<Vec<(DateTime<Utc>, OrderId)>, StoreError> {
    // No order has an empty id, so every order of the first instant is behind it.
    let (time, id) = after.map_or((first_instant(), ""), |(time, id)| (*time, id.as_str()));
    let accounts: Vec<Sql<AccountId>> = keys.accounts.iter().copied().map(Sql).collect();
    let customers: Vec<Sql<&CustomerId>> = keys.customers.iter().map(Sql).collect();
    let carts: Vec<Sql<&CartId>> = keys.carts.iter().map(Sql).collect();
    let emails: Vec<&[u8]> = keys
        .emails
        .iter()
        .map(|digest| digest.as_bytes().as_slice())
        .collect();
    let mut found: Vec<(DateTime<Utc>, OrderId)> = Vec::new();
    macro_rules! add {
        ($column:ident, $values:ident) => {
            let rows: Vec<(Sql<DateTime<Utc>>, Sql<OrderId>)> =
                query!(connection, |c| order::table
                    .filter(order::brand_id.eq(Sql(brand_id)))
                    .filter(order::$column.eq_any(&$values))
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
    add!(account_id, accounts);
    add!(customer_id, customers);
    add!(cart_id, carts);
    add!(email_digest, emails);
    found.sort();
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}
