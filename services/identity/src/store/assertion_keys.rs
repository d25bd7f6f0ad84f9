//! The table `assertion_key`.

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

use super::{entity::row, schema::assertion_key};
use crate::model::{AssertionKey, AssertionKeyKind};

row!(Row of AssertionKey as assertion_key (brand_id, assertion_key_id) {
    brand_id: BrandId,
    assertion_key_id: KeyId,
    kind: AssertionKeyKind,
    sealed_secret: Option<Vec<u8>>,
    key_set: Option<String>,
    jwks_uri: Option<String>,
    create_time: DateTime<Utc>,
    expire_time: Option<DateTime<Utc>>,
    revoke_time: Option<DateTime<Utc>>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    key_id: KeyId,
) -> Result<Option<AssertionKey>, StoreError> {
    let row: Option<Row> = query!(connection, |c| assertion_key::table
        .find((Sql(brand_id), Sql(key_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(AssertionKey::from))
}

/// More keys than a Brand can have in force.
const ALL_IN_FORCE: i64 = 1_000;

/// Lists all keys that are in force, newest first.
pub(crate) async fn list_in_force(
    connection: &mut Connection,
    brand_id: &BrandId,
    now: DateTime<Utc>,
) -> Result<Vec<AssertionKey>, StoreError> {
    list(connection, brand_id, Some(now), None, ALL_IN_FORCE).await
}

/// Lists the Brand's keys, newest first, those before `before`. With `in_force_at` only those that
/// are in force then.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    in_force_at: Option<DateTime<Utc>>,
    before: Option<KeyId>,
    limit: i64,
) -> Result<Vec<AssertionKey>, StoreError> {
    let before = before.map_or(Uuid::max(), Uuid::from);
    // No key expires before it was made, so that in 1970 none had.
    let now = in_force_at.unwrap_or(DateTime::UNIX_EPOCH);
    let rows: Vec<Row> = query!(connection, |c| assertion_key::table
        .filter(assertion_key::brand_id.eq(Sql(brand_id)))
        .filter(assertion_key::assertion_key_id.lt(Sql(before)))
        .filter(
            assertion_key::revoke_time
                .is_null()
                .or(in_force_at.is_none().into_sql::<Bool>()),
        )
        .filter(
            assertion_key::expire_time
                .is_null()
                .or(assertion_key::expire_time.gt(Sql(now))),
        )
        .order(assertion_key::assertion_key_id.desc())
        .limit(limit)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(AssertionKey::from).collect())
}

pub(crate) async fn insert(
    connection: &mut Connection,
    key: &AssertionKey,
) -> Result<(), StoreError> {
    let row = Row::from(key);
    query!(connection, |c| diesel::insert_into(assertion_key::table)
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
        assertion_key::table.find((Sql(brand_id), Sql(key_id)))
    )
    .set(assertion_key::revoke_time.eq(Some(Sql(now))))
    .execute(c)
    .await)?;
    Ok(())
}
