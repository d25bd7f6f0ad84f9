//! Members, with the customer ids by which they buy themselves.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl,
    query_dsl::methods::FilterDsl as _, upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, CustomerId, MemberId};
use rapport_proto::event::v1::{MemberChanged, MemberState};

use super::{
    read, read_instant,
    schema::{member, member_customer},
};
use crate::{
    db::{Connection, Sql, StoreError},
    query,
};

/// A customer id of a Member's own, from a time on (SPEC 41).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCustomer {
    /// The customer id at the Brand.
    pub customer_id: CustomerId,
    /// From when it is his.
    pub from_time: DateTime<Utc>,
}

/// Returns whether a Member is active, or `None` when he is not known.
///
/// # Errors
///
/// What the database fails with.
pub async fn find_active(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<Option<bool>, StoreError> {
    let state: Option<Sql<String>> = query!(connection, |c| member::table
        .find((Sql(brand_id), Sql(member_id)))
        .select(member::state)
        .first(c)
        .await
        .optional())?;
    Ok(state.map(|state| state.0 == MemberState::Active.as_str_name()))
}

/// Returns those of `ids` who are deactivated.
///
/// # Errors
///
/// What the database fails with.
pub async fn list_deactivated(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[MemberId],
) -> Result<BTreeSet<MemberId>, StoreError> {
    let ids: Vec<Sql<MemberId>> = ids.iter().copied().map(Sql).collect();
    let deactivated: Vec<Sql<MemberId>> = query!(connection, |c| QueryDsl::filter(
        member::table,
        member::brand_id
            .eq(Sql(brand_id))
            .and(member::member_id.eq_any(&ids))
            .and(member::state.eq(Sql(MemberState::Deactivated.as_str_name())))
    )
    .select(member::member_id)
    .load(c)
    .await)?;
    Ok(deactivated.into_iter().map(|id| id.0).collect())
}

/// Returns the customer ids of a Member's own.
///
/// # Errors
///
/// What the database fails with.
pub async fn own_customers(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<Vec<OwnCustomer>, StoreError> {
    let rows: Vec<(Sql<CustomerId>, Sql<DateTime<Utc>>)> =
        query!(connection, |c| QueryDsl::filter(
            QueryDsl::filter(
                member_customer::table,
                member_customer::brand_id.eq(Sql(brand_id))
            ),
            member_customer::member_id.eq(Sql(member_id))
        )
        .order(member_customer::customer_id)
        .select((member_customer::customer_id, member_customer::from_time))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(customer_id, from_time)| OwnCustomer {
            customer_id: customer_id.0,
            from_time: from_time.0,
        })
        .collect())
}

/// Returns which Members buy under one of `customers` themselves, and from when on.
///
/// # Errors
///
/// What the database fails with.
pub async fn list_owners(
    connection: &mut Connection,
    brand_id: &BrandId,
    customers: &[CustomerId],
) -> Result<Vec<domain::attribution::OwnCustomer>, StoreError> {
    type OwnerRow = (Sql<MemberId>, Sql<CustomerId>, Sql<DateTime<Utc>>);
    let customers: Vec<Sql<&CustomerId>> = customers.iter().map(Sql).collect();
    let rows: Vec<OwnerRow> = query!(connection, |c| QueryDsl::filter(
        member_customer::table,
        member_customer::brand_id
            .eq(Sql(brand_id))
            .and(member_customer::customer_id.eq_any(&customers))
    )
    .order((member_customer::member_id, member_customer::customer_id))
    .select((
        member_customer::member_id,
        member_customer::customer_id,
        member_customer::from_time,
    ))
    .load(c)
    .await)?;
    Ok(rows
        .into_iter()
        .map(
            |(member, customer, from_time)| domain::attribution::OwnCustomer {
                member: member.0,
                customer: customer.0,
                from_time: from_time.0,
            },
        )
        .collect())
}

/// Keeps the state of a Member, unless a later one is known.
pub(super) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    state: &MemberChanged,
) -> Result<(), StoreError> {
    let member_id: MemberId = read("member_id", state.member_id.parse())?;
    let changed = query!(connection, |c| diesel::insert_into(member::table)
        .values((
            member::brand_id.eq(Sql(brand_id)),
            member::member_id.eq(Sql(member_id)),
            member::revision.eq(state.revision),
            member::state.eq(Sql(state.state().as_str_name())),
        ))
        .on_conflict((member::brand_id, member::member_id))
        .do_update()
        .set((
            member::revision.eq(excluded(member::revision)),
            member::state.eq(excluded(member::state)),
        ))
        .filter(member::revision.lt(state.revision))
        .execute(c)
        .await)?;
    if changed == 0 {
        return Ok(());
    }
    query!(connection, |c| diesel::delete(QueryDsl::filter(
        QueryDsl::filter(
            member_customer::table,
            member_customer::brand_id.eq(Sql(brand_id))
        ),
        member_customer::member_id.eq(Sql(member_id))
    ))
    .execute(c)
    .await)?;
    for own in &state.own_customer_ids {
        let customer_id: CustomerId = read("customer_id", own.customer_id.parse())?;
        let from_time = read_instant("from_time", own.from_time.as_ref())?;
        query!(connection, |c| diesel::insert_into(member_customer::table)
            .values((
                member_customer::brand_id.eq(Sql(brand_id)),
                member_customer::member_id.eq(Sql(member_id)),
                member_customer::customer_id.eq(Sql(&customer_id)),
                member_customer::from_time.eq(Sql(from_time)),
            ))
            // Named twice in one fact, the first counts.
            .on_conflict_do_nothing()
            .execute(c)
            .await)?;
    }
    Ok(())
}
