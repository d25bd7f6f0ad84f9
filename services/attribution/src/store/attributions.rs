//! The tables `attribution` and `credit`: what each order is credited to by the last evaluation that
//! changed it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl, Queryable,
    sql_types::{Array, BigInt, Bool, Integer, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::{
    attribution::Outcome,
    buyer::{Buyer, BuyerKey},
    id::{AccountId, BrandId, ChatroomId, LinkId, MemberId, OrderId},
};
use kit::{
    db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError},
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
    order_id: Sql<OrderId>,
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

impl Row {
    fn with(self, credits: Vec<StoredCredit>) -> Result<StoredAttribution, StoreError> {
        let buyer = self.buyer_account_id.zip(self.buyer_key);
        Ok(StoredAttribution {
            revision: revision("attribution.revision", self.revision)?,
            evaluate_time: self.evaluate_time.0,
            finding: Finding {
                outcome: self.outcome.0,
                buyer: buyer.map(|(account, key)| Buyer {
                    account: account.0,
                    key: key.0,
                }),
                person: self.person_account_id.map(|account| account.0),
                policy_revision: revision("attribution.policy_revision", self.policy_revision)?,
                link_revision: self.link_revision,
                is_frozen: self.is_frozen,
                credits,
            },
        })
    }
}

#[derive(Queryable)]
struct CreditRow {
    order_id: Sql<OrderId>,
    member_id: Sql<MemberId>,
    chatroom_id: Sql<ChatroomId>,
    link_id: Option<Sql<LinkId>>,
    share_ppm: i32,
    target_minor_units: i64,
}

/// Returns what those of `orders` that were ever evaluated are credited to.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<BTreeMap<OrderId, StoredAttribution>, StoreError> {
    let ids: Vec<Sql<&OrderId>> = orders.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(&mut *connection, |c| attribution::table
        .filter(attribution::brand_id.eq(Sql(brand_id)))
        .filter(attribution::order_id.eq_any(&ids))
        .select((
            attribution::order_id,
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
        .load(c)
        .await)?;
    let mut credits = match rows.is_empty() {
        true => BTreeMap::new(),
        false => credits(connection, brand_id, &ids).await?,
    };
    rows.into_iter()
        .map(|row| {
            let order_id = row.order_id.0.clone();
            let stored = row.with(credits.remove(&order_id).unwrap_or_default())?;
            Ok((order_id, stored))
        })
        .collect()
}

/// Returns the credits of `orders`, each order's by Member.
async fn credits(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[Sql<&OrderId>],
) -> Result<BTreeMap<OrderId, Vec<StoredCredit>>, StoreError> {
    let rows: Vec<CreditRow> = query!(connection, |c| credit::table
        .filter(credit::brand_id.eq(Sql(brand_id)))
        .filter(credit::order_id.eq_any(orders))
        .order((credit::order_id, credit::member_id))
        .select((
            credit::order_id,
            credit::member_id,
            credit::chatroom_id,
            credit::link_id,
            credit::share_ppm,
            credit::target_minor_units,
        ))
        .load(c)
        .await)?;
    let mut credits: BTreeMap<OrderId, Vec<StoredCredit>> = BTreeMap::new();
    for row in rows {
        credits
            .entry(row.order_id.0)
            .or_default()
            .push(StoredCredit {
                member: row.member_id.0,
                chatroom: row.chatroom_id.0,
                link: row.link_id.map(|id| id.0),
                share_ppm: row.share_ppm,
                target_minor_units: row.target_minor_units,
            });
    }
    Ok(credits)
}

/// Keeps what orders are credited to, in the place of what was kept before; on PostgreSQL by one
/// statement for each table. Elsewhere the changes are numbered behind `last_number`.
pub(crate) async fn replace(
    connection: &mut Connection,
    brand_id: &BrandId,
    changed: &[(OrderId, StoredAttribution)],
    last_number: i64,
) -> Result<(), StoreError> {
    if changed.is_empty() {
        return Ok(());
    }
    match connection {
        Connection::Postgres(c) => {
            insertion(brand_id, changed).execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for ((order_id, stored), number) in changed.iter().zip(last_number + 1..) {
                let (finding, buyer) = (&stored.finding, stored.finding.buyer);
                let state = (
                    attribution::revision.eq(to_column(stored.revision)),
                    attribution::outcome.eq(Sql(finding.outcome)),
                    attribution::buyer_key.eq(buyer.map(|buyer| Sql(buyer.key))),
                    attribution::buyer_account_id.eq(buyer.map(|buyer| Sql(buyer.account))),
                    attribution::person_account_id.eq(finding.person.map(Sql)),
                    attribution::policy_revision.eq(to_column(finding.policy_revision)),
                    attribution::link_revision.eq(finding.link_revision),
                    attribution::is_frozen.eq(finding.is_frozen),
                    attribution::evaluate_time.eq(Sql(stored.evaluate_time)),
                    attribution::change_number.eq(number),
                );
                diesel::insert_into(attribution::table)
                    .values((
                        attribution::brand_id.eq(Sql(brand_id)),
                        attribution::order_id.eq(Sql(order_id)),
                        state,
                    ))
                    .on_conflict((attribution::brand_id, attribution::order_id))
                    .do_update()
                    .set(state)
                    .execute(c)
                    .await?;
            }
        }
    }
    replace_credits(connection, brand_id, changed).await
}

fn insertion(brand_id: &BrandId, changed: &[(OrderId, StoredAttribution)]) -> PgText<'static> {
    let findings = || changed.iter().map(|(_, stored)| &stored.finding);
    let buyers = || findings().map(|finding| finding.buyer);
    let order_ids: Vec<_> = changed.iter().map(|(id, _)| Sql(id.clone())).collect();
    let times = changed.iter().map(|(_, stored)| Sql(stored.evaluate_time));
    let revisions = changed.iter().map(|(_, stored)| to_column(stored.revision));
    let policies = findings().map(|finding| to_column(finding.policy_revision));
    PgText::new(
        "INSERT INTO attribution (brand_id, order_id, revision, outcome, buyer_key, \
         buyer_account_id, person_account_id, policy_revision, link_revision, is_frozen, \
         evaluate_time) SELECT ?, * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (brand_id, order_id) DO UPDATE SET revision = excluded.revision, \
         outcome = excluded.outcome, buyer_key = excluded.buyer_key, \
         buyer_account_id = excluded.buyer_account_id, \
         person_account_id = excluded.person_account_id, \
         policy_revision = excluded.policy_revision, link_revision = excluded.link_revision, \
         is_frozen = excluded.is_frozen, evaluate_time = excluded.evaluate_time, \
         transaction_id = excluded.transaction_id, change_number = excluded.change_number",
    )
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<Array<DbText>, _>(order_ids)
    .bind::<Array<BigInt>, _>(revisions.collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(findings().map(|one| Sql(one.outcome)).collect::<Vec<_>>())
    .bind::<Array<Nullable<DbText>>, _>(
        buyers()
            .map(|buyer| buyer.map(|buyer| Sql(buyer.key)))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<DbUuid>>, _>(
        buyers()
            .map(|buyer| buyer.map(|buyer| Sql(buyer.account)))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<DbUuid>>, _>(
        findings()
            .map(|one| one.person.map(Sql))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(policies.collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(findings().map(|one| one.link_revision).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(findings().map(|one| one.is_frozen).collect::<Vec<_>>())
    .bind::<Array<DbTime>, _>(times.collect::<Vec<_>>())
}

async fn replace_credits(
    connection: &mut Connection,
    brand_id: &BrandId,
    changed: &[(OrderId, StoredAttribution)],
) -> Result<(), StoreError> {
    // What has its first revision had none before.
    let replaced = changed.iter().filter(|(_, stored)| stored.revision > 1);
    let replaced: Vec<Sql<&OrderId>> = replaced.map(|(id, _)| Sql(id)).collect();
    if !replaced.is_empty() {
        query!(&mut *connection, |c| diesel::delete(
            credit::table
                .filter(credit::brand_id.eq(Sql(brand_id)))
                .filter(credit::order_id.eq_any(&replaced))
        )
        .execute(c)
        .await)?;
    }
    let credits: Vec<(&OrderId, &StoredCredit)> = changed
        .iter()
        .flat_map(|(id, stored)| stored.finding.credits.iter().map(move |one| (id, one)))
        .collect();
    match connection {
        _ if credits.is_empty() => {}
        Connection::Postgres(c) => {
            credit_insertion(brand_id, &credits).execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for (order_id, one) in credits {
                diesel::insert_into(credit::table)
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
                    .await?;
            }
        }
    }
    Ok(())
}

fn credit_insertion(brand_id: &BrandId, credits: &[(&OrderId, &StoredCredit)]) -> PgText<'static> {
    let each = || credits.iter().map(|(_, credit)| credit);
    let order_ids = credits.iter().map(|(id, _)| Sql(OrderId::clone(id)));
    PgText::new(
        "INSERT INTO credit (brand_id, order_id, member_id, chatroom_id, link_id, share_ppm, \
         target_minor_units) SELECT ?, * FROM unnest(?, ?, ?, ?, ?, ?)",
    )
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<Array<DbText>, _>(order_ids.collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(each().map(|one| Sql(one.member)).collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(each().map(|one| Sql(one.chatroom)).collect::<Vec<_>>())
    .bind::<Array<Nullable<DbUuid>>, _>(each().map(|one| one.link.map(Sql)).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(each().map(|one| one.share_ppm).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(each().map(|one| one.target_minor_units).collect::<Vec<_>>())
}
