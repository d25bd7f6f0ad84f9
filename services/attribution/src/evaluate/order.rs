//! The evaluation of orders: what their facts say, and the bookings that are missing for them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel_async::RunQueryDsl;
use domain::{
    attribution::{Attribution, Credit, OrderFacts, Outcome, attribute},
    id::{AccountId, BrandId, LedgerEntryId, OrderId},
    ledger::{Booked, BookingState, Entry, Targets, decide_entries, decide_targets},
    money::{Money, PartsPerMillion},
};
use kit::{
    db::{Connection, StoreError, index_lookups},
    directory::links,
    telemetry::Count,
};
use uuid::Uuid;

use super::facts;
use crate::{
    app::attributions::AttributionView,
    store::{
        attributions::{self, Finding, StoredAttribution, StoredCredit},
        awaited_sign_ins, changes, dirty_marks,
        ledger_entries::{self, LedgerEntry},
        orders,
    },
};

static ATTRIBUTIONS: Count<1> = Count::new(
    "rapport.attributions",
    "{attribution}",
    "How often an order came to another attribution than before, its first included",
    ["outcome"],
);
static LEDGER_ENTRIES: Count<2> = Count::new(
    "rapport.ledger.entries",
    "{entry}",
    "What was booked to Members, and back from them, and why",
    ["direction", "reason"],
);

/// Which orders to evaluate, and what the transaction may not ask for itself.
#[derive(Clone, Debug)]
pub(crate) struct Evaluate {
    pub(crate) brand_id: BrandId,
    pub(crate) order_ids: Vec<OrderId>,
    /// The marks that have led to them, to be deleted with that.
    pub(crate) marks: Vec<i64>,
    pub(crate) now: DateTime<Utc>,
    pub(crate) seed: Seed,
}

/// Gives the ids of the entries that one transaction books. How many there will be is known only
/// inside, where no id may be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(LedgerEntryId);

impl Seed {
    /// Returns a seed whose first id is `first`.
    pub(crate) fn new(first: LedgerEntryId) -> Self {
        Self(first)
    }

    /// Returns the id of that index. The low bits of a UUIDv7 are random, and ids that differ from
    /// one there are as unique as it is.
    fn id(self, index: usize) -> LedgerEntryId {
        // Far fewer entries than the random bits tell apart, on any machine.
        Uuid::from_u128(self.0.uuid().as_u128() ^ index as u128).into()
    }
}

/// Evaluates orders, in a transaction that reads what is committed: the locks come first, so
/// whatever an earlier evaluation has seen and booked, this one sees. One that is not recorded yet is
/// evaluated by its own recording.
pub(crate) async fn evaluate(
    connection: &mut Connection,
    input: &Evaluate,
) -> Result<Evaluated, StoreError> {
    let brand_id = &input.brand_id;
    if let Connection::Postgres(c) = connection {
        index_lookups().execute(c).await?;
    }
    let mut recorded = orders::lock(connection, brand_id, &input.order_ids).await?;
    let ids: Vec<OrderId> = recorded.iter().map(|order| order.id.clone()).collect();
    let awaited = Awaited::load(connection, brand_id, &ids).await?;
    for order_id in &awaited.seen {
        awaited_sign_ins::delete(connection, brand_id, order_id).await?;
    }
    // The sign-in leaves a mark on its account when it comes (SPEC 54).
    recorded.retain(|order| !awaited.unseen.contains(&order.id));
    let facts = facts::load(connection, brand_id, &recorded).await?;
    let decided: Vec<Decided> = facts.iter().map(Decided::from).collect();
    let evaluated = book(connection, input, &decided).await?;
    if !input.marks.is_empty() {
        dirty_marks::delete(connection, brand_id, &input.marks).await?;
    }
    Ok(evaluated)
}

/// What evaluating several orders came to.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// How many came to something else than before.
    pub(crate) changed_count: usize,
    /// What is known from now on of those that were evaluated: not of one that waits for a sign-in.
    pub(crate) views: Vec<AttributionView>,
    /// Of the attributions that are others than before.
    outcomes: Vec<Outcome>,
    /// Direction and reason of each booking.
    bookings: Vec<[&'static str; 2]>,
}

