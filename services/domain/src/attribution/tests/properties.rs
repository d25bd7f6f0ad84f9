//! What holds for all facts: neither order nor repetition matters, and no reason is missing.

use super::*;

fn any_talk() -> impl Strategy<Value = ChatroomEvidence> {
    let times = || vec((-10_i64..12).prop_map(day), 0..3);
    let visitors = select(vec![ANN, PHONE, 12]);
    let members = select(vec![MAY, TOM]);
    (0_u128..6, visitors, members, times(), times()).prop_map(
        |(number, visitor, with, visitor_times, member_times)| {
            // One chatroom has one visitor account and one Member: all three make its number.
            let number = number * 10_000 + visitor * 100 + with;
            let before = |times: Vec<DateTime<Utc>>| -> Vec<DateTime<Utc>> {
                times.into_iter().filter(|time| *time < day(10)).collect()
            };
            talk(
                number,
                account(visitor),
                member(with),
                &before(visitor_times),
                &before(member_times),
            )
        },
    )
}

fn any_facts() -> impl Strategy<Value = OrderFacts> {
    let keys = select(vec![by_customer(), by_account(ANN), by_account(PHONE)]);
    let links = vec((1_u128..4, 11_u128..13, 0_i64..12, any::<bool>()), 0..4);
    let policy = (select(Model::ALL), any::<bool>());
    let own = proptest::option::of(0_i64..12);
    (keys, links, vec(any_talk(), 0..8), policy, own).prop_map(
        |(keys, links, mut chatrooms, (model, retroactive_links), own)| {
            chatrooms.sort_unstable();
            chatrooms.dedup_by_key(|one| one.chatroom);
            let links = links.into_iter().map(|(number, temporary, days, undone)| {
                let made = link(number, account(temporary), account(ANN), day(days));
                if undone { revoked(made, day(20)) } else { made }
            });
            let own = own.map(|days| OwnCustomer {
                member: member(MAY),
                customer: customer("ann"),
                from_time: day(days),
            });
            let policy = AttributionPolicy {
                model,
                retroactive_links,
                ..AttributionPolicy::default()
            };
            OrderFacts {
                order: order(day(10), keys),
                links: links.collect(),
                chatrooms,
                own_customers: own.into_iter().collect(),
                policies: under(policy),
                ..facts()
            }
        },
    )
}

/// The same facts as they could as well have come: backwards, and twice.
fn backwards_and_twice(facts: &OrderFacts) -> OrderFacts {
    fn again<Fact: Clone>(facts: &[Fact]) -> Vec<Fact> {
        facts.iter().rev().chain(facts).cloned().collect()
    }
    let links: Vec<_> = facts.links.iter().copied().collect();
    OrderFacts {
        order: facts.order.clone(),
        accounts: again(&facts.accounts),
        links: again(&links).into_iter().collect(),
        checkouts: again(&facts.checkouts),
        chatrooms: again(&facts.chatrooms),
        own_customers: again(&facts.own_customers),
        policies: again(&facts.policies),
        statuses: again(&facts.statuses),
        refunds: again(&facts.refunds),
    }
}

proptest! {
    #[test]
    fn neither_order_nor_repetition_of_facts_matters(facts in any_facts()) {
        prop_assert_eq!(attribute(&facts), attribute(&backwards_and_twice(&facts))); // SPEC 42
    }

    #[test]
    fn every_chatroom_has_one_reason_and_every_credit_one_member(facts in any_facts()) {
        let found = attribute(&facts);
        let chatrooms: BTreeSet<_> = found.considered.iter().map(|one| one.chatroom).collect();
        prop_assert_eq!(chatrooms.len(), found.considered.len()); // SPEC 47
        let members: BTreeSet<_> = found.credits.iter().map(|one| one.member).collect();
        prop_assert_eq!(members.len(), found.credits.len()); // SPEC 40
        let is_credited = found.outcome == Outcome::Conversation;
        prop_assert_eq!(is_credited, !found.credits.is_empty());
        let model = found.policy.policy.model;
        prop_assert!(model == Model::EvenSplit || found.credits.len() <= 1);
    }

    #[test]
    fn a_revoked_link_is_as_if_it_had_never_been(facts in any_facts()) {
        let links: Vec<_> = facts.links.iter().copied().collect();
        for made in links {
            let mut undone = facts.clone();
            undone.links.record(revoked(made, day(30)));
            let counting = |mut found: Attribution| {
                found.considered.retain(|one| one.reason != Reason::LinkRevoked);
                found
            };
            let without = attribute_without_link(&facts, made.id);
            prop_assert_eq!(counting(attribute(&undone)), counting(without)); // SPEC 16
        }
    }

    #[test]
    fn what_is_considered_belongs_to_the_person_or_is_connected_by_a_link(facts in any_facts()) {
        let found = attribute(&facts);
        for one in &found.considered {
            prop_assert!(one.link.is_some() || Some(one.visitor) == found.person); // SPEC 37
        }
    }
}
