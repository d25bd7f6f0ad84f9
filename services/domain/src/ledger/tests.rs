use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    attribution::{OrderFacts, attribute},
    attribution_policy::{AttributionPolicy, AttributionPolicyRevision, Model},
    buyer::AccountFact,
    fixtures::{
        account, chatroom, client_fact, customer, day, eur, link, member, order, revoked, talk,
    },
    money::Currency,
    order::{BuyerKeys, OrderStatus, RecordedRefund, StatusLabel},
    person::{Link, Links},
};

const ANN: u128 = 1;
const PHONE: u128 = 11;

fn rate(parts: u32) -> PartsPerMillion {
    PartsPerMillion::new(parts).unwrap()
}

fn status(days: i64, label: &str) -> OrderStatus {
    OrderStatus {
        status_time: day(days),
        label: StatusLabel::parse(label).unwrap(),
    }
}

/// On day 30.
fn refund(id: &str, minor_units: i64) -> RecordedRefund {
    RecordedRefund {
        refund: given_back(id, minor_units),
        refund_time: day(30),
    }
}

fn given_back(id: &str, minor_units: i64) -> Refund {
    Refund {
        id: RefundId::parse(id).unwrap(),
        amount: eur(minor_units),
    }
}

/// An order of 100 EUR on day 10, paid, with a conversation with each of `members`, split evenly at
/// 10 %.
fn facts(members: &[u128]) -> OrderFacts {
    let keys = BuyerKeys {
        customer: Some(customer("ann")),
        ..BuyerKeys::default()
    };
    let talk_with = |number: &u128| {
        let times = [day(9)];
        talk(*number, account(ANN), member(*number), &times, &times)
    };
    let policy = AttributionPolicy {
        model: Model::EvenSplit,
        commission_rate: rate(100_000),
        ..AttributionPolicy::default()
    };
    OrderFacts {
        order: order(day(10), keys),
        accounts: vec![client_fact(account(ANN), "ann")],
        links: Links::default(),
        checkouts: Vec::new(),
        chatrooms: members.iter().map(talk_with).collect(),
        own_customers: Vec::new(),
        policies: vec![AttributionPolicyRevision {
            revision: 1,
            effective_time: day(0),
            create_time: day(0),
            policy,
        }],
        statuses: vec![status(10, "OK")],
        refunds: Vec::new(),
    }
}

/// Books entries as a service does.
fn book(booked: &mut Vec<Booked>, entries: &[Entry]) {
    for entry in entries {
        let known = booked.iter_mut().find(|one| one.member == entry.member);
        match known {
            Some(known) => {
                assert_eq!(entry.number, known.entry_count + 1);
                known.minor_units += entry.amount.minor_units();
                known.entry_count += 1;
            }
            None => booked.push(Booked {
                member: entry.member,
                minor_units: entry.amount.minor_units(),
                entry_count: entry.number,
            }),
        }
    }
}

/// The one place that touches the API: what is booked for the facts, by Member.
fn check(booked: &mut Vec<Booked>, facts: &OrderFacts, expected: &[(u128, i64)]) -> Targets {
    let targets = decide_targets(facts, &attribute(facts));
    let entries = decide_entries(&targets, booked);
    let found: Vec<(MemberId, Money)> = entries
        .iter()
        .map(|entry| (entry.member, entry.amount))
        .collect();
    let expected: Vec<(MemberId, Money)> = expected
        .iter()
        .map(|(number, minor_units)| (member(*number), eur(*minor_units)))
        .collect();
    assert_eq!(found, expected);
    book(booked, &entries);
    assert_eq!(decide_entries(&targets, booked), [], "booked twice"); // SPEC 43
    targets
}

#[test]
fn nothing_is_booked_until_the_payment_is_confirmed() {
    let mut booked = Vec::new();
    let mut facts = facts(&[1]);
    facts.statuses.clear();
    let targets = check(&mut booked, &facts, &[]); // SPEC 43
    assert_eq!(targets.state, BookingState::Unconfirmed);
    facts.statuses.push(status(11, "OK"));
    check(&mut booked, &facts, &[(1, 1_000)]);
}

#[test]
fn the_target_is_the_floor_of_share_times_rate() {
    let targets = check(
        &mut Vec::new(),
        &facts(&[1, 2, 3]),
        &[(1, 333), (2, 333), (3, 333)],
    );
    let target = Target {
        member: member(1),
        chatroom: chatroom(1),
        share: eur(3_333),
        amount: eur(333), // SPEC 43: floor(333.3)
    };
    assert_eq!(targets.targets[0], target);
    assert_eq!(targets.remainder, eur(1)); // SPEC 40: the house's
}

