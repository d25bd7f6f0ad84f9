//! The tables `member` and `member_customer`.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, CustomerId, MemberId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{
    entity::row,
    schema::{member, member_customer},
};
use crate::model::{Member, MemberCustomer, MemberState};

row!(Row of Member as member (brand_id, member_id) {
    brand_id: BrandId,
    member_id: MemberId,
    display_name: String,
    state: MemberState,
    session_epoch: i64,
    session_revocations: i64,
    revision: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    deactivate_time: Option<DateTime<Utc>>,
});

row!(CustomerRow of MemberCustomer as member_customer (brand_id, member_id, customer_id) {
    brand_id: BrandId,
    member_id: MemberId,
    customer_id: CustomerId,
    from_time: DateTime<Utc>,
});

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<Option<Member>, StoreError> {
    let row: Option<Row> = query!(connection, |c| member::table
        .find((Sql(brand_id), Sql(member_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Member::from))
}

pub(crate) async fn insert(connection: &mut Connection, member: &Member) -> Result<(), StoreError> {
    let row = Row::from(member);
    query!(connection, |c| diesel::insert_into(member::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn update(connection: &mut Connection, member: &Member) -> Result<(), StoreError> {
    let row = Row::from(member);
    query!(connection, |c| diesel::update(
        member::table.find((Sql(&member.brand_id), Sql(member.member_id)))
    )
    .set(&row)
    .execute(c)
    .await)?;
    Ok(())
}

/// Lists the customer ids of a Member's own.
pub(crate) async fn list_customers(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<Vec<MemberCustomer>, StoreError> {
    let rows: Vec<CustomerRow> = query!(connection, |c| member_customer::table
        .filter(member_customer::brand_id.eq(Sql(brand_id)))
        .filter(member_customer::member_id.eq(Sql(member_id)))
        .order(member_customer::customer_id)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(MemberCustomer::from).collect())
}

pub(crate) async fn insert_customer(
    connection: &mut Connection,
    customer: &MemberCustomer,
) -> Result<(), StoreError> {
    let row = CustomerRow::from(customer);
    query!(connection, |c| diesel::insert_into(member_customer::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}
