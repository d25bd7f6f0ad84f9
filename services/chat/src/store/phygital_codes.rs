//! The codes with which visitors meet Members in person; each is kept as its digest.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, MemberId};
use kit::{
    db::{Connection, LockedDsl, Sql, StoreError},
    query,
};

use super::schema::phygital_code;

/// A code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// Whose it is.
    pub member_id: MemberId,
    /// From when on it is good for nobody.
    pub expire_time: DateTime<Utc>,
    /// When a visitor redeemed it.
    pub redeem_time: Option<DateTime<Utc>>,
}

/// Inserts a code.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    digest: &[u8; 32],
    new: &Code,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(phygital_code::table)
        .values((
            phygital_code::brand_id.eq(Sql(brand_id)),
            phygital_code::code_digest.eq(digest.as_slice()),
            phygital_code::member_id.eq(Sql(new.member_id)),
            phygital_code::create_time.eq(Sql(now)),
            phygital_code::expire_time.eq(Sql(new.expire_time)),
            phygital_code::redeem_time.eq(new.redeem_time.map(Sql)),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns a code, and keeps others from redeeming it until the transaction ends.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn lock(
    connection: &mut Connection,
    brand_id: &BrandId,
    digest: &[u8; 32],
) -> Result<Option<Code>, StoreError> {
    type Row = (
        Sql<MemberId>,
        Sql<DateTime<Utc>>,
        Option<Sql<DateTime<Utc>>>,
    );
    let row: Option<Row> = query!(connection, |c| phygital_code::table
        .filter(phygital_code::brand_id.eq(Sql(brand_id)))
        .filter(phygital_code::code_digest.eq(digest.as_slice()))
        .select((
            phygital_code::member_id,
            phygital_code::expire_time,
            phygital_code::redeem_time,
        ))
        .locked()
        .get_result(c)
        .await
        .optional())?;
    Ok(row.map(|(member_id, expire_time, redeem_time)| Code {
        member_id: member_id.0,
        expire_time: expire_time.0,
        redeem_time: redeem_time.map(|time| time.0),
    }))
}

/// Says that a code is redeemed.
///
/// # Errors
///
/// What the database fails with; the caller has locked the code.
pub(crate) async fn redeem(
    connection: &mut Connection,
    brand_id: &BrandId,
    digest: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        phygital_code::table.find((Sql(brand_id), digest.as_slice()))
    )
    .set(phygital_code::redeem_time.eq(Some(Sql(now))))
    .execute(c)
    .await)?;
    Ok(())
}

/// Deletes the codes of a Member that have expired, redeemed or not: what is not there is refused all
/// the same.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn delete_expired(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(
        phygital_code::table
            .filter(phygital_code::brand_id.eq(Sql(brand_id)))
            .filter(phygital_code::member_id.eq(Sql(member_id)))
            .filter(phygital_code::expire_time.le(Sql(now)))
    )
    .execute(c)
    .await)?;
    Ok(())
}
