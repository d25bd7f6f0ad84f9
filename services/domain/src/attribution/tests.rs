use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    attribution_policy::{AttributionPolicy, Model},
    email::Provenance,
    fixtures::{
        account, chatroom, client_fact, customer, day, digest, email, link, link_id, member,
        microseconds, minute, order, revoked, talk, temporary_fact,
    },
    order::BuyerKeys,
};

mod properties;

const ANN: u128 = 1;
const PHONE: u128 = 11;
const MAY: u128 = 21;
const TOM: u128 = 22;

/// Ann is a client; her phone was linked on day 5. The order, of day 10, names her customer id.
fn facts() -> OrderFacts {
    OrderFacts {
        order: order(day(10), by_customer()),
        accounts: vec![
            client_fact(account(ANN), "ann"),
            temporary_fact(account(PHONE)),
        ],
        links: Links::from_iter([link(1, account(PHONE), account(ANN), day(5))]),
        checkouts: Vec::new(),
        chatrooms: Vec::new(),
        own_customers: Vec::new(),
        policies: Vec::new(),
        statuses: Vec::new(),
        refunds: Vec::new(),
    }
}

fn by_customer() -> BuyerKeys {
    BuyerKeys {
        customer: Some(customer("ann")),
        ..BuyerKeys::default()
    }
}

fn by_account(number: u128) -> BuyerKeys {
    BuyerKeys {
        account: Some(account(number)),
        ..BuyerKeys::default()
    }
}

/// A chatroom in which both wrote once, at these minutes before the order.
fn room(
    number: u128,
    visitor: u128,
    with: u128,
    visitor_minutes: i64,
    member_minutes: i64,
) -> ChatroomEvidence {
    let before = |minutes: i64| day(10) - chrono::TimeDelta::minutes(minutes);
    talk(
        number,
        account(visitor),
        member(with),
        &[before(visitor_minutes)],
        &[before(member_minutes)],
    )
}

fn under(policy: AttributionPolicy) -> Vec<AttributionPolicyRevision> {
    vec![AttributionPolicyRevision {
        revision: 1,
        effective_time: day(0),
        create_time: day(0),
        policy,
    }]
}

fn under_model(model: Model) -> Vec<AttributionPolicyRevision> {
    under(AttributionPolicy {
        model,
        ..AttributionPolicy::default()
    })
}

/// The one place that touches the API: the outcome, and the reason of each chatroom by its number.
fn check(facts: &OrderFacts, outcome: Outcome, reasons: &[(u128, Reason)]) -> Attribution {
    let found = attribute(facts);
    let found_reasons: Vec<(ChatroomId, Reason)> = found
        .considered
        .iter()
        .map(|considered| (considered.chatroom, considered.reason))
        .collect();
    let reasons: Vec<(ChatroomId, Reason)> = reasons
        .iter()
        .map(|(number, reason)| (chatroom(*number), *reason))
        .collect();
    assert_eq!((found.outcome, found_reasons), (outcome, reasons));
    found
}

#[test]
fn a_chatroom_of_a_linked_account_is_credited_through_its_link() {
    let facts = OrderFacts {
        chatrooms: vec![room(1, PHONE, MAY, 20, 10)],
        ..facts()
    };
    let found = check(&facts, Outcome::Conversation, &[(1, Reason::Won)]); // SPEC 37
    let credit = Credit {
        member: member(MAY),
        chatroom: chatroom(1),
        link: Some(link_id(1)),
        weight: 1,
    };
    assert_eq!(found.credits, [credit]); // SPEC 47
    assert_eq!(found.person, Some(account(ANN)));
    assert_eq!(found.policy.revision, 0);
}

#[test]
fn each_chatroom_has_the_reason_why_it_does_not_count() {
    let late = talk(4, account(ANN), member(MAY), &[day(-30)], &[day(-5)]);
    let facts = OrderFacts {
        chatrooms: vec![
            talk(1, account(ANN), member(MAY), &[], &[]),
            talk(2, account(ANN), member(MAY), &[day(9)], &[]),
            talk(3, account(ANN), member(MAY), &[], &[day(9)]),
            late,
        ],
        ..facts()
    };
    let reasons = [
        (1, Reason::NoEvidence),
        (2, Reason::OneSidedVisitor),
        (3, Reason::OneSidedMember),
        (4, Reason::OutsideWindow),
    ];
    check(&facts, Outcome::NoQualifyingChatroom, &reasons); // SPEC 38, 47
}