impl Evaluated {
    fn note(&mut self, decided: &Decided, is_new: bool, entries: &[Entry]) {
        self.changed_count += usize::from(is_new || !entries.is_empty());
        self.outcomes
            .extend(is_new.then_some(decided.attribution.outcome));
        let reason = match decided.targets.state {
            BookingState::Payable => decided.attribution.outcome.as_str(),
            state => state.as_str(),
        };
        self.bookings.extend(entries.iter().map(|entry| {
            let is_credit = entry.amount.minor_units() > 0;
            [if is_credit { "CREDIT" } else { "REVERSAL" }, reason]
        }));
    }

    /// Counts it, once it is committed.
    pub(crate) fn tell(&self) {
        for outcome in &self.outcomes {
            ATTRIBUTIONS.add(1, [outcome.as_str()]);
        }
        for booking in &self.bookings {
            LEDGER_ENTRIES.add(1, *booking);
        }
    }
}

/// The orders that came with a sign-in that was not seen at that time.
#[derive(Default)]
pub(crate) struct Awaited {
    /// It is still not seen, and they are not evaluated yet.
    pub(crate) unseen: BTreeSet<OrderId>,
    /// It is seen by now.
    seen: BTreeSet<OrderId>,
}

impl Awaited {
    /// Returns those of `orders` that wait, or need wait no longer.
    pub(crate) async fn load(
        connection: &mut Connection,
        brand_id: &BrandId,
        orders: &[OrderId],
    ) -> Result<Self, StoreError> {
        let mut awaited = Self::default();
        for (order_id, token) in
            awaited_sign_ins::list_of_orders(connection, brand_id, orders).await?
        {
            let known = links::known_revision(connection, brand_id, token.account_id).await?;
            let orders = if known < token.link_revision {
                &mut awaited.unseen
            } else {
                &mut awaited.seen
            };
            orders.insert(order_id);
        }
        Ok(awaited)
    }
}

/// What the facts of an order say.
pub(crate) struct Decided {
    pub(crate) order_id: OrderId,
    pub(crate) attribution: Attribution,
    pub(crate) targets: Targets,
}

impl From<&OrderFacts> for Decided {
    fn from(facts: &OrderFacts) -> Self {
        let attribution = attribute(facts);
        Self {
            order_id: facts.order.id.clone(),
            targets: decide_targets(facts, &attribution),
            attribution,
        }
    }
}

/// Keeps the attributions that are others than before, and books what is missing.
async fn book(
    connection: &mut Connection,
    input: &Evaluate,
    decided: &[Decided],
) -> Result<Evaluated, StoreError> {
    let brand_id = &input.brand_id;
    let ids: Vec<OrderId> = decided.iter().map(|one| one.order_id.clone()).collect();
    let persons: BTreeSet<AccountId> = decided
        .iter()
        .filter_map(|one| one.attribution.person)
        .collect();
    let persons: Vec<AccountId> = persons.into_iter().collect();
    let link_revisions = links::known_revisions(connection, brand_id, &persons).await?;
    let mut known = attributions::list(connection, brand_id, &ids).await?;
    // What was never evaluated is booked nowhere.
    let evaluated: Vec<OrderId> = known.keys().cloned().collect();
    let mut booked = ledger_entries::booked(connection, brand_id, &evaluated).await?;
    let mut evaluated = Evaluated::default();
    let (mut changed, mut entries) = (Vec::new(), Vec::new());
    for one in decided {
        let person = one.attribution.person;
        let link_revision = person.and_then(|person| link_revisions.get(&person));
        let link_revision = link_revision.copied().unwrap_or(0);
        let known = known.remove(&one.order_id);
        let booked = booked.remove(&one.order_id).unwrap_or_default();
        let (is_new, stored) = one.stored(known, link_revision, input.now);
        let missing = decide_entries(&one.targets, &booked);
        evaluated.note(one, is_new, &missing);
        for entry in &missing {
            let id = input.seed.id(entries.len());
            entries.push(one.entry(entry, &booked, stored.revision, id, input.now));
        }
        if is_new {
            changed.push((one.order_id.clone(), stored.clone()));
        }
        evaluated.views.push(one.view(stored, booked, &missing));
    }
    if changed.is_empty() && entries.is_empty() {
        return Ok(evaluated);
    }
    let last_number = changes::last_number(connection, brand_id).await?;
    attributions::replace(connection, brand_id, &changed, last_number).await?;
    let last_number = last_number + changed.len() as i64;
    ledger_entries::insert(connection, brand_id, &entries, last_number).await?;
    Ok(evaluated)
}

