//! Pages of the list of orders.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, JoinOnDsl, NullableExpressionMethods,
    QueryDsl, sql_types::Bool,
};
use diesel_async::RunQueryDsl;
use domain::{
    attribution::Outcome,
    id::{BrandId, OrderId},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{COLUMNS, RecordedOrder, Row, order};
use crate::store::schema::attribution;

/// Which orders a list shows.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Placed at or after it.
    pub(crate) from_time: DateTime<Utc>,
    /// Placed before it.
    pub(crate) until_time: DateTime<Utc>,
    /// With one of these outcomes.
    pub(crate) outcomes: Vec<Outcome>,
    /// Also those that were never evaluated.
    pub(crate) with_unevaluated: bool,
}

/// Returns the next `limit` orders, newest first, then by id, behind `after`.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    filter: &Filter,
    after: Option<&(DateTime<Utc>, OrderId)>,
    limit: i64,
) -> Result<Vec<RecordedOrder>, StoreError> {
    let is_first = after.is_none();
    let (time, id) = after.map_or((filter.until_time, ""), |(time, id)| (*time, id.as_str()));
    let outcomes: Vec<Sql<Outcome>> = filter.outcomes.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| order::table
        .left_join(
            attribution::table.on(attribution::brand_id
                .eq(order::brand_id)
                .and(attribution::order_id.eq(order::order_id))),
        )
        .filter(order::brand_id.eq(Sql(brand_id)))
        .filter(order::order_time.ge(Sql(filter.from_time)))
        .filter(order::order_time.le(Sql(time)))
        .filter(order::order_time.lt(Sql(filter.until_time)))
        .filter(
            is_first
                .into_sql::<Bool>()
                .or(order::order_time.lt(Sql(time)))
                .or(order::order_id.gt(Sql(id))),
        )
        .filter(
            attribution::outcome
                .nullable()
                .eq_any(&outcomes)
                .assume_not_null()
                .and(attribution::outcome.nullable().is_not_null())
                .or(attribution::outcome
                    .nullable()
                    .is_null()
                    .and(filter.with_unevaluated.into_sql::<Bool>())),
        )
        .order((order::order_time.desc(), order::order_id))
        .limit(limit)
        .select(COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(RecordedOrder::try_from).collect()
}