#[test]
fn the_window_is_14_days_with_its_bound() {
    let last = |last_time| OrderFacts {
        chatrooms: vec![talk(
            1,
            account(ANN),
            member(MAY),
            &[day(-90)],
            &[last_time],
        )],
        ..facts()
    };
    check(&last(day(-4)), Outcome::Conversation, &[(1, Reason::Won)]); // SPEC 38
    let outside = last(day(-4) - microseconds(1));
    let reasons = [(1, Reason::OutsideWindow)];
    check(&outside, Outcome::NoQualifyingChatroom, &reasons);
}

#[test]
fn last_touch_takes_the_most_recent_message_of_either_side() {
    let facts = |rooms: [ChatroomEvidence; 2]| OrderFacts {
        chatrooms: rooms.to_vec(),
        ..facts()
    };
    let first = [(1, Reason::Won), (2, Reason::LessRecent)];
    let second = [(1, Reason::LessRecent), (2, Reason::Won)];
    let won = Outcome::Conversation;
    let by_visitor = facts([room(1, ANN, MAY, 10, 90), room(2, PHONE, TOM, 20, 15)]);
    check(&by_visitor, won, &first); // SPEC 40
    let member_wrote_later = facts([room(1, ANN, MAY, 10, 90), room(2, ANN, TOM, 10, 80)]);
    check(&member_wrote_later, won, &second); // SPEC 40: the first tie
    let all_equal = facts([room(1, ANN, MAY, 10, 80), room(2, ANN, TOM, 10, 80)]);
    check(&all_equal, won, &first); // SPEC 40: the second tie
    let of_one_member = facts([room(1, ANN, MAY, 10, 80), room(2, PHONE, MAY, 5, 80)]);
    check(&of_one_member, won, &second); // SPEC 40: one Member and one chatroom
}

#[test]
fn first_touch_takes_the_earliest_message_of_either_side() {
    let facts = |rooms: [ChatroomEvidence; 2]| OrderFacts {
        chatrooms: rooms.to_vec(),
        policies: under_model(Model::FirstTouch),
        ..facts()
    };
    let first = [(1, Reason::Won), (2, Reason::LessEarly)];
    let second = [(1, Reason::LessEarly), (2, Reason::Won)];
    let won = Outcome::Conversation;
    let by_visitor = facts([room(1, ANN, MAY, 90, 10), room(2, ANN, TOM, 80, 70)]);
    check(&by_visitor, won, &first); // SPEC 40
    let member_wrote_earlier = facts([room(1, ANN, MAY, 90, 10), room(2, ANN, TOM, 90, 20)]);
    check(&member_wrote_earlier, won, &second);
    let all_equal = facts([room(1, ANN, MAY, 90, 10), room(2, ANN, TOM, 90, 10)]);
    check(&all_equal, won, &first);
}

#[test]
fn an_even_split_is_between_members_and_not_between_chatrooms() {
    let facts = OrderFacts {
        chatrooms: vec![
            room(1, ANN, MAY, 10, 90),
            room(2, PHONE, MAY, 5, 90),
            room(3, ANN, TOM, 80, 80),
        ],
        policies: under_model(Model::EvenSplit),
        ..facts()
    };
    let reasons = [
        (1, Reason::LessRecent),
        (2, Reason::Shared),
        (3, Reason::Shared),
    ];
    let found = check(&facts, Outcome::Conversation, &reasons); // SPEC 40
    let weights: Vec<_> = found
        .credits
        .iter()
        .map(|one| (one.member, one.weight))
        .collect();
    assert_eq!(weights, [(member(MAY), 1), (member(TOM), 1)]);
}

#[test]
fn who_bought_from_himself_earns_nothing_and_the_next_one_wins() {
    let own = |from_time| OwnCustomer {
        member: member(MAY),
        customer: customer("ann"),
        from_time,
    };
    let mut facts = OrderFacts {
        chatrooms: vec![room(1, ANN, MAY, 10, 10)],
        own_customers: vec![own(day(10))],
        ..facts()
    };
    check(&facts, Outcome::SelfPurchase, &[(1, Reason::SelfPurchase)]); // SPEC 41
    facts.chatrooms.push(room(2, ANN, TOM, 90, 90));
    let reasons = [(1, Reason::SelfPurchase), (2, Reason::Won)];
    check(&facts, Outcome::Conversation, &reasons);
    facts.own_customers = vec![own(day(10) + microseconds(1))]; // not yet his at the order's time
    let reasons = [(1, Reason::Won), (2, Reason::LessRecent)];
    check(&facts, Outcome::Conversation, &reasons);
}

#[test]
fn the_buyer_of_a_self_purchase_is_known_through_his_person() {
    let mut facts = OrderFacts {
        order: order(day(10), by_account(PHONE)),
        chatrooms: vec![room(1, PHONE, MAY, 10, 10)],
        own_customers: vec![OwnCustomer {
            member: member(MAY),
            customer: customer("ann"),
            from_time: day(0),
        }],
        ..facts()
    };
    check(&facts, Outcome::SelfPurchase, &[(1, Reason::SelfPurchase)]); // SPEC 41
    facts.links = facts.links.without(link_id(1)); // nobody knows who he is
    check(&facts, Outcome::Conversation, &[(1, Reason::Won)]);
}

