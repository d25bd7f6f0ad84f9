use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::{
    fixtures::{account, link_id},
    merge_policy::Preset,
};

const POLICIES: [Preset; 5] = [
    Preset::V4_4,
    Preset::V4_6_2,
    Preset::V4_8,
    Preset::TwoChatrooms,
    Preset::AlwaysLinked,
];

fn temporary() -> AccountId {
    account(1)
}

fn client() -> AccountId {
    account(2)
}

fn other_client() -> AccountId {
    account(3)
}

fn email(address: &str) -> Email {
    Email::parse(address).unwrap()
}

fn session(typed_email: Option<&str>, settlement: Option<Settlement>) -> PresentedSession {
    PresentedSession::Of(TemporaryAccount {
        account: temporary(),
        typed_email: typed_email.map(email),
        nonce: Nonce::NotDemanded,
        settlement,
    })
}

fn linked_to(client: AccountId) -> Settlement {
    Settlement::Linked {
        client,
        link: link_id(7),
        merge_case: MergeCase::Case3,
    }
}

fn facts(temporary: PresentedSession, client: Option<AccountId>) -> SignInFacts {
    SignInFacts {
        temporary,
        client,
        brand_email: Some(email("ann@shop.example")),
    }
}

/// What a row of the module's table says: outcome, case, client, step.
type Row = (OutcomeKind, MergeCase, ClientStep, MergeStep);

/// The one place that touches the API.
fn check(
    preset: Preset,
    presented: PresentedSession,
    client: Option<AccountId>,
    expected: Row,
) -> SignInDecision {
    let facts = facts(presented, client);
    let found = decide_sign_in(preset.policy(), &facts);
    let row = (found.kind, found.merge_case, found.client, found.merge);
    assert_eq!(row, expected, "{preset} {facts:?}");
    found
}

#[test]
fn without_a_temporary_session_nothing_is_merged() {
    for preset in POLICIES {
        let row = |client| {
            let kind = OutcomeKind::NoTemporary;
            (kind, MergeCase::Case0, client, MergeStep::None)
        };
        let none = || PresentedSession::None;
        check(preset, none(), None, row(ClientStep::Create)); // SPEC 7
        let open = ClientStep::Open(client());
        check(preset, none(), Some(client()), row(open));
    }
}

#[test]
fn the_first_axis_settles_who_has_no_client_account() {
    use MergeCase::Case1Or2;
    let other = || session(Some("bob@home.example"), None);
    let same = || session(Some(" ANN@shop.example"), None);
    let none = || session(None, None);
    let upgrade = ClientStep::Upgrade(temporary());
    let upgraded = (OutcomeKind::Upgraded, Case1Or2, upgrade, MergeStep::Upgrade);
    let create = ClientStep::Create;
    let separated = (
        OutcomeKind::Separated,
        Case1Or2,
        create,
        MergeStep::Separate,
    );
    let history = MergeStep::Link(LinkScope::History);
    let linked = (OutcomeKind::Linked, Case1Or2, create, history);
    check(Preset::V4_4, other(), None, separated); // SPEC 6, 4.4 to 4.6.1
    check(Preset::V4_4, same(), None, upgraded);
    check(Preset::V4_4, none(), None, upgraded); // SPEC 3: an absent e-mail does not differ
    for preset in [Preset::V4_6_2, Preset::V4_8, Preset::TwoChatrooms] {
        check(preset, other(), None, upgraded); // SPEC 6, 4.6.2
        check(preset, none(), None, upgraded);
    }
    check(Preset::AlwaysLinked, other(), None, linked); // SPEC 6, announced
    check(Preset::AlwaysLinked, none(), None, linked);
}

#[test]
fn an_assertion_without_an_email_does_not_differ() {
    let facts = SignInFacts {
        brand_email: None,
        ..facts(session(Some("bob@home.example"), None), None)
    };
    let decision = decide_sign_in(Preset::V4_4.policy(), &facts);
    assert_eq!(decision.kind, OutcomeKind::Upgraded); // SPEC 3
    assert!(!decision.email_replaced);
}

