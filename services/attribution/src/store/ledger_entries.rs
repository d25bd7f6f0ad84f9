//! The table `ledger_entry`: bookings. Append-only, and the schema refuses anything else.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, QueryDsl, Queryable,
    dsl::sql,
    sql_types::{Array, BigInt, Bool, Integer, Text},
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, LedgerEntryId, MemberId, OrderId},
    ledger::Booked,
    money::{Currency, Money},
};
use kit::{
    db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError, uncommitted},
    query,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{changes, money, revision, schema::ledger_entry, to_column};

/// A booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerEntry {
    pub(crate) id: LedgerEntryId,
    pub(crate) order_id: OrderId,
    pub(crate) member: MemberId,
    /// Counts the entries of the order for the Member, from 1.
    pub(crate) number: u32,
    pub(crate) amount: Money,
    /// What the entries up to this one sum to.
    pub(crate) target: Money,
    pub(crate) attribution_revision: u64,
    pub(crate) policy_revision: u64,
    pub(crate) book_time: DateTime<Utc>,
}

#[derive(Queryable)]
struct Row {
    ledger_entry_id: Sql<LedgerEntryId>,
    order_id: Sql<OrderId>,
    member_id: Sql<MemberId>,
    number: i32,
    currency_code: Sql<Currency>,
    minor_units: i64,
    target_minor_units: i64,
    attribution_revision: i64,
    policy_revision: i64,
    book_time: Sql<DateTime<Utc>>,
}

/// The columns of [`Row`], in its order.
const COLUMNS: (
    ledger_entry::ledger_entry_id,
    ledger_entry::order_id,
    ledger_entry::member_id,
    ledger_entry::number,
    ledger_entry::currency_code,
    ledger_entry::minor_units,
    ledger_entry::target_minor_units,
    ledger_entry::attribution_revision,
    ledger_entry::policy_revision,
    ledger_entry::book_time,
) = (
    ledger_entry::ledger_entry_id,
    ledger_entry::order_id,
    ledger_entry::member_id,
    ledger_entry::number,
    ledger_entry::currency_code,
    ledger_entry::minor_units,
    ledger_entry::target_minor_units,
    ledger_entry::attribution_revision,
    ledger_entry::policy_revision,
    ledger_entry::book_time,
);

impl TryFrom<Row> for LedgerEntry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let what = "ledger_entry.number";
        Ok(Self {
            id: row.ledger_entry_id.0,
            order_id: row.order_id.0,
            member: row.member_id.0,
            number: u32::try_from(row.number).map_err(|_| StoreError::Corrupt { what })?,
            amount: money(row.minor_units, row.currency_code),
            target: money(row.target_minor_units, row.currency_code),
            attribution_revision: revision(
                "ledger_entry.attribution_revision",
                row.attribution_revision,
            )?,
            policy_revision: revision("ledger_entry.policy_revision", row.policy_revision)?,
            book_time: row.book_time.0,
        })
    }
}

/// Inserts entries that are not there yet; on PostgreSQL by one statement. Elsewhere they are numbered
/// behind `last_number`.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    entries: &[LedgerEntry],
    last_number: i64,
) -> Result<(), StoreError> {
    match connection {
        _ if entries.is_empty() => {}
        Connection::Postgres(c) => {
            insertion(brand_id, entries)?.execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for (entry, change_number) in entries.iter().zip(last_number + 1..) {
                diesel::insert_into(ledger_entry::table)
                    .values((
                        ledger_entry::brand_id.eq(Sql(brand_id)),
                        ledger_entry::order_id.eq(Sql(&entry.order_id)),
                        ledger_entry::member_id.eq(Sql(entry.member)),
                        ledger_entry::number.eq(number(entry)?),
                        ledger_entry::ledger_entry_id.eq(Sql(entry.id)),
                        ledger_entry::currency_code.eq(Sql(entry.amount.currency())),
                        ledger_entry::minor_units.eq(entry.amount.minor_units()),
                        ledger_entry::target_minor_units.eq(entry.target.minor_units()),
                        ledger_entry::attribution_revision
                            .eq(to_column(entry.attribution_revision)),
                        ledger_entry::policy_revision.eq(to_column(entry.policy_revision)),
                        ledger_entry::book_time.eq(Sql(entry.book_time)),
                        ledger_entry::change_number.eq(change_number),
                    ))
                    .execute(c)
                    .await?;
            }
        }
    }
    Ok(())
}

fn number(entry: &LedgerEntry) -> Result<i32, StoreError> {
    i32::try_from(entry.number).map_err(|_| StoreError::Corrupt {
        what: "ledger_entry.number",
    })
}