#[test]
fn the_customer_id_on_the_order_tells_a_self_purchase_also_where_another_key_finds_the_buyer() {
    let keys = BuyerKeys {
        customer: Some(customer("may")),
        ..by_account(PHONE)
    };
    let facts = OrderFacts {
        order: order(day(4), keys),
        chatrooms: vec![talk(1, account(PHONE), member(MAY), &[day(3)], &[day(3)])],
        own_customers: vec![OwnCustomer {
            member: member(MAY),
            customer: customer("may"),
            from_time: day(0),
        }],
        ..facts()
    };
    check(&facts, Outcome::SelfPurchase, &[(1, Reason::SelfPurchase)]); // SPEC 41
}

#[test]
fn a_link_serves_the_orders_that_the_table_of_persons_says() {
    let at = |order_time, keys| OrderFacts {
        order: order(order_time, keys),
        chatrooms: vec![talk(1, account(PHONE), member(MAY), &[day(4)], &[day(4)])],
        ..facts()
    };
    let (won, late) = (Reason::Won, Reason::LinkedAfterOrder);
    let tolerated = day(5) - chrono::TimeDelta::minutes(2);
    let too_early = tolerated - microseconds(1);
    let none = Outcome::NoQualifyingChatroom;
    check(
        &at(day(5), by_customer()),
        Outcome::Conversation,
        &[(1, won)],
    ); // SPEC 42
    check(
        &at(tolerated, by_customer()),
        Outcome::Conversation,
        &[(1, won)],
    );
    check(&at(too_early, by_customer()), none, &[(1, late)]);
    let by_phone = at(too_early, by_account(PHONE));
    check(&by_phone, Outcome::Conversation, &[(1, won)]); // its own chatroom
    let retroactive = OrderFacts {
        policies: under(AttributionPolicy {
            retroactive_links: true,
            ..AttributionPolicy::default()
        }),
        ..at(too_early, by_customer())
    };
    check(&retroactive, Outcome::Conversation, &[(1, won)]);
}

#[test]
fn an_order_of_the_temporary_before_its_link_is_not_of_the_client() {
    let facts = OrderFacts {
        order: order(day(4), by_account(PHONE)),
        chatrooms: vec![talk(1, account(ANN), member(MAY), &[day(1)], &[day(1)])],
        ..facts()
    };
    let reasons = [(1, Reason::LinkedAfterOrder)];
    let found = check(&facts, Outcome::NoQualifyingChatroom, &reasons); // SPEC 42
    assert_eq!(found.person, Some(account(PHONE)));
    assert_eq!(found.considered[0].link, Some(link_id(1)));
}

#[test]
fn an_upgrade_serves_the_orders_that_name_the_account_and_later_ones_of_the_client() {
    let upgraded = AccountFact {
        upgrade_time: Some(minute(0)),
        ..client_fact(account(ANN), "ann")
    };
    let at = |order_time, keys| OrderFacts {
        order: order(order_time, keys),
        accounts: vec![upgraded.clone()],
        chatrooms: vec![talk(1, account(ANN), member(MAY), &[day(-1)], &[day(-1)])],
        ..facts()
    };
    let won = [(1, Reason::Won)];
    let late = [(1, Reason::UpgradedAfterOrder)];
    let tick = microseconds(1);
    check(&at(minute(0), by_customer()), Outcome::Conversation, &won); // SPEC 42
    check(&at(minute(-2), by_customer()), Outcome::Conversation, &won);
    let too_early = at(minute(-2) - tick, by_customer());
    check(&too_early, Outcome::NoQualifyingChatroom, &late);
    let by_id = at(minute(-2) - tick, by_account(ANN));
    check(&by_id, Outcome::Conversation, &won); // it names the account itself
}

#[test]
fn a_revoked_link_leaves_what_there_would_be_without_it() {
    let made = link(1, account(PHONE), account(ANN), day(5));
    let mut facts = OrderFacts {
        chatrooms: vec![room(1, PHONE, MAY, 10, 10), room(2, ANN, TOM, 90, 90)],
        ..facts()
    };
    let with = [(1, Reason::Won), (2, Reason::LessRecent)];
    check(&facts, Outcome::Conversation, &with);
    let counterfactual = attribute_without_link(&facts, made.id);
    facts.links.record(revoked(made, day(20)));
    let without = [(1, Reason::LinkRevoked), (2, Reason::Won)];
    let found = check(&facts, Outcome::Conversation, &without); // SPEC 16
    assert_eq!(found.credits, counterfactual.credits); // SPEC 47
}

