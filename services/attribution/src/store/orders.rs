//! The table `order`: orders as they were reported. Append-only.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, Queryable,
    sql_types::{Array, BigInt, Binary, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::{
    email::EmailDigest,
    id::{AccountId, BrandId, CartId, CustomerId, OrderId},
    money::{Currency, Money},
    order::{BuyerKeys, Order},
};
use kit::{
    db::{Connection, DbText, DbTime, DbUuid, LockedDsl, PgText, Sql, StoreError},
    query,
};

use super::{conflict_unless, digest, money, schema::order};

pub(crate) mod buyers;
pub(crate) mod pages;

/// An order as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedOrder {
    pub(crate) id: OrderId,
    /// When it was placed.
    pub(crate) order_time: DateTime<Utc>,
    pub(crate) receive_time: DateTime<Utc>,
    pub(crate) keys: BuyerKeys,
    /// With shipping.
    pub(crate) total: Money,
    /// Part of the total, in its currency.
    pub(crate) shipping: Money,
    /// Tells the same report from another.
    pub(crate) report_digest: [u8; 32],
}

impl RecordedOrder {
    /// Returns the order as it is decided upon.
    pub(crate) fn to_domain(&self) -> Order {
        let without_shipping = self.total.minor_units() - self.shipping.minor_units();
        Order {
            id: self.id.clone(),
            order_time: self.order_time,
            keys: self.keys.clone(),
            total: Money::new(without_shipping, self.total.currency()),
        }
    }
}

#[derive(Queryable)]
struct Row {
    order_id: Sql<OrderId>,
    order_time: Sql<DateTime<Utc>>,
    receive_time: Sql<DateTime<Utc>>,
    account_id: Option<Sql<AccountId>>,
    customer_id: Option<Sql<CustomerId>>,
    cart_id: Option<Sql<CartId>>,
    email_digest: Option<Vec<u8>>,
    currency_code: Sql<Currency>,
    total_minor_units: i64,
    shipping_minor_units: i64,
    report_digest: Vec<u8>,
}

/// The columns of [`Row`], in its order.
type Columns = (
    order::order_id,
    order::order_time,
    order::receive_time,
    order::account_id,
    order::customer_id,
    order::cart_id,
    order::email_digest,
    order::currency_code,
    order::total_minor_units,
    order::shipping_minor_units,
    order::report_digest,
);

const COLUMNS: Columns = (
    order::order_id,
    order::order_time,
    order::receive_time,
    order::account_id,
    order::customer_id,
    order::cart_id,
    order::email_digest,
    order::currency_code,
    order::total_minor_units,
    order::shipping_minor_units,
    order::report_digest,
);

impl TryFrom<Row> for RecordedOrder {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let report_digest = row
            .report_digest
            .try_into()
            .map_err(|_| StoreError::Corrupt {
                what: "order.report_digest",
            })?;
        Ok(Self {
            id: row.order_id.0,
            order_time: row.order_time.0,
            receive_time: row.receive_time.0,
            keys: BuyerKeys {
                account: row.account_id.map(|id| id.0),
                customer: row.customer_id.map(|id| id.0),
                cart: row.cart_id.map(|id| id.0),
                email: row.email_digest.map(digest).transpose()?,
            },
            total: money(row.total_minor_units, row.currency_code),
            shipping: money(row.shipping_minor_units, row.currency_code),
            report_digest,
        })
    }
}