fn insertion(brand_id: &BrandId, entries: &[LedgerEntry]) -> Result<PgText<'static>, StoreError> {
    let numbers: Result<Vec<i32>, StoreError> = entries.iter().map(number).collect();
    let order_ids: Vec<_> = entries
        .iter()
        .map(|one| Sql(one.order_id.clone()))
        .collect();
    let members: Vec<_> = entries.iter().map(|one| Sql(one.member)).collect();
    let ids: Vec<_> = entries.iter().map(|one| Sql(one.id)).collect();
    let currencies: Vec<_> = entries
        .iter()
        .map(|one| Sql(one.amount.currency()))
        .collect();
    let times: Vec<_> = entries.iter().map(|one| Sql(one.book_time)).collect();
    let each = |value: fn(&LedgerEntry) -> i64| entries.iter().map(value).collect::<Vec<i64>>();
    Ok(PgText::new(
        "INSERT INTO ledger_entry (brand_id, order_id, member_id, number, ledger_entry_id, \
         currency_code, minor_units, target_minor_units, attribution_revision, policy_revision, \
         book_time) SELECT ?, * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<Array<DbText>, _>(order_ids)
    .bind::<Array<DbUuid>, _>(members)
    .bind::<Array<Integer>, _>(numbers?)
    .bind::<Array<DbUuid>, _>(ids)
    .bind::<Array<DbText>, _>(currencies)
    .bind::<Array<BigInt>, _>(each(|one| one.amount.minor_units()))
    .bind::<Array<BigInt>, _>(each(|one| one.target.minor_units()))
    .bind::<Array<BigInt>, _>(each(|one| to_column(one.attribution_revision)))
    .bind::<Array<BigInt>, _>(each(|one| to_column(one.policy_revision)))
    .bind::<Array<DbTime>, _>(times))
}

/// Returns what is booked for each of `orders`, by Member; one without an entry is left out.
pub(crate) async fn booked(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<BTreeMap<OrderId, Vec<Booked>>, StoreError> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let orders: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<(Sql<OrderId>, Sql<MemberId>, i64)> =
        query!(connection, |c| ledger_entry::table
            .filter(ledger_entry::brand_id.eq(Sql(brand_id)))
            .filter(ledger_entry::order_id.eq_any(&orders))
            .order((
                ledger_entry::order_id,
                ledger_entry::member_id,
                ledger_entry::number,
            ))
            .select((
                ledger_entry::order_id,
                ledger_entry::member_id,
                ledger_entry::minor_units,
            ))
            .load(c)
            .await)?;
    let mut found: BTreeMap<OrderId, Vec<Booked>> = BTreeMap::new();
    for (order_id, member, minor_units) in rows {
        let sums = found.entry(order_id.0).or_default();
        match sums.last_mut() {
            // Each partial sum was a target, so none leaves 64 bits.
            Some(sum) if sum.member == member.0 => {
                sum.minor_units = sum.minor_units.saturating_add(minor_units);
                sum.entry_count = sum.entry_count.saturating_add(1);
            }
            _ => sums.push(Booked {
                member: member.0,
                minor_units,
                entry_count: 1,
            }),
        }
    }
    Ok(found)
}

/// Returns those of `ids` that are booked.
pub(crate) async fn list_by_ids(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[LedgerEntryId],
) -> Result<BTreeMap<LedgerEntryId, LedgerEntry>, StoreError> {
    let ids: Vec<Sql<LedgerEntryId>> = ids.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| ledger_entry::table
        .filter(ledger_entry::brand_id.eq(Sql(brand_id)))
        .filter(ledger_entry::ledger_entry_id.eq_any(&ids))
        .select(COLUMNS)
        .load(c)
        .await)?;
    let entries = rows.into_iter().map(LedgerEntry::try_from);
    entries
        .map(|entry| entry.map(|one| (one.id, one)))
        .collect()
}

/// Which entries a statement shows.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) member: Option<MemberId>,
    pub(crate) order_id: Option<OrderId>,
    pub(crate) currency: Option<Currency>,
    /// Booked at or after it.
    pub(crate) from_time: DateTime<Utc>,
    /// Booked before it.
    pub(crate) until_time: DateTime<Utc>,
}

/// What had been booked at one moment; a page token carries it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Moment {
    /// Transactions from this number on had not been committed; on SQLite changes.
    before: i64,
    /// Neither had these, although their numbers are smaller.
    running: Vec<i64>,
}