#[test]
fn the_second_axis_settles_who_has_a_client_account() {
    let row = |kind, step| (kind, MergeCase::Case3, ClientStep::Open(client()), step);
    let abandoned = row(OutcomeKind::Abandoned, MergeStep::Abandon);
    let linked = |scope| row(OutcomeKind::Linked, MergeStep::Link(scope));
    for (preset, expected) in [
        (Preset::V4_4, abandoned), // SPEC 6, before 4.8
        (Preset::V4_6_2, abandoned),
        (Preset::V4_8, linked(LinkScope::Tracking)), // SPEC 6, 4.8
        (Preset::TwoChatrooms, linked(LinkScope::History)),
        (Preset::AlwaysLinked, linked(LinkScope::History)),
    ] {
        let other_email = session(Some("bob@home.example"), None);
        check(preset, other_email, Some(client()), expected);
        check(preset, session(None, None), Some(client()), expected);
    }
}

#[test]
fn only_an_upgrade_replaces_a_typed_email_and_only_another_one() {
    let replaced = |preset: Preset, typed, client| {
        let facts = facts(session(typed, None), client);
        decide_sign_in(preset.policy(), &facts).email_replaced
    };
    let other = Some("bob@home.example");
    assert!(replaced(Preset::V4_6_2, other, None)); // SPEC 6, 18
    assert!(!replaced(Preset::V4_6_2, Some("ann@shop.example"), None));
    assert!(!replaced(Preset::V4_6_2, None, None));
    assert!(!replaced(Preset::V4_4, other, None));
    assert!(!replaced(Preset::AlwaysLinked, other, None));
    assert!(!replaced(Preset::TwoChatrooms, other, Some(client())));
}

#[test]
fn the_same_client_again_gets_the_same_outcome() {
    let open = ClientStep::Open(client());
    let again = |settlement, kind, merge_case| {
        for preset in POLICIES {
            let expected = (kind, merge_case, open, MergeStep::None);
            let presented = session(None, Some(settlement));
            let decision = check(preset, presented, Some(client()), expected); // SPEC 11
            assert_eq!(decision.temporary, Some(temporary()));
        }
    };
    again(
        linked_to(client()),
        OutcomeKind::AlreadyLinked,
        MergeCase::Case3,
    );
    let separated = Settlement::Separated { client: client() };
    again(separated, OutcomeKind::Separated, MergeCase::Case1Or2);
    let abandoned = Settlement::Abandoned { client: client() };
    again(abandoned, OutcomeKind::Abandoned, MergeCase::Case3);
}

#[test]
fn an_upgrade_counts_as_a_link_to_itself() {
    let presented = session(None, Some(Settlement::Upgraded));
    let open = ClientStep::Open(temporary());
    let kind = OutcomeKind::AlreadyLinked;
    let expected = (kind, MergeCase::Case1Or2, open, MergeStep::None);
    check(Preset::V4_8, presented, Some(temporary()), expected); // SPEC 11
}

#[test]
fn a_repeated_sign_in_names_the_link_there_is() {
    let facts = facts(session(None, Some(linked_to(client()))), Some(client()));
    let decision = decide_sign_in(Preset::TwoChatrooms.policy(), &facts);
    assert_eq!(decision.repeated_link, Some(link_id(7))); // SPEC 11: no second link
}

#[test]
fn another_client_is_not_told_whose_temporary_account_it_was() {
    for settlement in [
        linked_to(other_client()),
        Settlement::Upgraded,
        Settlement::Separated {
            client: other_client(),
        },
        Settlement::Abandoned {
            client: other_client(),
        },
    ] {
        for (known, step) in [
            (Some(client()), ClientStep::Open(client())),
            (None, ClientStep::Create),
        ] {
            let kind = OutcomeKind::LinkedElsewhere;
            let expected = (kind, MergeCase::Case0, step, MergeStep::None);
            let presented = session(None, Some(settlement));
            let decision = check(Preset::AlwaysLinked, presented, known, expected); // SPEC 11
            assert_eq!((decision.temporary, decision.repeated_link), (None, None));
        }
    }
}

