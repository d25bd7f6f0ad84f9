use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::fixtures::{account, day, link, link_id, microseconds, minute, revoked};

const CLIENT: u128 = 1;
const OTHER_CLIENT: u128 = 2;
const PHONE: u128 = 11;
const TABLET: u128 = 12;

fn accounts(numbers: &[u128]) -> BTreeSet<AccountId> {
    numbers.iter().copied().map(account).collect()
}

/// Phone linked with history, tablet for tracking, both to the client.
fn star() -> Links {
    let tablet = link(2, account(TABLET), account(CLIENT), day(2));
    Links::from_iter([
        link(1, account(PHONE), account(CLIENT), day(1)),
        Link {
            scope: LinkScope::Tracking,
            ..tablet
        },
    ])
}

#[test]
fn every_account_of_a_star_resolves_to_the_same_person() {
    for number in [CLIENT, PHONE, TABLET] {
        let person = star().person_of(account(number));
        assert_eq!(person.root, account(CLIENT)); // SPEC 10, 19
        assert_eq!(person.accounts, accounts(&[CLIENT, PHONE, TABLET]));
    }
    let alone = star().person_of(account(OTHER_CLIENT));
    assert_eq!(alone.accounts, accounts(&[OTHER_CLIENT]));
}

#[test]
fn only_links_with_history_are_seen_in_chat() {
    let seen = star().seen_by(account(CLIENT));
    assert_eq!(seen.accounts, accounts(&[CLIENT, PHONE])); // SPEC 21
    let seen = star().seen_by(account(TABLET));
    assert_eq!(
        (seen.root, seen.accounts),
        (account(TABLET), accounts(&[TABLET]))
    );
}

#[test]
fn a_revoked_link_connects_nobody_whichever_fact_comes_first() {
    let made = link(1, account(PHONE), account(CLIENT), day(1));
    let undone = revoked(made, day(3));
    for facts in [[made, undone], [undone, made]] {
        let links = Links::from_iter(facts);
        assert_eq!(links.get(link_id(1)), Some(&undone)); // SPEC 16, 51
        let person = links.person_of(account(PHONE));
        assert_eq!(person.accounts, accounts(&[PHONE]));
    }
}

#[test]
fn a_fact_that_is_known_or_superseded_changes_nothing() {
    let made = link(1, account(PHONE), account(CLIENT), day(1));
    let mut links = Links::default();
    assert!(links.record(made)); // SPEC 51
    assert!(!links.record(made));
    assert!(links.record(revoked(made, day(3))));
    assert!(!links.record(made));
}

#[test]
fn a_temporary_account_has_one_active_link() {
    let links = Links::from_iter([
        link(1, account(PHONE), account(OTHER_CLIENT), day(2)),
        link(2, account(PHONE), account(CLIENT), day(1)),
    ]);
    assert_eq!(links.person_of(account(PHONE)).root, account(CLIENT)); // SPEC 10
    let other = links.person_of(account(OTHER_CLIENT));
    assert_eq!(other.accounts, accounts(&[OTHER_CLIENT]));
}

#[test]
fn less_a_link_is_as_if_it_had_never_been() {
    let without = star().without(link_id(1));
    let person = without.person_of(account(CLIENT));
    assert_eq!(person.accounts, accounts(&[CLIENT, TABLET])); // SPEC 16
}

/// A row of the module's second table: the phone is linked to the client at minute 0.
fn check_at(
    named: u128,
    horizon: Horizon,
    revoke: bool,
    root: u128,
    expected: &[(u128, Standing)],
) {
    let made = link(1, account(PHONE), account(CLIENT), minute(0));
    let links = Links::from_iter([if revoke { revoked(made, day(9)) } else { made }]);
    let person = links.person_at(account(named), horizon);
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(number, standing)| (account(*number), *standing))
        .collect();
    assert_eq!(person.root, account(root));
    assert_eq!(person.accounts, expected, "{named} {horizon:?}");
}

#[test]
fn a_link_serves_orders_from_its_time_less_the_tolerance() {
    let tolerance = TimeDelta::minutes(2);
    let placed = |time| Horizon::of_order(time, tolerance);
    let linked = (PHONE, Standing::Linked(link_id(1)));
    let too_late = Standing::LinkedAfterOrder(link_id(1));
    let client = (CLIENT, Standing::Root);
    let just_too_early = minute(-2) - microseconds(1);
    for served in [placed(minute(0)), placed(minute(-2)), Horizon::Unbounded] {
        check_at(CLIENT, served, false, CLIENT, &[client, linked]); // SPEC 42
        check_at(PHONE, served, false, CLIENT, &[client, linked]);
    }
    let early = placed(just_too_early);
    check_at(CLIENT, early, false, CLIENT, &[client, (PHONE, too_late)]);
    let phone = (PHONE, Standing::Root);
    check_at(PHONE, early, false, PHONE, &[phone, (CLIENT, too_late)]);
}