/// Inserts an order. Returns `false`, and inserts nothing, where there is one of that id.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    recorded: &RecordedOrder,
) -> Result<bool, StoreError> {
    let keys = &recorded.keys;
    let inserted = query!(connection, |c| diesel::insert_into(order::table)
        .values((
            order::brand_id.eq(Sql(brand_id)),
            order::order_id.eq(Sql(&recorded.id)),
            order::order_time.eq(Sql(recorded.order_time)),
            order::receive_time.eq(Sql(recorded.receive_time)),
            order::account_id.eq(keys.account.map(Sql)),
            order::customer_id.eq(keys.customer.as_ref().map(Sql)),
            order::cart_id.eq(keys.cart.as_ref().map(Sql)),
            order::email_digest.eq(keys.email.map(|digest| digest.as_bytes().to_vec())),
            order::currency_code.eq(Sql(recorded.total.currency())),
            order::total_minor_units.eq(recorded.total.minor_units()),
            order::shipping_minor_units.eq(recorded.shipping.minor_units()),
            order::report_digest.eq(recorded.report_digest.as_slice()),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(inserted > 0)
}

/// Inserts orders that are not there yet; on PostgreSQL by one statement.
///
/// [`StoreError::Conflict`] where one is there by now: the transaction is run again and finds it.
pub(crate) async fn insert_all(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[RecordedOrder],
) -> Result<(), StoreError> {
    let inserted = match connection {
        _ if orders.is_empty() => 0,
        Connection::Postgres(c) => insertion(brand_id, orders).execute(c).await?,
        Connection::Sqlite(_) => {
            for recorded in orders {
                insert(connection, brand_id, recorded).await?;
            }
            orders.len()
        }
    };
    conflict_unless(inserted == orders.len())
}

fn insertion(brand_id: &BrandId, orders: &[RecordedOrder]) -> PgText<'static> {
    let keys = || orders.iter().map(|one| &one.keys);
    let times = |time: fn(&RecordedOrder) -> DateTime<Utc>| {
        orders.iter().map(|one| Sql(time(one))).collect::<Vec<_>>()
    };
    let ids = orders.iter().map(|one| Sql(one.id.clone()));
    let customers = keys().map(|keys| keys.customer.clone().map(Sql));
    let carts = keys().map(|keys| keys.cart.clone().map(Sql));
    let emails = keys().map(|keys| keys.email.map(|digest| digest.as_bytes().to_vec()));
    let currencies = orders.iter().map(|one| Sql(one.total.currency()));
    let units = |amount: fn(&RecordedOrder) -> Money| {
        let amounts = orders.iter().map(|one| amount(one).minor_units());
        amounts.collect::<Vec<i64>>()
    };
    let digests = orders.iter().map(|one| one.report_digest.to_vec());
    PgText::new(
        "INSERT INTO \"order\" (brand_id, order_id, order_time, receive_time, account_id, \
         customer_id, cart_id, email_digest, currency_code, total_minor_units, \
         shipping_minor_units, report_digest) \
         SELECT ?, * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<Array<DbText>, _>(ids.collect::<Vec<_>>())
    .bind::<Array<DbTime>, _>(times(|one| one.order_time))
    .bind::<Array<DbTime>, _>(times(|one| one.receive_time))
    .bind::<Array<Nullable<DbUuid>>, _>(keys().map(|one| one.account.map(Sql)).collect::<Vec<_>>())
    .bind::<Array<Nullable<DbText>>, _>(customers.collect::<Vec<_>>())
    .bind::<Array<Nullable<DbText>>, _>(carts.collect::<Vec<_>>())
    .bind::<Array<Nullable<Binary>>, _>(emails.collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(currencies.collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(units(|one| one.total))
    .bind::<Array<BigInt>, _>(units(|one| one.shipping))
    .bind::<Array<Binary>, _>(digests.collect::<Vec<_>>())
}

/// Returns an order.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Option<RecordedOrder>, StoreError> {
    let row: Option<Row> = query!(connection, |c| order::table
        .find((Sql(brand_id), Sql(order_id)))
        .select(COLUMNS)
        .first(c)
        .await
        .optional())?;
    row.map(RecordedOrder::try_from).transpose()
}

/// Returns those of `orders` that are recorded, by id.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<Vec<RecordedOrder>, StoreError> {
    let orders: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| order::table
        .filter(order::brand_id.eq(Sql(brand_id)))
        .filter(order::order_id.eq_any(&orders))
        .order(order::order_id)
        .select(COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(RecordedOrder::try_from).collect()
}

/// Returns those of `orders` that are recorded, and keeps every other evaluation of them out until
/// the transaction ends. Each transaction locks by id, so that two never wait for each other.
pub(crate) async fn lock(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<Vec<RecordedOrder>, StoreError> {
    let orders: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| order::table
        .filter(order::brand_id.eq(Sql(brand_id)))
        .filter(order::order_id.eq_any(&orders))
        .order(order::order_id)
        .select(COLUMNS)
        .locked()
        .load(c)
        .await)?;
    rows.into_iter().map(RecordedOrder::try_from).collect()
}

/// The keys by which orders may name a buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) accounts: Vec<AccountId>,
    pub(crate) customers: Vec<CustomerId>,
    pub(crate) carts: Vec<CartId>,
    pub(crate) emails: Vec<EmailDigest>,
}

/// Returns the orders placed at or after `from_time` that name one of `keys`; one may come twice.
///
/// Each kind of key has an index of its own, and is asked for by itself, so that what this costs
/// grows with the orders found and not with the orders there are.
pub(crate) async fn list_by_keys(
    connection: &mut Connection,
    brand_id: &BrandId,
    keys: &Keys,
    from_time: DateTime<Utc>,
) -> Result<Vec<RecordedOrder>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = keys.accounts.iter().copied().map(Sql).collect();
    let customers: Vec<Sql<&CustomerId>> = keys.customers.iter().map(Sql).collect();
    let carts: Vec<Sql<&CartId>> = keys.carts.iter().map(Sql).collect();
    let emails: Vec<&[u8]> = keys
        .emails
        .iter()
        .map(|digest| digest.as_bytes().as_slice())
        .collect();
    let mut found: Vec<Row> = Vec::new();
    macro_rules! add {
        ($column:ident, $values:ident) => {
            if !$values.is_empty() {
                let orders: Vec<Row> = query!(connection, |c| order::table
                    .filter(order::brand_id.eq(Sql(brand_id)))
                    .filter(order::$column.eq_any(&$values))
                    .filter(order::order_time.ge(Sql(from_time)))
                    .select(COLUMNS)
                    .load(c)
                    .await)?;
                found.extend(orders);
            }
        };
    }
    add!(account_id, accounts);
    add!(customer_id, customers);
    add!(cart_id, carts);
    add!(email_digest, emails);
    found.into_iter().map(RecordedOrder::try_from).collect()
}

/// Returns the time of the order that was placed last.
pub(crate) async fn last_time(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let last: Option<Sql<DateTime<Utc>>> = query!(connection, |c| order::table
        .filter(order::brand_id.eq(Sql(brand_id)))
        .order(order::order_time.desc())
        .select(order::order_time)
        .first(c)
        .await
        .optional())?;
    Ok(last.map(|time| time.0))
}

/// The Brand's orders placed at or after `$from_time` and before `$until_time`, behind `$after`.
macro_rules! from {
    ($brand_id:ident, $from_time:ident, $until_time:ident, $after:ident) => {{
        // No order has an empty id, so every order of that instant is behind it.
        let (time, id) = $after.map_or(($from_time, ""), |(time, id)| (*time, id.as_str()));
        order::table
            .filter(order::brand_id.eq(Sql($brand_id)))
            .filter(order::order_time.ge(Sql(time)))
            .filter(order::order_time.lt(Sql($until_time)))
            .filter(
                order::order_time
                    .gt(Sql(time))
                    .or(order::order_id.gt(Sql(id))),
            )
    }};
}

/// Returns the next `limit` orders placed at or after `from_time` and before `until_time`, by time,
/// then by id, behind `after`.
pub(crate) async fn list_from(
    connection: &mut Connection,
    brand_id: &BrandId,
    from_time: DateTime<Utc>,
    until_time: DateTime<Utc>,
    after: Option<&(DateTime<Utc>, OrderId)>,
    limit: i64,
) -> Result<Vec<(DateTime<Utc>, OrderId)>, StoreError> {
    let orders = from!(brand_id, from_time, until_time, after);
    let rows: Vec<(Sql<DateTime<Utc>>, Sql<OrderId>)> = query!(connection, |c| orders
        .order((order::order_time, order::order_id))
        .limit(limit)
        .select((order::order_time, order::order_id))
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(|(time, id)| (time.0, id.0)).collect())
}

/// Returns how many orders [`list_from`] would go through.
pub(crate) async fn count_from(
    connection: &mut Connection,
    brand_id: &BrandId,
    from_time: DateTime<Utc>,
    until_time: DateTime<Utc>,
    after: Option<&(DateTime<Utc>, OrderId)>,
) -> Result<i64, StoreError> {
    let orders = from!(brand_id, from_time, until_time, after);
    query!(connection, |c| orders.count().get_result(c).await)
}
