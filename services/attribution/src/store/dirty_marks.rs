//! The table `dirty_mark`: what facts have touched and no evaluation has looked at since.
//!
//! A mark is written in the transaction of its fact, and read, and deleted by its number, by an
//! evaluation that looks at the facts after it has read the mark. So whoever sees a mark sees its
//! fact, and no fact is without a mark until it was looked at, whoever commits first.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl, Queryable,
    dsl::max,
    sql_types::{Array, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, CartId, CustomerId, OrderId};
use kit::{
    db::{Connection, DbText, DbTime, PgText, Sql, StoreError},
    query, telemetry,
};

use super::schema::dirty_mark;

/// What a fact has touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Orders themselves.
    Orders(BTreeSet<OrderId>),
    /// What is known of an account, or its place in a person.
    Account(AccountId),
    /// Who buys under a customer id.
    Customer(CustomerId),
    /// Who stood at the checkout with a cart.
    Cart(CartId),
}

/// Between the ids of orders, in which no control character is.
const SEPARATOR: char = '\n';

/// A mark that is not written yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewMark {
    pub(crate) subject: Subject,
    /// Only orders placed at or after it can be changed by the fact; `None` where any can.
    pub(crate) from_time: Option<DateTime<Utc>>,
    /// The trace of what made the fact; empty where none is kept.
    pub(crate) trace_parent: String,
}

impl NewMark {
    /// Returns a mark for the orders of any time, in the present trace.
    pub(crate) fn new(subject: Subject) -> Self {
        Self {
            subject,
            from_time: None,
            trace_parent: telemetry::trace_parent(),
        }
    }

    /// Returns a mark for the orders placed at or after `from_time`.
    pub(crate) fn from(subject: Subject, from_time: DateTime<Utc>) -> Self {
        Self {
            from_time: Some(from_time),
            ..Self::new(subject)
        }
    }

    fn kept_trace_parent(&self) -> Option<&str> {
        Some(self.trace_parent.as_str()).filter(|text| !text.is_empty())
    }
}

/// A mark that somebody has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) number: i64,
    pub(crate) subject: Subject,
    pub(crate) from_time: Option<DateTime<Utc>>,
    pub(crate) trace_parent: String,
}

#[derive(Queryable)]
struct Row {
    mark_number: i64,
    subject_kind: Sql<String>,
    subject: Sql<String>,
    from_time: Option<Sql<DateTime<Utc>>>,
    trace_parent: Option<Sql<String>>,
}

impl Subject {
    fn columns(&self) -> (&'static str, String) {
        match self {
            Self::Orders(ids) => {
                let ids: Vec<&str> = ids.iter().map(OrderId::as_str).collect();
                ("ORDER", ids.join(&SEPARATOR.to_string()))
            }
            Self::Account(id) => ("ACCOUNT", id.to_string()),
            Self::Customer(id) => ("CUSTOMER", id.to_string()),
            Self::Cart(id) => ("CART", id.to_string()),
        }
    }

    fn parse(kind: &str, subject: &str) -> Option<Self> {
        match kind {
            "ORDER" => {
                let ids = subject.split(SEPARATOR).map(|id| id.parse().ok());
                ids.collect::<Option<_>>().map(Self::Orders)
            }
            "ACCOUNT" => subject.parse().ok().map(Self::Account),
            "CUSTOMER" => subject.parse().ok().map(Self::Customer),
            "CART" => subject.parse().ok().map(Self::Cart),
            _ => None,
        }
    }
}

impl TryFrom<Row> for Mark {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let subject =
            Subject::parse(&row.subject_kind.0, &row.subject.0).ok_or(StoreError::Corrupt {
                what: "dirty_mark.subject",
            })?;
        Ok(Self {
            number: row.mark_number,
            subject,
            from_time: row.from_time.map(|time| time.0),
            trace_parent: row.trace_parent.map_or_else(String::new, |text| text.0),
        })
    }
}

/// Inserts a mark, in the transaction of the fact, and returns its number.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    mark: &NewMark,
) -> Result<i64, StoreError> {
    let (kind, subject) = mark.subject.columns();
    query!(connection, |c| diesel::insert_into(dirty_mark::table)
        .values((
            dirty_mark::brand_id.eq(Sql(brand_id)),
            dirty_mark::subject_kind.eq(Sql(kind)),
            dirty_mark::subject.eq(Sql(&subject)),
            dirty_mark::from_time.eq(mark.from_time.map(Sql)),
            dirty_mark::trace_parent.eq(mark.kept_trace_parent().map(Sql)),
        ))
        .returning(dirty_mark::mark_number)
        .get_result(c)
        .await)
}

