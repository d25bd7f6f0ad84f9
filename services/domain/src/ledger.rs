//! What is to be booked for an order.
//!
//! The ledger is append-only, and one rule books everything: the entry is the target minus what is
//! booked, for each Member. A late message, a late or revoked link, a partial refund, a cancellation,
//! a recomputation under another policy: each of them moves the target, and none has code of its own.
//!
//! | [`BookingState`] | when                                         | target of a credited Member      |
//! |---------------|----------------------------------------------|----------------------------------|
//! | `CANCELLED`   | the latest status is a cancellation or return | zero                            |
//! | `UNCONFIRMED` | no status was ever exactly `OK`              | zero                             |
//! | `PAYABLE`     | else                                         | floor(share × commission rate)   |
//!
//! | amount     | is                                                                               |
//! |------------|----------------------------------------------------------------------------------|
//! | net        | the total without shipping, less the refunds, never below zero                   |
//! | share      | net in proportion to the credits' weights, rounded down                          |
//! | remainder  | net less the shares: the house's                                                 |
//! | target     | the table above; zero also for a Member who is credited no longer                |
//! | entry      | target − booked; none where that is zero                                         |
//!
//! Booking the entries and deciding again gives none. A refund in another currency than the order's
//! cannot be subtracted from it and does not count; the services refuse one, but it may have come
//! before its order.
//!
//! Where the buyer was erased after the order, statuses and refunds count that are of then or before.
//!
//! Source: SPEC 40, 43, 45, 46, 55.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    attribution::{Attribution, OrderFacts},
    id::{ChatroomId, MemberId, RefundId},
    label::labels,
    money::{Money, PartsPerMillion},
    order::{OrderStatus, PaymentState, Refund},
};

/// What should be booked for an order, and the arithmetic that leads there (SPEC 47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Whether anything is to be booked.
    pub state: BookingState,
    /// The total without shipping, less the refunds; never below zero.
    pub net: Money,
    /// The commission rate of the policy that counts.
    pub commission_rate: PartsPerMillion,
    /// One for each Member who is credited, by Member.
    pub targets: Vec<Target>,
    /// What of the net amount no Member has a share in: all of it where nobody is credited.
    pub remainder: Money,
}

/// Whether anything is to be booked for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BookingState {
    /// Nothing is earned, because the order was cancelled.
    Cancelled,
    /// Nothing is earned yet.
    Unconfirmed,
    /// It earns.
    Payable,
}

labels!(BookingState {
    Cancelled => "CANCELLED",
    Unconfirmed => "UNCONFIRMED",
    Payable => "PAYABLE",
});

/// What a Member should have of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The Member.
    pub member: MemberId,
    /// The chatroom that earned it.
    pub chatroom: ChatroomId,
    /// His share of the net amount.
    pub share: Money,
    /// What should be booked for him.
    pub amount: Money,
}

/// What a Member has of an order by now: the sum of its entries for him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Booked {
    /// The Member; in one of these only.
    pub member: MemberId,
    /// The sum, in minor units of the order's currency.
    pub minor_units: i64,
    /// How many entries there are.
    pub entry_count: u32,
}

/// What is to be booked: credit to a Member, or, where it is negative, back from him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The Member.
    pub member: MemberId,
    /// Counts the entries of the order for the Member, from 1: unique with both.
    pub number: u32,
    /// How much; not zero.
    pub amount: Money,
}

/// Returns what should be booked for the order of `facts`, given what it is credited to.
///
/// Source: SPEC 43.
pub fn decide_targets(facts: &OrderFacts, attribution: &Attribution) -> Targets {
    let counts = |time| attribution.freeze_time.is_none_or(|freeze| time <= freeze);
    let statuses = facts.statuses.iter().filter(|one| counts(one.status_time));
    let statuses: Vec<OrderStatus> = statuses.cloned().collect();
    let state = match PaymentState::of(&statuses) {
        PaymentState::Cancelled => BookingState::Cancelled,
        PaymentState::Unconfirmed => BookingState::Unconfirmed,
        PaymentState::Confirmed => BookingState::Payable,
    };
    let refunds = facts.refunds.iter().filter(|one| counts(one.refund_time));
    let refunds: Vec<Refund> = refunds.map(|one| one.refund.clone()).collect();
    let net = net_amount(facts.order.total, &refunds);
    let commission_rate = attribution.policy.policy.commission_rate;
    let weights: Vec<u32> = attribution
        .credits
        .iter()
        .map(|credit| credit.weight)
        .collect();
    let split = net.split(&weights);
    let targets = attribution
        .credits
        .iter()
        .zip(split.shares)
        .map(|(credit, share)| Target {
            member: credit.member,
            chatroom: credit.chatroom,
            share,
            amount: match state {
                BookingState::Payable => share.portion(commission_rate),
                _ => Money::zero(net.currency()),
            },
        })
        .collect();
    Targets {
        state,
        net,
        commission_rate,
        targets,
        remainder: split.remainder,
    }
}

/// Returns what is to be booked so that every Member has his target, by Member.
///
/// `booked` has what was booked for this order, also for Members who are credited no longer.
/// Source: SPEC 43.
pub fn decide_entries(targets: &Targets, booked: &[Booked]) -> Vec<Entry> {
    let target_of: BTreeMap<MemberId, i64> = targets
        .targets
        .iter()
        .map(|target| (target.member, target.amount.minor_units()))
        .collect();
    let booked_of: BTreeMap<MemberId, &Booked> = booked
        .iter()
        .map(|booked| (booked.member, booked))
        .collect();
    let members: BTreeSet<MemberId> = target_of.keys().chain(booked_of.keys()).copied().collect();
    members
        .into_iter()
        .filter_map(|member| {
            let target = target_of.get(&member).copied().unwrap_or(0);
            let (booked, entry_count) = booked_of
                .get(&member)
                .map_or((0, 0), |booked| (booked.minor_units, booked.entry_count));
            // Both are targets, the one of now and one of before, and therefore not negative.
            let minor_units = target.saturating_sub(booked);
            (minor_units != 0).then(|| Entry {
                member,
                number: entry_count.saturating_add(1),
                amount: Money::new(minor_units, targets.net.currency()),
            })
        })
        .collect()
}

/// Returns the total less the refunds, never below zero. Refunds of one id count once, the greatest
/// of them; those in another currency not at all.
///
/// Source: SPEC 43, 45, 46.
pub fn net_amount(total: Money, refunds: &[Refund]) -> Money {
    let mut by_id: BTreeMap<&RefundId, i64> = BTreeMap::new();
    for refund in refunds {
        if refund.amount.currency() != total.currency() {
            continue;
        }
        let minor_units = refund.amount.minor_units().max(0);
        let known = by_id.entry(&refund.id).or_insert(minor_units);
        *known = minor_units.max(*known);
    }
    let left = by_id.values().fold(total.minor_units(), |left, refund| {
        left.saturating_sub(*refund)
    });
    Money::new(left.max(0), total.currency())
}

#[cfg(test)]
mod tests;
