//! The tables `erasure` and `erased_account`.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, ErasureId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{
    entity::row,
    schema::{erased_account, erasure},
};
use crate::model::Erasure;

row!(Row of Erasure as erasure (brand_id, erasure_id) {
    brand_id: BrandId,
    erasure_id: ErasureId,
    person_id: AccountId,
    create_time: DateTime<Utc>,
    chat_complete_time: Option<DateTime<Utc>>,
    attribution_complete_time: Option<DateTime<Utc>>,
    complete_time: Option<DateTime<Utc>>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    erasure_id: ErasureId,
) -> Result<Option<Erasure>, StoreError> {
    let row: Option<Row> = query!(connection, |c| erasure::table
        .find((Sql(brand_id), Sql(erasure_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Erasure::from))
}

/// Returns the erasure that an account belongs to.
pub(crate) async fn find_of_account(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Option<Erasure>, StoreError> {
    let erasure_id: Option<Sql<ErasureId>> = query!(connection, |c| erased_account::table
        .find((Sql(brand_id), Sql(account_id)))
        .select(erased_account::erasure_id)
        .first(c)
        .await
        .optional())?;
    match erasure_id {
        Some(erasure_id) => find(connection, brand_id, erasure_id.0).await,
        None => Ok(None),
    }
}

/// Lists the accounts of an erasure.
pub(crate) async fn list_accounts(
    connection: &mut Connection,
    brand_id: &BrandId,
    erasure_id: ErasureId,
) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<Sql<AccountId>> = query!(connection, |c| erased_account::table
        .filter(erased_account::brand_id.eq(Sql(brand_id)))
        .filter(erased_account::erasure_id.eq(Sql(erasure_id)))
        .order(erased_account::account_id)
        .select(erased_account::account_id)
        .load(c)
        .await)?;
    Ok(ids.into_iter().map(|id| id.0).collect())
}

/// Lists the erasures, of all Brands, that are not complete, oldest first, those behind `after`.
pub(crate) async fn list_running(
    connection: &mut Connection,
    after: Option<&Erasure>,
    limit: i64,
) -> Result<Vec<Erasure>, StoreError> {
    let (time, id) = after.map_or(
        (DateTime::UNIX_EPOCH, ErasureId::new(uuid::Uuid::nil())),
        |e| (e.create_time, e.erasure_id),
    );
    let rows: Vec<Row> = query!(connection, |c| erasure::table
        .filter(erasure::complete_time.is_null())
        .filter(
            erasure::create_time.gt(Sql(time)).or(erasure::create_time
                .eq(Sql(time))
                .and(erasure::erasure_id.gt(Sql(id)))),
        )
        .order((erasure::create_time, erasure::erasure_id))
        .limit(limit)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Erasure::from).collect())
}

pub(crate) async fn insert(
    connection: &mut Connection,
    erasure: &Erasure,
) -> Result<(), StoreError> {
    let row = Row::from(erasure);
    query!(connection, |c| diesel::insert_into(erasure::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

/// Notes that an account belongs to an erasure.
pub(crate) async fn insert_account(
    connection: &mut Connection,
    erasure: &Erasure,
    account_id: AccountId,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(erased_account::table)
        .values((
            erased_account::brand_id.eq(Sql(&erasure.brand_id)),
            erased_account::account_id.eq(Sql(account_id)),
            erased_account::erasure_id.eq(Sql(erasure.erasure_id)),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn update(
    connection: &mut Connection,
    erasure: &Erasure,
) -> Result<(), StoreError> {
    let row = Row::from(erasure);
    query!(connection, |c| diesel::update(
        erasure::table.find((Sql(&erasure.brand_id), Sql(erasure.erasure_id)))
    )
    .set(&row)
    .execute(c)
    .await)?;
    Ok(())
}