/// Inserts marks, in the transaction of the facts; on PostgreSQL by one statement.
pub(crate) async fn insert_all(
    connection: &mut Connection,
    marks: &[(BrandId, NewMark)],
) -> Result<(), StoreError> {
    match connection {
        _ if marks.is_empty() => {}
        Connection::Postgres(c) => {
            insertion(marks).execute(c).await?;
        }
        Connection::Sqlite(_) => {
            for (brand_id, mark) in marks {
                insert(connection, brand_id, mark).await?;
            }
        }
    }
    Ok(())
}

fn insertion(marks: &[(BrandId, NewMark)]) -> PgText<'static> {
    let (kinds, subjects): (Vec<_>, Vec<_>) = marks
        .iter()
        .map(|(_, mark)| mark.subject.columns())
        .map(|(kind, subject)| (Sql(kind), Sql(subject)))
        .unzip();
    let brand_ids = marks.iter().map(|(brand_id, _)| Sql(brand_id.clone()));
    let from_times = marks.iter().map(|(_, mark)| mark.from_time.map(Sql));
    let trace_parents = marks
        .iter()
        .map(|(_, mark)| mark.kept_trace_parent().map(|text| Sql(text.to_owned())));
    PgText::new(
        "INSERT INTO dirty_mark (brand_id, subject_kind, subject, from_time, trace_parent) \
         SELECT * FROM unnest(?, ?, ?, ?, ?)",
    )
    .bind::<Array<DbText>, _>(brand_ids.collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(kinds)
    .bind::<Array<DbText>, _>(subjects)
    .bind::<Array<Nullable<DbTime>>, _>(from_times.collect::<Vec<_>>())
    .bind::<Array<Nullable<DbText>>, _>(trace_parents.collect::<Vec<_>>())
}

/// Marks orders by one mark, in the transaction of the facts, and returns its number; without orders
/// there is none.
pub(crate) async fn insert_orders(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: BTreeSet<OrderId>,
) -> Result<Option<i64>, StoreError> {
    if orders.is_empty() {
        return Ok(None);
    }
    let mark = NewMark::new(Subject::Orders(orders));
    insert(connection, brand_id, &mark).await.map(Some)
}

/// Marks an order, in the transaction of a fact about it, and returns the mark's number.
pub(crate) async fn insert_order(
    connection: &mut Connection,
    brand_id: &BrandId,
    order: &OrderId,
) -> Result<i64, StoreError> {
    let subject = Subject::Orders([order.clone()].into());
    insert(connection, brand_id, &NewMark::new(subject)).await
}

/// Returns the Brands that have marks, each with the greatest number that one has now.
pub(crate) async fn list_brands(
    connection: &mut Connection,
) -> Result<Vec<(BrandId, i64)>, StoreError> {
    let rows: Vec<(Sql<BrandId>, Option<i64>)> = query!(connection, |c| dirty_mark::table
        .group_by(dirty_mark::brand_id)
        .select((dirty_mark::brand_id, max(dirty_mark::mark_number)))
        .order(dirty_mark::brand_id)
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(brand, last)| (brand.0, last.unwrap_or(0)))
        .collect())
}

/// Returns the Brand's next `limit` marks of a number above `after` and up to `through`, by number.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    after: i64,
    through: i64,
    limit: i64,
) -> Result<Vec<Mark>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| dirty_mark::table
        .filter(dirty_mark::brand_id.eq(Sql(brand_id)))
        .filter(dirty_mark::mark_number.gt(after))
        .filter(dirty_mark::mark_number.le(through))
        .order(dirty_mark::mark_number)
        .limit(limit)
        .select((
            dirty_mark::mark_number,
            dirty_mark::subject_kind,
            dirty_mark::subject,
            dirty_mark::from_time,
            dirty_mark::trace_parent,
        ))
        .load(c)
        .await)?;
    rows.into_iter().map(Mark::try_from).collect()
}

/// Returns whether the Brand has a mark.
pub(crate) async fn exist(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<bool, StoreError> {
    let first: Vec<i64> = query!(connection, |c| dirty_mark::table
        .filter(dirty_mark::brand_id.eq(Sql(brand_id)))
        .select(dirty_mark::mark_number)
        .limit(1)
        .load(c)
        .await)?;
    Ok(!first.is_empty())
}

/// Deletes marks that were read before the facts were looked at.
pub(crate) async fn delete(
    connection: &mut Connection,
    brand_id: &BrandId,
    numbers: &[i64],
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(
        dirty_mark::table
            .filter(dirty_mark::brand_id.eq(Sql(brand_id)))
            .filter(dirty_mark::mark_number.eq_any(numbers))
    )
    .execute(c)
    .await)?;
    Ok(())
}