#[test]
fn a_partial_refund_takes_back_its_part() {
    let mut booked = Vec::new();
    let mut facts = facts(&[1]);
    check(&mut booked, &facts, &[(1, 1_000)]);
    facts.refunds = vec![refund("a", 2_500), refund("a", 2_500)];
    check(&mut booked, &facts, &[(1, -250)]); // SPEC 43, 45: once
    facts.refunds.push(refund("b", 99_999));
    let targets = check(&mut booked, &facts, &[(1, -750)]);
    assert_eq!(targets.net, eur(0)); // SPEC 43: never below zero
}

#[test]
fn a_cancellation_takes_everything_back_and_a_correction_gives_it_again() {
    let mut booked = Vec::new();
    let mut facts = facts(&[1, 2]);
    check(&mut booked, &facts, &[(1, 500), (2, 500)]);
    facts.statuses.push(status(12, "RETURNED"));
    let targets = check(&mut booked, &facts, &[(1, -500), (2, -500)]); // SPEC 43, 45
    assert_eq!(targets.state, BookingState::Cancelled);
    facts.statuses.push(status(13, "OK"));
    check(&mut booked, &facts, &[(1, 500), (2, 500)]);
    assert_eq!(booked[0].entry_count, 3);
}

#[test]
fn who_is_credited_no_longer_gives_back() {
    let mut booked = Vec::new();
    check(&mut booked, &facts(&[1]), &[(1, 1_000)]);
    check(&mut booked, &facts(&[2]), &[(1, -1_000), (2, 1_000)]); // SPEC 43
    check(&mut booked, &facts(&[1, 2]), &[(1, 500), (2, -500)]);
    check(&mut booked, &facts(&[]), &[(1, -500), (2, -500)]);
}

#[test]
fn a_recomputation_books_the_difference() {
    let mut booked = Vec::new();
    let mut facts = facts(&[1]);
    check(&mut booked, &facts, &[(1, 1_000)]);
    let mut later = facts.policies[0];
    later.revision = 2;
    later.policy.commission_rate = rate(150_000);
    facts.policies.push(later);
    check(&mut booked, &facts, &[(1, 500)]); // SPEC 43, 44
}

#[test]
fn what_comes_after_an_erasure_changes_nothing_that_is_booked() {
    let mut booked = Vec::new();
    let mut facts = facts(&[1]);
    check(&mut booked, &facts, &[(1, 1_000)]);
    facts.accounts[0].erase_time = Some(day(20));
    facts.statuses.push(status(21, "CANCELLED"));
    facts.refunds.push(refund("a", 5_000)); // of day 30
    let mut later = facts.policies[0];
    (later.revision, later.create_time) = (2, day(21));
    later.policy.commission_rate = rate(0);
    facts.policies.push(later);
    let again = AccountFact {
        create_time: day(21),
        ..client_fact(account(2), "ann")
    };
    facts.accounts.push(again);
    let targets = check(&mut booked, &facts, &[]); // SPEC 42, 55
    assert_eq!(targets.state, BookingState::Payable);
    // What was before it counts whenever it is heard of.
    facts.refunds[0].refund_time = day(20);
    check(&mut booked, &facts, &[(1, -500)]);
}

#[test]
fn what_nobody_has_a_share_in_is_the_houses() {
    let targets = check(&mut Vec::new(), &facts(&[]), &[]);
    assert_eq!((targets.net, targets.remainder), (eur(10_000), eur(10_000)));
}

#[test]
fn refunds_of_one_id_count_once_in_whatever_order() {
    let (small, great) = (given_back("a", 1_000), given_back("a", 3_000));
    for refunds in [[small.clone(), great.clone()], [great, small]] {
        assert_eq!(net_amount(eur(10_000), &refunds), eur(7_000)); // SPEC 45
    }
}

#[test]
fn a_refund_in_another_currency_does_not_count() {
    let yen = Money::new(500, Currency::parse("JPY").unwrap());
    let other = Refund {
        amount: yen,
        ..given_back("a", 0)
    };
    assert_eq!(net_amount(eur(10_000), &[other]), eur(10_000)); // SPEC 46
}

