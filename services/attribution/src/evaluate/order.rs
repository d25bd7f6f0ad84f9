//! The evaluation of one order: what its facts say, and the bookings that are missing for it.

use chrono::{DateTime, Utc};
use domain::{
    attribution::{Attribution, Credit, attribute},
    id::{AccountId, BrandId, LedgerEntryId, OrderId},
    ledger::{Booked, BookingState, Entry, Targets, decide_entries, decide_targets},
    money::{Money, PartsPerMillion},
};
use kit::{
    db::{Connection, StoreError},
    directory::links,
};
use uuid::Uuid;

use super::facts;
use crate::store::{
    attributions::{self, Finding, StoredAttribution, StoredCredit},
    awaited_sign_ins, dirty_marks,
    ledger_entries::{self, LedgerEntry},
    orders,
};

/// Which order to evaluate, and what the transaction may not ask for itself.
#[derive(Clone, Debug)]
pub(crate) struct Evaluate {
    pub(crate) brand_id: BrandId,
    pub(crate) order_id: OrderId,
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
    fn id(self, index: u16) -> LedgerEntryId {
        Uuid::from_u128(self.0.uuid().as_u128() ^ u128::from(index)).into()
    }
}

/// What came of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evaluated {
    /// There is no such order yet; its own recording will be evaluated.
    NoOrder,
    /// It waits for a sign-in (SPEC 54).
    AwaitsSignIn,
    /// Everything is as it was.
    Unchanged,
    /// The attribution changed, or something was booked.
    Changed,
}

/// Evaluates an order, in a transaction that reads what is committed: the lock comes first, so
/// whatever an earlier evaluation has seen and booked, this one sees.
pub(crate) async fn evaluate(
    connection: &mut Connection,
    input: &Evaluate,
) -> Result<Evaluated, StoreError> {
    let Evaluate {
        brand_id, order_id, ..
    } = input;
    let Some(recorded) = orders::lock(connection, brand_id, order_id).await? else {
        return Ok(Evaluated::NoOrder);
    };
    let marks = dirty_marks::list_of_order(connection, brand_id, order_id).await?;
    let evaluated = if awaits_sign_in(connection, brand_id, order_id).await? {
        // The sign-in leaves a mark on its account when it comes.
        Evaluated::AwaitsSignIn
    } else {
        let facts = facts::load(connection, brand_id, &recorded).await?;
        let attribution = attribute(&facts);
        let targets = decide_targets(&facts, &attribution);
        book(connection, input, &attribution, &targets).await?
    };
    if !marks.is_empty() {
        dirty_marks::delete(connection, brand_id, &marks).await?;
    }
    Ok(evaluated)
}

async fn awaits_sign_in(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<bool, StoreError> {
    let Some(token) = awaited_sign_ins::find(connection, brand_id, order_id).await? else {
        return Ok(false);
    };
    let known = links::known_revision(connection, brand_id, token.account_id).await?;
    if known < token.link_revision {
        return Ok(true);
    }
    awaited_sign_ins::delete(connection, brand_id, order_id).await?;
    Ok(false)
}

/// Keeps the attribution where it is another than before, and books what is missing.
async fn book(
    connection: &mut Connection,
    input: &Evaluate,
    attribution: &Attribution,
    targets: &Targets,
) -> Result<Evaluated, StoreError> {
    let Evaluate {
        brand_id, order_id, ..
    } = input;
    let known = attributions::find(connection, brand_id, order_id).await?;
    let link_revision = match attribution.person {
        Some(person) => links::known_revision(connection, brand_id, person).await?,
        None => 0,
    };
    let finding = match &known {
        Some(known) if targets.state == BookingState::Frozen => frozen(&known.finding),
        _ => finding(attribution, targets, link_revision),
    };
    let is_new = known.as_ref().map(|known| &known.finding) != Some(&finding);
    let revision = known.map_or(0, |known| known.revision) + u64::from(is_new);
    if is_new {
        let stored = StoredAttribution {
            revision,
            evaluate_time: input.now,
            finding,
        };
        attributions::replace(connection, brand_id, order_id, &stored).await?;
    }
    let booked = ledger_entries::booked(connection, brand_id, order_id).await?;
    let entries = decide_entries(targets, &booked);
    for (index, entry) in (0_u16..).zip(&entries) {
        let entry = LedgerEntry {
            id: input.seed.id(index),
            order_id: order_id.clone(),
            member: entry.member,
            number: entry.number,
            amount: entry.amount,
            target: target_of(entry, &booked),
            attribution_revision: revision,
            policy_revision: attribution.policy.revision,
            book_time: input.now,
        };
        ledger_entries::insert(connection, brand_id, &entry).await?;
    }
    Ok(match is_new || !entries.is_empty() {
        true => Evaluated::Changed,
        false => Evaluated::Unchanged,
    })
}

/// What is frozen stays as it is (SPEC 55).
fn frozen(known: &Finding) -> Finding {
    Finding {
        is_frozen: true,
        ..known.clone()
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
        is_frozen: targets.state == BookingState::Frozen,
        credits: credits.collect(),
    }
}

/// A part of a million is at most a million; of none, nothing.
fn share_ppm(credit: &Credit, whole: u64) -> i32 {
    let ppm = u64::from(credit.weight) * u64::from(PartsPerMillion::WHOLE);
    i32::try_from(ppm.checked_div(whole).unwrap_or(0)).unwrap_or(i32::MAX)
}