#[test]
fn the_link_of_either_scope_serves_attribution() {
    for scope in crate::person::LinkScope::ALL {
        let made = crate::person::Link {
            scope: *scope,
            ..link(1, account(PHONE), account(ANN), day(5))
        };
        let facts = OrderFacts {
            links: Links::from_iter([made]),
            chatrooms: vec![room(1, PHONE, MAY, 10, 10)],
            ..facts()
        };
        check(&facts, Outcome::Conversation, &[(1, Reason::Won)]); // SPEC 37
    }
}

#[test]
fn an_order_without_a_person_or_chatroom_says_so() {
    check(&facts(), Outcome::NoChatroom, &[]); // SPEC 47
    let strangers = OrderFacts {
        chatrooms: vec![room(1, 99, MAY, 10, 10)],
        ..facts()
    };
    check(&strangers, Outcome::NoChatroom, &[]);
    let unknown = OrderFacts {
        accounts: Vec::new(),
        ..strangers.clone()
    };
    check(&unknown, Outcome::BuyerUnknown, &[]); // SPEC 35
    let mut erased = strangers;
    erased.accounts[0].erase_time = Some(day(9));
    check(&erased, Outcome::BuyerErased, &[]); // SPEC 55
}

#[test]
fn the_policy_in_force_at_the_orders_time_counts() {
    let mut facts = OrderFacts {
        chatrooms: vec![room(1, ANN, MAY, 10, 90), room(2, ANN, TOM, 95, 80)],
        policies: under_model(Model::FirstTouch),
        ..facts()
    };
    let reasons = [(1, Reason::LessEarly), (2, Reason::Won)];
    let found = check(&facts, Outcome::Conversation, &reasons); // SPEC 44
    assert_eq!(found.policy.revision, 1);
    facts.policies[0].effective_time = day(10) + microseconds(1);
    let reasons = [(1, Reason::Won), (2, Reason::LessRecent)];
    check(&facts, Outcome::Conversation, &reasons);
}

/// The buyer is known by a typed e-mail alone, and was erased on day 12.
fn erased_later() -> OrderFacts {
    let mut facts = facts();
    facts.order.keys = BuyerKeys {
        email: Some(digest(7)),
        ..BuyerKeys::default()
    };
    facts.chatrooms = vec![room(1, ANN, MAY, 10, 10)];
    let account = &mut facts.accounts[0];
    account.emails = vec![email(7, Provenance::Typed, day(1), None)];
    account.erase_time = Some(day(12));
    facts.policies = under(AttributionPolicy {
        typed_email_allowed: true,
        ..AttributionPolicy::default()
    });
    facts
}

#[test]
fn an_order_is_frozen_as_of_its_buyers_erasure() {
    let mut facts = erased_later();
    let found = check(&facts, Outcome::Conversation, &[(1, Reason::Won)]); // SPEC 42, 55
    assert_eq!(found.freeze_time, Some(day(12)));
    // A policy that was set later, by which his e-mail would find nobody.
    let mut later = facts.policies[0];
    (later.revision, later.create_time) = (2, day(13));
    later.policy.typed_email_allowed = false;
    facts.policies.push(later);
    assert_eq!(attribute(&facts), found);
    // He has it still where it was set before.
    facts.policies[1].create_time = day(12);
    let found = check(&facts, Outcome::BuyerUnknown, &[]);
    assert_eq!(found.freeze_time, None);
}

#[test]
fn what_finds_an_erased_buyer_too_late_credits_nobody() {
    let mut facts = erased_later();
    let mut later = facts.policies[0];
    (later.revision, later.create_time) = (2, day(13));
    facts.policies[0].policy.typed_email_allowed = false;
    facts.policies.push(later);
    let found = check(&facts, Outcome::BuyerUnknown, &[]); // SPEC 55
    assert_eq!(found.freeze_time, Some(day(12)));
}

#[test]
fn links_made_and_revoked_after_an_erasure_leave_its_orders_as_they_are() {
    let mut facts = facts();
    facts.accounts[0].erase_time = Some(day(12));
    facts.chatrooms = vec![room(1, PHONE, MAY, 10, 10)];
    let made = link(1, account(PHONE), account(ANN), day(10));
    facts.links = Links::from_iter([revoked(made, day(13))]);
    check(&facts, Outcome::Conversation, &[(1, Reason::Won)]); // SPEC 42, 55
    facts.links = Links::from_iter([revoked(made, day(12))]);
    check(&facts, Outcome::NoChatroom, &[(1, Reason::LinkRevoked)]);
}
