//! The table `api_key`.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, OptionalExtension, QueryDsl, sql_types::Bool,
};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, KeyId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};
use uuid::Uuid;

use super::{entity::row, schema::api_key};
use crate::model::{ApiKey, List};

row!(Row of ApiKey as api_key (brand_id, api_key_id) {
    brand_id: BrandId,
    api_key_id: KeyId,
    display_name: String,
    scopes: List<String>,
    secret_digest: Vec<u8>,
    create_time: DateTime<Utc>,
    expire_time: Option<DateTime<Utc>>,
    revoke_time: Option<DateTime<Utc>>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    key_id: KeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<Row> = query!(connection, |c| api_key::table
        .find((Sql(brand_id), Sql(key_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(ApiKey::from))
}

/// Returns the key whose secret has this digest.
pub(crate) async fn find_by_secret(
    connection: &mut Connection,
    brand_id: &BrandId,
    secret_digest: &[u8],
) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<Row> = query!(connection, |c| api_key::table
        .filter(api_key::brand_id.eq(Sql(brand_id)))
        .filter(api_key::secret_digest.eq(secret_digest))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(ApiKey::from))
}

/// Lists the Brand's keys, newest first, those before `before`. With `in_force_at` only those that
/// are in force then.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    in_force_at: Option<DateTime<Utc>>,
    before: Option<KeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let before = before.map_or(Uuid::max(), Uuid::from);
    // No key expires before it was made, so that in 1970 none had.
    let now = in_force_at.unwrap_or(DateTime::UNIX_EPOCH);
    let rows: Vec<Row> = query!(connection, |c| api_key::table
        .filter(api_key::brand_id.eq(Sql(brand_id)))
        .filter(api_key::api_key_id.lt(Sql(before)))
        .filter(
            api_key::revoke_time
                .is_null()
                .or(in_force_at.is_none().into_sql::<Bool>()),
        )
        .filter(
            api_key::expire_time
                .is_null()
                .or(api_key::expire_time.gt(Sql(now))),
        )
        .order(api_key::api_key_id.desc())
        .limit(limit)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

pub(crate) async fn insert(connection: &mut Connection, key: &ApiKey) -> Result<(), StoreError> {
    let row = Row::from(key);
    query!(connection, |c| diesel::insert_into(api_key::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn revoke(
    connection: &mut Connection,
    brand_id: &BrandId,
    key_id: KeyId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        api_key::table.find((Sql(brand_id), Sql(key_id)))
    )
    .set(api_key::revoke_time.eq(Some(Sql(now))))
    .execute(c)
    .await)?;
    Ok(())
}