/// Takes the present moment.
pub(crate) async fn moment(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Moment, StoreError> {
    let (before, running) = match connection {
        Connection::Postgres(c) => uncommitted(c).await?,
        Connection::Sqlite(_) => (
            changes::last_number(connection, brand_id).await? + 1,
            Vec::new(),
        ),
    };
    Ok(Moment { before, running })
}

/// The entries of a statement behind a place, of those for which `$as_of` holds.
macro_rules! statement {
    ($brand_id:ident, $filter:ident, $after:ident, $as_of:expr) => {{
        let (time, id) = $after.unwrap_or(($filter.from_time, Uuid::nil().into()));
        let member = $filter.member.map_or(Uuid::nil(), Uuid::from);
        let order_id = $filter.order_id.as_ref().map_or("", OrderId::as_str);
        let currency = $filter.currency.map_or("", Currency::as_str);
        ledger_entry::table
            .filter(ledger_entry::brand_id.eq(Sql($brand_id)))
            .filter(ledger_entry::book_time.ge(Sql(time)))
            .filter(ledger_entry::book_time.lt(Sql($filter.until_time)))
            .filter(
                ledger_entry::book_time
                    .gt(Sql(time))
                    .or(ledger_entry::ledger_entry_id.gt(Sql(id))),
            )
            .filter(
                ledger_entry::member_id
                    .eq(Sql(member))
                    .or($filter.member.is_none().into_sql::<Bool>()),
            )
            .filter(
                ledger_entry::order_id
                    .eq(Sql(order_id))
                    .or($filter.order_id.is_none().into_sql::<Bool>()),
            )
            .filter(
                ledger_entry::currency_code
                    .eq(Sql(currency))
                    .or($filter.currency.is_none().into_sql::<Bool>()),
            )
            .filter($as_of)
            .order((ledger_entry::book_time, ledger_entry::ledger_entry_id))
            .select(COLUMNS)
    }};
}

/// Returns the next `limit` entries by booking time, then by id, behind `after`, of those that had been
/// booked at the moment.
///
/// An entry takes its time before it is committed, and may become visible after a page that its time is
/// before: it belongs to the next statement, and none of this one.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    filter: &Filter,
    moment: &Moment,
    after: Option<(DateTime<Utc>, LedgerEntryId)>,
    limit: i64,
) -> Result<Vec<LedgerEntry>, StoreError> {
    let rows: Vec<Row> = match connection {
        Connection::Postgres(c) => {
            let as_of = sql::<Bool>("(transaction_id < ")
                .bind::<Text, _>(moment.before.to_string())
                .sql("::xid8 AND transaction_id::text::bigint <> ALL(")
                .bind::<Array<BigInt>, _>(&moment.running)
                .sql("))");
            let entries = statement!(brand_id, filter, after, as_of);
            entries.limit(limit).load(c).await?
        }
        Connection::Sqlite(c) => {
            let as_of = ledger_entry::change_number.lt(moment.before);
            let entries = statement!(brand_id, filter, after, as_of);
            entries.limit(limit).load(c).await?
        }
    };
    rows.into_iter().map(LedgerEntry::try_from).collect()
}

/// Returns the sums of what was booked before `until_time`, of one Member or of all, by Member and
/// currency.
pub(crate) async fn balances(
    connection: &mut Connection,
    brand_id: &BrandId,
    member: Option<MemberId>,
    until_time: DateTime<Utc>,
) -> Result<Vec<(MemberId, Money)>, StoreError> {
    let wanted = member.map_or(Uuid::nil(), Uuid::from);
    let rows: Vec<(Sql<MemberId>, Sql<Currency>, i64)> =
        query!(connection, |c| ledger_entry::table
            .filter(ledger_entry::brand_id.eq(Sql(brand_id)))
            .filter(
                ledger_entry::member_id
                    .eq(Sql(wanted))
                    .or(member.is_none().into_sql::<Bool>()),
            )
            .filter(ledger_entry::book_time.lt(Sql(until_time)))
            .group_by((ledger_entry::member_id, ledger_entry::currency_code))
            .order((ledger_entry::member_id, ledger_entry::currency_code))
            .select((
                ledger_entry::member_id,
                ledger_entry::currency_code,
                // PostgreSQL sums 64 bits to a numeric, for which the suite has no use.
                sql::<BigInt>("CAST(sum(minor_units) AS bigint)"),
            ))
            .load(c)
            .await)?;
    Ok(rows
        .into_iter()
        .map(|(member, currency, minor_units)| (member.0, money(minor_units, currency)))
        .collect())
}
