//! The accounts that identity has erased, and how far each is cleared here.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, ErasureId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{from_column, schema::account_erasure, to_column};

/// How far one account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many messages have been cleared.
    pub message_count: u64,
    /// How many images have been deleted.
    pub image_count: u64,
    /// When nothing was left.
    pub complete_time: Option<DateTime<Utc>>,
}

type ProgressRow = (i64, i64, Option<Sql<DateTime<Utc>>>);

/// Begins the erasure of an account, if it has not begun.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    erasure_id: ErasureId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(account_erasure::table)
        .values((
            account_erasure::brand_id.eq(Sql(brand_id)),
            account_erasure::account_id.eq(Sql(account_id)),
            account_erasure::erasure_id.eq(Sql(erasure_id)),
            account_erasure::create_time.eq(Sql(now)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns the accounts, of any Brand, that are not complete, the oldest first.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_running(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<(BrandId, AccountId)>, StoreError> {
    let rows: Vec<(Sql<BrandId>, Sql<AccountId>)> = query!(connection, |c| account_erasure::table
        .filter(account_erasure::complete_time.is_null())
        .order((account_erasure::create_time, account_erasure::account_id))
        .limit(limit)
        .select((account_erasure::brand_id, account_erasure::account_id))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(brand_id, account_id)| (brand_id.0, account_id.0))
        .collect())
}

/// Returns how far some accounts are; one whose erasure has not begun is left out.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_progress(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<Progress>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<ProgressRow> = query!(connection, |c| account_erasure::table
        .filter(account_erasure::brand_id.eq(Sql(brand_id)))
        .filter(account_erasure::account_id.eq_any(&accounts))
        .select((
            account_erasure::message_count,
            account_erasure::image_count,
            account_erasure::complete_time
        ))
        .load(c)
        .await)?;
    let progress = |(messages, images, complete_time): ProgressRow| {
        Ok(Progress {
            message_count: from_column("account_erasure.message_count", messages)?,
            image_count: from_column("account_erasure.image_count", images)?,
            complete_time: complete_time.map(|time| time.0),
        })
    };
    rows.into_iter().map(progress).collect()
}

/// Counts messages that have been cleared.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn add_messages(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    count: u64,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        account_erasure::table.find((Sql(brand_id), Sql(account_id)))
    )
    .set(account_erasure::message_count.eq(account_erasure::message_count + to_column(count)))
    .execute(c)
    .await)?;
    Ok(())
}

/// Counts images that have been deleted.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn add_images(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    count: u64,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        account_erasure::table.find((Sql(brand_id), Sql(account_id)))
    )
    .set(account_erasure::image_count.eq(account_erasure::image_count + to_column(count)))
    .execute(c)
    .await)?;
    Ok(())
}

/// Says that nothing is left to clear; the first time counts.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn complete(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(account_erasure::table)
        .filter(account_erasure::brand_id.eq(Sql(brand_id)))
        .filter(account_erasure::account_id.eq(Sql(account_id)))
        .filter(account_erasure::complete_time.is_null())
        .set(account_erasure::complete_time.eq(Some(Sql(now))))
        .execute(c)
        .await)?;
    Ok(())
}
