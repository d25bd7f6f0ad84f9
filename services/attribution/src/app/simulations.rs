//! What a policy would change over recorded orders, before anybody sets it (SPEC 44).
//!
//! Each order is decided twice from the same facts, as it counts and as it would count by the policy
//! that is tried, by the code that evaluates it. Nothing is booked or kept, and between two pages of
//! orders nothing is held.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    attribution::OrderFacts,
    attribution_policy::{AttributionPolicy, AttributionPolicyRevision},
    id::{BrandId, ChatroomId, MemberId, OrderId},
    money::Currency,
};
use kit::{
    db::{Connection, StoreError},
    error::CallError,
};

use super::{App, policies};
use crate::{
    error::Error,
    evaluate::{
        facts,
        order::{Awaited, Decided},
    },
    store::{attributions::Finding, orders},
};

/// How many orders are looked at together.
const ORDERS: i64 = 256;

/// What a policy would change.
#[derive(Debug, Default)]
pub(crate) struct Simulation {
    /// How many orders were looked at.
    pub(crate) order_count: i64,
    /// How many would have another winner or target.
    pub(crate) changed_count: i64,
    sums: BTreeMap<(MemberId, Currency), Sums>,
}

/// A Member's targets in one currency, summed, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) present: i64,
    pub(crate) simulated: i64,
}

/// Tries a policy over the orders placed at or after `from_time` and before `until_time`, by default
/// now, as if no other counted for them. An order that still waits for a sign-in is looked at and
/// changed by nothing.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] for a span that ends before it begins, and for a window longer than the
/// Brand allows.
pub(crate) async fn simulate(
    app: &App,
    brand_id: &BrandId,
    policy: AttributionPolicy,
    from_time: DateTime<Utc>,
    until_time: Option<DateTime<Utc>>,
) -> Result<Simulation, Error> {
    let until_time = until_time.unwrap_or_else(|| app.clock.now());
    if until_time <= from_time {
        return Err(CallError::field("until_time", "must come after from_time").into());
    }
    let tried = AttributionPolicyRevision {
        // It counts before all others.
        revision: u64::MAX,
        effective_time: from_time,
        create_time: app.clock.now(),
        policy,
    };
    let mut simulation = Simulation::default();
    let mut after = None;
    {
        let mut connection = app.db.read().await?;
        policies::check_window(&mut connection, brand_id, &policy).await?;
    }
    loop {
        let mut connection = app.db.read().await?;
        let page = orders::list_from(
            &mut connection,
            brand_id,
            from_time,
            until_time,
            after.as_ref(),
            ORDERS,
        )
        .await?;
        let Some(last) = page.last() else {
            return Ok(simulation);
        };
        after = Some(last.clone());
        let ids: Vec<OrderId> = page.into_iter().map(|(_, order_id)| order_id).collect();
        try_page(&mut connection, brand_id, &ids, tried, &mut simulation).await?;
    }
}

async fn try_page(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[OrderId],
    tried: AttributionPolicyRevision,
    simulation: &mut Simulation,
) -> Result<(), StoreError> {
    let mut recorded = orders::list(connection, brand_id, ids).await?;
    simulation.order_count += i64::try_from(recorded.len()).unwrap_or(ORDERS);
    let awaited = Awaited::load(connection, brand_id, ids).await?;
    recorded.retain(|order| !awaited.unseen.contains(&order.id));
    for facts in facts::load(connection, brand_id, &recorded).await? {
        simulation.add(facts, tried);
    }
    Ok(())
}

impl Simulation {
    fn add(&mut self, mut facts: OrderFacts, tried: AttributionPolicyRevision) {
        // Which links are known bears on no winner or target.
        let finding = |facts: &OrderFacts| Decided::from(facts).finding(0);
        let present = finding(&facts);
        facts.policies.push(AttributionPolicyRevision {
            effective_time: facts.order.order_time,
            ..tried
        });
        let simulated = finding(&facts);
        self.changed_count += i64::from(credits(&present) != credits(&simulated));
        let currency = facts.order.total.currency();
        for (member, _, target) in credits(&present) {
            let sums = self.sums.entry((member, currency)).or_default();
            sums.present = sums.present.saturating_add(target);
        }
        for (member, _, target) in credits(&simulated) {
            let sums = self.sums.entry((member, currency)).or_default();
            sums.simulated = sums.simulated.saturating_add(target);
        }
    }

    /// Returns the sums that would change, by Member and currency.
    pub(crate) fn differences(&self) -> impl Iterator<Item = (MemberId, Currency, Sums)> {
        let all = self.sums.iter();
        all.filter(|(_, sums)| sums.present != sums.simulated)
            .map(|((member, currency), sums)| (*member, *currency, *sums))
    }
}

/// The winners and their targets.
fn credits(finding: &Finding) -> Vec<(MemberId, ChatroomId, i64)> {
    let credits = finding.credits.iter();
    credits
        .map(|credit| (credit.member, credit.chatroom, credit.target_minor_units))
        .collect()
}
