//! The tables `attribution` and `credit`: what each order is credited to by the last evaluation that
//! changed it.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use domain::{
    attribution::Outcome,
    buyer::{Buyer, BuyerKey},
    id::{AccountId, BrandId, ChatroomId, LinkId, MemberId, OrderId},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{
    revision,
    schema::{attribution, credit},
    to_column,
};

/// What an order is credited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) outcome: Outcome,
    pub(crate) buyer: Option<Buyer>,
    /// The account that stands for the buyer's person; there exactly when there is a buyer.
    pub(crate) person: Option<AccountId>,
    pub(crate) policy_revision: u64,
    /// The link revision of the person that was seen; 0 where there is none.
    pub(crate) link_revision: i64,
    pub(crate) is_frozen: bool,
    /// By Member.
    pub(crate) credits: Vec<StoredCredit>,
}

/// A Member's part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredCredit {
    pub(crate) member: MemberId,
    pub(crate) chatroom: ChatroomId,
    pub(crate) link: Option<LinkId>,
    pub(crate) share_ppm: i32,
    pub(crate) target_minor_units: i64,
}

/// A finding as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAttribution {
    pub(crate) revision: u64,
    pub(crate) evaluate_time: DateTime<Utc>,
    pub(crate) finding: Finding,
}

#[derive(Queryable)]
struct Row {
    revision: i64,
    outcome: Sql<Outcome>,
    buyer_key: Option<Sql<BuyerKey>>,
    buyer_account_id: Option<Sql<AccountId>>,
    person_account_id: Option<Sql<AccountId>>,
    policy_revision: i64,
    link_revision: i64,
    is_frozen: bool,
    evaluate_time: Sql<DateTime<Utc>>,
}

#[derive(Queryable)]
struct CreditRow {
    member_id: Sql<MemberId>,
    chatroom_id: Sql<ChatroomId>,
    link_id: Option<Sql<LinkId>>,
    share_ppm: i32,
    target_minor_units: i64,
}

/// Returns what an order is credited to, or `None` before its first evaluation.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Option<StoredAttribution>, StoreError> {
    let row: Option<Row> = query!(connection, |c| attribution::table
        .find((Sql(brand_id), Sql(order_id)))
        .select((
            attribution::revision,
            attribution::outcome,
            attribution::buyer_key,
            attribution::buyer_account_id,
            attribution::person_account_id,
            attribution::policy_revision,
            attribution::link_revision,
            attribution::is_frozen,
            attribution::evaluate_time,
        ))
        .first(c)
        .await
        .optional())?;
    let Some(row) = row else {
        return Ok(None);
    };
    let buyer = row.buyer_account_id.zip(row.buyer_key);
    Ok(Some(StoredAttribution {
        revision: revision("attribution.revision", row.revision)?,
        evaluate_time: row.evaluate_time.0,
        finding: Finding {
            outcome: row.outcome.0,
            buyer: buyer.map(|(account, key)| Buyer {
                account: account.0,
                key: key.0,
            }),
            person: row.person_account_id.map(|account| account.0),
            policy_revision: revision("attribution.policy_revision", row.policy_revision)?,
            link_revision: row.link_revision,
            is_frozen: row.is_frozen,
            credits: credits(connection, brand_id, order_id).await?,
        },
    }))
}

async fn credits(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Vec<StoredCredit>, StoreError> {
    let rows: Vec<CreditRow> = query!(connection, |c| credit::table
        .filter(credit::brand_id.eq(Sql(brand_id)))
        .filter(credit::order_id.eq(Sql(order_id)))
        .order(credit::member_id)
        .select((
            credit::member_id,
            credit::chatroom_id,
            credit::link_id,
            credit::share_ppm,
            credit::target_minor_units,
        ))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|row| StoredCredit {
            member: row.member_id.0,
            chatroom: row.chatroom_id.0,
            link: row.link_id.map(|id| id.0),
            share_ppm: row.share_ppm,
            target_minor_units: row.target_minor_units,
        })
        .collect())
}

/// Keeps what an order is credited to, in the place of what was kept before.
pub(crate) async fn replace(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
    stored: &StoredAttribution,
) -> Result<(), StoreError> {
    let finding = &stored.finding;
    let state = (
        attribution::revision.eq(to_column(stored.revision)),
        attribution::outcome.eq(Sql(finding.outcome)),
        attribution::buyer_key.eq(finding.buyer.map(|buyer| Sql(buyer.key))),
        attribution::buyer_account_id.eq(finding.buyer.map(|buyer| Sql(buyer.account))),
        attribution::person_account_id.eq(finding.person.map(Sql)),
        attribution::policy_revision.eq(to_column(finding.policy_revision)),
        attribution::link_revision.eq(finding.link_revision),
        attribution::is_frozen.eq(finding.is_frozen),
        attribution::evaluate_time.eq(Sql(stored.evaluate_time)),
    );
    query!(connection, |c| diesel::insert_into(attribution::table)
        .values((
            attribution::brand_id.eq(Sql(brand_id)),
            attribution::order_id.eq(Sql(order_id)),
            state,
        ))
        .on_conflict((attribution::brand_id, attribution::order_id))
        .do_update()
        .set(state)
        .execute(c)
        .await)?;
    query!(connection, |c| diesel::delete(
        credit::table
            .filter(credit::brand_id.eq(Sql(brand_id)))
            .filter(credit::order_id.eq(Sql(order_id)))
    )
    .execute(c)
    .await)?;
    for one in &finding.credits {
        query!(connection, |c| diesel::insert_into(credit::table)
            .values((
                credit::brand_id.eq(Sql(brand_id)),
                credit::order_id.eq(Sql(order_id)),
                credit::member_id.eq(Sql(one.member)),
                credit::chatroom_id.eq(Sql(one.chatroom)),
                credit::link_id.eq(one.link.map(Sql)),
                credit::share_ppm.eq(one.share_ppm),
                credit::target_minor_units.eq(one.target_minor_units),
            ))
            .execute(c)
            .await)?;
    }
    Ok(())
}