#[test]
fn a_revoked_link_serves_no_order_also_none_before_its_revocation() {
    let horizon = Horizon::of_order(day(1), TimeDelta::zero());
    let undone = Standing::LinkRevoked(link_id(1));
    let (client, phone) = ((CLIENT, Standing::Root), (PHONE, Standing::Root));
    check_at(CLIENT, horizon, true, CLIENT, &[client, (PHONE, undone)]); // SPEC 16
    check_at(PHONE, horizon, true, PHONE, &[phone, (CLIENT, undone)]);
    check_at(
        CLIENT,
        Horizon::Unbounded,
        true,
        CLIENT,
        &[client, (PHONE, undone)],
    );
}

#[test]
fn what_lies_behind_a_late_link_is_not_reported() {
    let links = Links::from_iter([
        link(1, account(PHONE), account(CLIENT), day(5)),
        link(2, account(TABLET), account(CLIENT), day(1)),
    ]);
    let horizon = Horizon::of_order(day(3), TimeDelta::zero());
    let person = links.person_at(account(PHONE), horizon);
    assert!(person.accounts.contains_key(&account(CLIENT))); // SPEC 47
    assert!(!person.accounts.contains_key(&account(TABLET))); // SPEC 58
    assert_eq!(person.link_to(account(CLIENT)), Some(link_id(1)));
}

fn any_link() -> impl Strategy<Value = Link> {
    (
        0_u128..4,
        10_u128..13,
        1_u128..3,
        0_i64..4,
        any::<bool>(),
        select(LinkScope::ALL),
    )
        .prop_map(|(number, temporary, client, days, is_revoked, scope)| {
            let made = Link {
                scope,
                ..link(number, account(temporary), account(client), day(days))
            };
            if is_revoked {
                revoked(made, day(days + 1))
            } else {
                made
            }
        })
}

proptest! {
    #[test]
    fn the_order_of_facts_does_not_matter_and_twice_is_once(
        (facts, shuffled) in vec(any_link(), 0..8)
            .prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
    ) {
        let links = Links::from_iter(facts.clone());
        prop_assert_eq!(&links, &Links::from_iter(shuffled.clone())); // SPEC 42, 51
        let twice = facts.into_iter().chain(shuffled);
        prop_assert_eq!(&links, &Links::from_iter(twice));
    }

    #[test]
    fn whether_one_sees_the_other_is_told_by_the_links_of_the_two_alone(
        facts in vec(any_link(), 0..8),
        one in select(vec![1_u128, 2, 10, 11, 12]),
        other in select(vec![1_u128, 2, 10, 11, 12]),
    ) {
        let all = Links::from_iter(facts);
        let (one, other) = (account(one), account(other));
        let of_the_two = |link: &&Link| [one, other].contains(&link.temporary);
        let few = Links::from_iter(all.iter().filter(of_the_two).copied());
        // SPEC 21: what the write path of chat loads is enough.
        prop_assert_eq!(
            few.seen_by(one).accounts.contains(&other),
            all.seen_by(one).accounts.contains(&other)
        );
    }

    #[test]
    fn persons_partition_the_accounts(
        facts in vec(any_link(), 0..8),
        number in 1_u128..14,
    ) {
        let links = Links::from_iter(facts);
        for person in [links.person_of(account(number)), links.seen_by(account(number))] {
            prop_assert!(person.accounts.contains(&account(number))); // SPEC 10, 19
            prop_assert!(person.accounts.contains(&person.root));
        }
        let person = links.person_of(account(number));
        for other in &person.accounts {
            prop_assert_eq!(&links.person_of(*other), &person);
        }
    }

    #[test]
    fn what_is_seen_is_of_the_person(facts in vec(any_link(), 0..8), number in 1_u128..14) {
        let links = Links::from_iter(facts);
        let person = links.person_of(account(number));
        prop_assert!(links.seen_by(account(number)).accounts.is_subset(&person.accounts));
    }

    #[test]
    fn revoking_a_link_is_the_same_as_never_having_made_it(
        facts in vec(any_link(), 1..8),
        number in 1_u128..14,
    ) {
        let links = Links::from_iter(facts);
        let victim = links.iter().next().copied().unwrap();
        let mut undone = links.clone();
        undone.record(revoked(victim, day(9)));
        let without = links.without(victim.id);
        prop_assert_eq!(undone.person_of(account(number)), without.person_of(account(number)));
        prop_assert_eq!(undone.seen_by(account(number)), without.seen_by(account(number)));
        let served = |links: &Links| -> BTreeSet<AccountId> {
            let person = links.person_at(account(number), Horizon::Until(day(2)));
            let serves = |standing: &Standing| matches!(standing, Standing::Root | Standing::Linked(_));
            let accounts = person.accounts.into_iter();
            accounts.filter(|(_, standing)| serves(standing)).map(|(id, _)| id).collect()
        };
        prop_assert_eq!(served(&undone), served(&without)); // SPEC 16
    }
}