#[test]
fn a_revoked_link_is_a_tombstone_that_no_replay_undoes() {
    for preset in POLICIES {
        for (known, step) in [
            (Some(client()), ClientStep::Open(client())),
            (Some(other_client()), ClientStep::Open(other_client())),
            (None, ClientStep::Create),
        ] {
            let kind = OutcomeKind::TemporarySessionUnusable;
            let expected = (kind, MergeCase::Case0, step, MergeStep::None);
            let presented = session(None, Some(Settlement::Unlinked));
            check(preset, presented, known, expected); // SPEC 16
        }
    }
}

#[test]
fn an_unusable_session_is_ignored() {
    let kind = OutcomeKind::TemporarySessionUnusable;
    let open = ClientStep::Open(client());
    let expected = (kind, MergeCase::Case0, open, MergeStep::None);
    let unusable = PresentedSession::Unusable;
    check(Preset::TwoChatrooms, unusable, Some(client()), expected); // SPEC 11
}

#[test]
fn an_assertion_without_the_demanded_nonce_merges_nothing() {
    let with_nonce = |nonce, settlement| {
        PresentedSession::Of(TemporaryAccount {
            account: temporary(),
            typed_email: None,
            nonce,
            settlement,
        })
    };
    let kind = OutcomeKind::TemporarySessionUnusable;
    for settlement in [None, Some(linked_to(client()))] {
        let open = ClientStep::Open(client());
        let expected = (kind, MergeCase::Case0, open, MergeStep::None);
        let missing = with_nonce(Nonce::Missing, settlement);
        let decision = check(Preset::TwoChatrooms, missing, Some(client()), expected); // SPEC 5
        assert_eq!(decision.temporary, None);
    }
    let upgrade = ClientStep::Upgrade(temporary());
    let upgraded = (
        OutcomeKind::Upgraded,
        MergeCase::Case1Or2,
        upgrade,
        MergeStep::Upgrade,
    );
    let matched = with_nonce(Nonce::Matched, None);
    check(Preset::TwoChatrooms, matched, None, upgraded);
}

/// Applies a decision as a service does: what the next sign-in finds.
fn settle(decision: &SignInDecision, created: AccountId) -> (AccountId, Option<Settlement>) {
    let client = match decision.client {
        ClientStep::Open(account) | ClientStep::Upgrade(account) => account,
        ClientStep::Create => created,
    };
    let settlement = match decision.merge {
        MergeStep::None => None,
        MergeStep::Upgrade => Some(Settlement::Upgraded),
        MergeStep::Link(_) => Some(Settlement::Linked {
            client,
            link: link_id(9),
            merge_case: decision.merge_case,
        }),
        MergeStep::Separate => Some(Settlement::Separated { client }),
        MergeStep::Abandon => Some(Settlement::Abandoned { client }),
    };
    (client, settlement)
}

proptest! {
    #[test]
    fn twice_is_once(
        preset in select(Preset::ALL),
        later_preset in select(Preset::ALL),
        typed in option::of(select(vec!["ann@shop.example", "bob@home.example"])),
        known in option::of(Just(client())),
    ) {
        let first = decide_sign_in(preset.policy(), &facts(session(typed, None), known));
        let (client, settlement) = settle(&first, account(5));
        prop_assert!(settlement.is_some());

        // SPEC 11, 13: also under another policy, the same client finds what there is.
        let again = facts(session(typed, settlement), Some(client));
        let again = decide_sign_in(later_preset.policy(), &again);
        prop_assert_eq!(again.client, ClientStep::Open(client));
        prop_assert_eq!(again.merge, MergeStep::None);
        prop_assert_eq!(again.merge_case, first.merge_case);
        prop_assert_eq!(again.temporary, first.temporary);

        // SPEC 11, 13: the loser of a race signs in and merges nothing.
        let loser = facts(session(typed, settlement), Some(other_client()));
        let loser = decide_sign_in(preset.policy(), &loser);
        prop_assert_eq!(loser.kind, OutcomeKind::LinkedElsewhere);
    }
}