impl Decided {
    /// Returns what is to be kept in the place of what is known.
    pub(crate) fn finding(&self, link_revision: i64) -> Finding {
        finding(&self.attribution, &self.targets, link_revision)
    }

    /// Returns what is to be kept, and whether it is another than is known.
    fn stored(
        &self,
        known: Option<StoredAttribution>,
        link_revision: i64,
        now: DateTime<Utc>,
    ) -> (bool, StoredAttribution) {
        let finding = self.finding(link_revision);
        match known {
            Some(known) if known.finding == finding => (false, known),
            known => {
                let stored = StoredAttribution {
                    revision: known.map_or(0, |known| known.revision) + 1,
                    evaluate_time: now,
                    finding,
                };
                (true, stored)
            }
        }
    }

    /// Returns what is known when the missing entries are booked beside those that were.
    fn view(
        &self,
        stored: StoredAttribution,
        mut booked: Vec<Booked>,
        missing: &[Entry],
    ) -> AttributionView {
        for entry in missing {
            let minor_units = target_of(entry, &booked).minor_units();
            booked.retain(|one| one.member != entry.member);
            booked.push(Booked {
                member: entry.member,
                minor_units,
                entry_count: entry.number,
            });
        }
        booked.sort_unstable_by_key(|one| one.member);
        AttributionView {
            order_id: self.order_id.clone(),
            currency: self.targets.net.currency(),
            stored: Some(stored),
            awaits_sign_in: false,
            booked,
        }
    }

    fn entry(
        &self,
        entry: &Entry,
        booked: &[Booked],
        attribution_revision: u64,
        id: LedgerEntryId,
        now: DateTime<Utc>,
    ) -> LedgerEntry {
        LedgerEntry {
            id,
            order_id: self.order_id.clone(),
            member: entry.member,
            number: entry.number,
            amount: entry.amount,
            target: target_of(entry, booked),
            attribution_revision,
            policy_revision: self.attribution.policy.revision,
            book_time: now,
        }
    }
}

fn target_of(entry: &Entry, booked: &[Booked]) -> Money {
    let before = booked
        .iter()
        .find(|booked| booked.member == entry.member)
        .map_or(0, |booked| booked.minor_units);
    // The sum is the target again, of which the entry is the rest.
    let target = before.saturating_add(entry.amount.minor_units());
    Money::new(target, entry.amount.currency())
}

/// Returns what is kept of an attribution.
pub(crate) fn finding(attribution: &Attribution, targets: &Targets, link_revision: i64) -> Finding {
    let person: Option<AccountId> = attribution.person;
    let whole: u64 = attribution
        .credits
        .iter()
        .map(|credit| u64::from(credit.weight))
        .sum();
    let credits = attribution.credits.iter().map(|credit| StoredCredit {
        member: credit.member,
        chatroom: credit.chatroom,
        link: credit.link,
        share_ppm: share_ppm(credit, whole),
        target_minor_units: targets
            .targets
            .iter()
            .find(|target| target.member == credit.member)
            .map_or(0, |target| target.amount.minor_units()),
    });
    Finding {
        outcome: attribution.outcome,
        buyer: attribution.buyer,
        person,
        policy_revision: attribution.policy.revision,
        link_revision,
        is_frozen: attribution.freeze_time.is_some(),
        credits: credits.collect(),
    }
}

/// A part of a million is at most a million; of none, nothing.
fn share_ppm(credit: &Credit, whole: u64) -> i32 {
    let ppm = u64::from(credit.weight) * u64::from(PartsPerMillion::WHOLE);
    i32::try_from(ppm.checked_div(whole).unwrap_or(0)).unwrap_or(i32::MAX)
}
