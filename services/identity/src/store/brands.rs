//! The table `brand`.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::BrandId;
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{entity::row, schema::brand};
use crate::model::{Brand, BrandState, List, TokenAlgorithm};

row!(Row of Brand as brand (brand_id) {
    brand_id: BrandId,
    display_name: String,
    state: BrandState,
    merge_policy_revision: i64,
    nonce_required: bool,
    token_algorithms: List<TokenAlgorithm>,
    issuer: String,
    audiences: List<String>,
    customer_id_claim: String,
    widget_policy_version: String,
    temporary_account_ttl_seconds: i64,
    attribution_window_limit_seconds: i64,
    client_session_ttl_seconds: i64,
    time_zone: String,
    revision: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Option<Brand>, StoreError> {
    let row: Option<Row> = query!(connection, |c| brand::table
        .find(Sql(brand_id))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Brand::from))
}

/// Lists Brands by id, those behind `after`.
pub(crate) async fn list(
    connection: &mut Connection,
    after: Option<&BrandId>,
    limit: i64,
) -> Result<Vec<Brand>, StoreError> {
    // No slug is empty, so that the empty text is before all.
    let after = after.map_or("", BrandId::as_str);
    let rows: Vec<Row> = query!(connection, |c| brand::table
        .filter(brand::brand_id.gt(Sql(after)))
        .order(brand::brand_id)
        .limit(limit)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Brand::from).collect())
}

pub(crate) async fn insert(connection: &mut Connection, brand: &Brand) -> Result<(), StoreError> {
    let row = Row::from(brand);
    query!(connection, |c| diesel::insert_into(brand::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn update(connection: &mut Connection, brand: &Brand) -> Result<(), StoreError> {
    let row = Row::from(brand);
    query!(connection, |c| diesel::update(
        brand::table.find(Sql(&brand.brand_id))
    )
    .set(&row)
    .execute(c)
    .await)?;
    Ok(())
}