#[test]
fn no_amount_overflows() {
    let most = given_back("a", i64::MAX);
    assert_eq!(net_amount(eur(i64::MAX), &[most]), eur(0));
    let mut facts = facts(&[1]);
    facts.order.total = eur(i64::MAX);
    facts.policies[0].policy.commission_rate = rate(PartsPerMillion::WHOLE);
    check(&mut Vec::new(), &facts, &[(1, i64::MAX)]); // SPEC 43
}

/// What can happen to an order, in one step.
#[derive(Clone, Debug)]
enum Step {
    Status(i64, &'static str),
    Refund(i64),
    Chatroom(u128),
    Rate(u32),
    Link,
    Revocation,
}

fn any_step() -> impl Strategy<Value = Step> {
    let labels = select(vec!["OK", "CANCELLED", "RETURNED", "SHIPPED"]);
    prop_oneof![
        (0_i64..20, labels).prop_map(|(days, label)| Step::Status(days, label)),
        (0_i64..6_000).prop_map(Step::Refund),
        (1_u128..5).prop_map(Step::Chatroom),
        (0_u32..1_000_001).prop_map(Step::Rate),
        Just(Step::Link),
        Just(Step::Revocation),
    ]
}

/// Rates are revisions of one effective time, numbered by themselves, so that their order is a fact.
fn apply(facts: &mut OrderFacts, step: &Step) {
    match step {
        Step::Status(days, label) => facts.statuses.push(status(*days, label)),
        Step::Refund(cents) => facts.refunds.push(refund(&cents.to_string(), *cents)),
        Step::Chatroom(number) => {
            let known = |room: &crate::evidence::ChatroomEvidence| room.member == member(*number);
            if !facts.chatrooms.iter().any(known) {
                facts.chatrooms.extend(self::facts(&[*number]).chatrooms);
            }
        }
        Step::Rate(parts) => {
            let mut later = facts.policies[0];
            later.revision = u64::from(*parts) + 2;
            later.policy.commission_rate = rate(*parts);
            facts.policies.push(later);
        }
        Step::Link => {
            facts.links.record(phone_link());
        }
        Step::Revocation => {
            facts.links.record(revoked(phone_link(), day(15)));
        }
    }
}

fn phone_link() -> Link {
    link(1, account(PHONE), account(ANN), day(8))
}

proptest! {
    #[test]
    fn balances_depend_on_the_facts_and_not_on_their_arrival(
        (steps, shuffled) in vec(any_step(), 0..10)
            .prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
    ) {
        let balances = |steps: &[Step]| {
            let (mut facts, mut booked) = (facts(&[]), Vec::new());
            let times = [day(9)];
            let linked = talk(9, account(PHONE), member(9), &times, &times);
            facts.chatrooms.push(linked);
            for step in steps {
                apply(&mut facts, step);
                let targets = decide_targets(&facts, &attribute(&facts));
                let entries = decide_entries(&targets, &booked);
                book(&mut booked, &entries);
            }
            let mut balances: Vec<_> = booked
                .into_iter()
                .map(|one| (one.member, one.minor_units))
                .filter(|(_, minor_units)| *minor_units != 0)
                .collect();
            balances.sort_unstable();
            balances
        };
        let twice: Vec<_> = shuffled.iter().chain(&steps).cloned().collect();
        prop_assert_eq!(balances(&steps), balances(&shuffled)); // SPEC 42
        prop_assert_eq!(balances(&steps), balances(&twice));
    }

    #[test]
    fn shares_and_remainder_sum_to_the_net_amount(
        total in 0..=i64::MAX,
        refunded in 0..=i64::MAX,
        members in 0_u128..6,
        parts in 0_u32..1_000_001,
    ) {
        let numbers: Vec<u128> = (1..=members).collect();
        let mut facts = facts(&numbers);
        facts.order.total = eur(total);
        facts.refunds = vec![refund("a", refunded)];
        facts.policies[0].policy.commission_rate = rate(parts);
        let targets = decide_targets(&facts, &attribute(&facts));
        let shares: i64 = targets.targets.iter().map(|one| one.share.minor_units()).sum();
        prop_assert_eq!(shares + targets.remainder.minor_units(), (total - refunded).max(0));
        for target in &targets.targets {
            let amount = target.amount.minor_units();
            prop_assert!((0..=target.share.minor_units()).contains(&amount)); // SPEC 40, 43
        }
    }
}
