//! Sign-in, rule by rule.

use chrono::TimeDelta;
use domain::{
    email::Provenance,
    merge_policy::Preset,
    person::LinkScope,
    sign_in::{
        MergeCase,
        OutcomeKind::{self, *},
    },
};
use kit::testing::TestEngine;
use rapport_proto::event::v1::{AccountState, event::Payload};
use secrecy::ExposeSecret;
use serde_json::json;

use super::world::{World, claims, forged, token};
use crate::{
    app::{BrandChange, SignInCommand},
    error::IdentityError,
    model::AccountKind,
};

/// Plays case 1 or 2, or case 3, under a preset.
async fn check(
    engine: TestEngine,
    preset: Preset,
    has_client: bool,
    typed: Option<&str>,
    expected: (OutcomeKind, Option<LinkScope>),
) {
    let world = World::new(engine).await;
    world.preset(preset).await;
    if has_client {
        world.client("c-1").await;
    }
    let visitor = world.start(typed).await;
    let events = world.events().await.len();
    let email = json!({ "email": "ann@shop.example" });
    let signed_in = world
        .try_sign_in("c-1", email, Some(&token(&visitor)))
        .await
        .unwrap();
    let outcome = &signed_in.outcome;
    let scope = outcome.link.as_ref().map(|link| link.scope);
    let what = format!("{engine:?} {preset} {has_client} {typed:?}");
    assert_eq!((outcome.kind, scope), expected, "{what}");
    let case = if has_client {
        MergeCase::Case3
    } else {
        MergeCase::Case1Or2
    };
    assert_eq!(outcome.merge_case, case, "{what}");
    assert_eq!(outcome.policy_revision, 2, "{what}");
    assert_eq!(
        outcome.temporary_account_id,
        Some(visitor.account.account_id)
    );
    let keeps_id = signed_in.account.account_id == visitor.account.account_id;
    assert_eq!(keeps_id, outcome.kind == Upgraded, "{what}");
    let differs = typed.is_some_and(|typed| typed != "ann@shop.example");
    assert_eq!(
        outcome.email_replaced,
        differs && outcome.kind == Upgraded,
        "{what}"
    );
    // SPEC 12: every outcome that settles revokes the temporary account's sessions.
    let kinds = world.kinds_since(events).await;
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "revoked").count(),
        1,
        "{what}"
    );
    assert_eq!(kinds.contains(&"link"), scope.is_some(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_1_and_2_follow_the_first_axis() {
    let history = Some(LinkScope::History);
    for engine in TestEngine::ALL {
        for typed in [None, Some("Ann@shop.example"), Some("bob@mail.example")] {
            // SPEC 6: an absent e-mail does not differ, nor does another spelling.
            let v4_4 = match typed {
                Some("bob@mail.example") => Separated,
                _ => Upgraded,
            };
            let typed = typed.map(str::to_lowercase);
            let typed = typed.as_deref();
            check(engine, Preset::V4_4, false, typed, (v4_4, None)).await;
            for preset in [Preset::V4_6_2, Preset::V4_8, Preset::TwoChatrooms] {
                check(engine, preset, false, typed, (Upgraded, None)).await;
            }
            let linked = (Linked, history);
            check(engine, Preset::AlwaysLinked, false, typed, linked).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_3_follows_the_second_axis() {
    let history = (Linked, Some(LinkScope::History));
    for engine in TestEngine::ALL {
        check(engine, Preset::V4_4, true, None, (Abandoned, None)).await; // SPEC 6
        check(engine, Preset::V4_6_2, true, None, (Abandoned, None)).await;
        let tracking = (Linked, Some(LinkScope::Tracking));
        check(engine, Preset::V4_8, true, None, tracking).await;
        check(engine, Preset::TwoChatrooms, true, None, history).await;
        check(engine, Preset::AlwaysLinked, true, None, history).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_0_creates_the_client_once_and_merges_nothing() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let before = world.events().await.len();
        let first = world.sign_in("c-1", None).await;
        let again = world.sign_in("c-1", None).await;
        assert_eq!(first.account.account_id, again.account.account_id); // SPEC 7
        assert!(first.outcome.account_created && !again.outcome.account_created);
        assert_eq!(again.outcome.merge_case, MergeCase::Case0);
        assert_eq!(world.kinds_since(before).await, ["account"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_keeps_the_id_and_takes_the_brands_email() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = world.start(Some("typed@mail.example")).await;
        let email = json!({ "email": "Ann@Shop.example", "given_name": "Ann" });
        let signed_in = world
            .try_sign_in("c-1", email, Some(&token(&visitor)))
            .await
            .unwrap();
        let account = &signed_in.account;
        assert_eq!(account.kind, AccountKind::Client);
        assert_eq!(account.username.as_deref(), Some("Ann"));
        assert_eq!(account.email.as_deref(), Some("Ann@Shop.example"));
        assert_eq!(account.email_provenance, Some(Provenance::Attested)); // SPEC 3
        assert!(signed_in.outcome.email_replaced && !signed_in.outcome.account_created);
        // SPEC 54: the access token and the consistency token carry the link revision.
        let (session, consistency) = signed_in.opened.unwrap();
        let claims = claims(&session.access.token);
        assert_eq!((claims.link_revision, consistency.link_revision), (1, 1));
        assert_eq!((claims.kind.as_str(), claims.epoch), ("CLIENT", 1)); // SPEC 12
        let events = world.events().await;
        let told = events.iter().rev().find_map(|event| match &event.payload {
            Some(Payload::AccountChanged(account)) => Some(account.clone()),
            _ => None,
        });
        let digests = told.unwrap().email_digests;
        assert_eq!(digests.len(), 2); // SPEC 51: the whole state, e-mails that it had included
        assert!(digests[0].until_time.is_some() && digests[1].until_time.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_without_an_email_of_the_brands_keeps_the_typed_one_as_typed() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = world.start(Some("typed@mail.example")).await;
        let account = world.sign_in("c-1", Some(&token(&visitor))).await.account;
        assert_eq!(account.email.as_deref(), Some("typed@mail.example"));
        assert_eq!(account.email_provenance, Some(Provenance::Typed)); // SPEC 3
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_computer_relinks_nothing_and_tells_nothing() {
    for engine in TestEngine::ALL {
        for preset in Preset::ALL {
            let world = World::new(engine).await;
            world.preset(*preset).await;
            let visitor = token(&world.start(None).await);
            world.sign_in("c-1", Some(&visitor)).await;
            let events = world.events().await.len();
            let other = world.sign_in("c-2", Some(&visitor)).await;
            assert_eq!(other.outcome.kind, LinkedElsewhere, "{preset}"); // SPEC 11
            assert_eq!(other.outcome.link, None);
            assert_eq!(other.outcome.temporary_account_id, None);
            assert!(other.outcome.account_created && other.opened.is_some());
            assert_eq!(world.kinds_since(events).await, ["account"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_client_again_gets_the_same_outcome_and_no_event() {
    for engine in TestEngine::ALL {
        for (preset, typed, again) in [
            (Preset::TwoChatrooms, None, AlreadyLinked),
            (Preset::AlwaysLinked, None, AlreadyLinked),
            (Preset::V4_4, Some("bob@mail.example"), Separated),
        ] {
            let world = World::new(engine).await;
            world.preset(preset).await;
            let visitor = token(&world.start(typed).await);
            let email = json!({ "email": "ann@shop.example" });
            let first = world
                .try_sign_in("c-1", email, Some(&visitor))
                .await
                .unwrap();
            world.preset(Preset::V4_8).await;
            let events = world.events().await.len();
            let repeated = world.sign_in("c-1", Some(&visitor)).await;
            assert_eq!(repeated.outcome.kind, again, "{preset}"); // SPEC 11
            assert_eq!(repeated.outcome.link, first.outcome.link);
            // SPEC 6: the policy that decided stays the one that decided.
            assert_eq!(
                repeated.outcome.policy_revision,
                first.outcome.policy_revision
            );
            assert_eq!(world.kinds_since(events).await, [""; 0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_account_stays_abandoned_by_the_same_client() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        world.preset(Preset::V4_6_2).await;
        world.client("c-1").await;
        let visitor = token(&world.start(None).await);
        for _ in 0..2 {
            let signed_in = world.sign_in("c-1", Some(&visitor)).await;
            assert_eq!(signed_in.outcome.kind, Abandoned); // SPEC 11
            assert_eq!(signed_in.outcome.merge_case, MergeCase::Case3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_account_is_told_as_settled() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        world.client("c-1").await;
        let visitor = world.start(None).await;
        world.sign_in("c-1", Some(&token(&visitor))).await;
        let events = world.events().await;
        let state = events.iter().rev().find_map(|event| match &event.payload {
            Some(Payload::AccountChanged(account))
                if account.account_id == visitor.account.account_id.to_string() =>
            {
                Some(account.state())
            }
            _ => None,
        });
        assert_eq!(state, Some(AccountState::Settled));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_identifies_no_temporary_account_is_ignored() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let unusable = |signed_in: crate::app::SignInResult, what| {
            assert_eq!(signed_in.outcome.kind, TemporarySessionUnusable, "{what}"); // SPEC 11
            assert_eq!(signed_in.outcome.merge_case, MergeCase::Case0, "{what}");
            assert!(signed_in.opened.is_some(), "{what}");
        };
        unusable(world.sign_in("c-1", Some(&forged())).await, "forged");

        let other = world.add_brand("other").await;
        let write = world.write_of(&other, "StartTemporarySession", &super::world::id());
        let foreign = world
            .app
            .start_temporary_session(write, World::visitor(None))
            .await;
        unusable(
            world.sign_in("c-1", Some(&token(&foreign.unwrap()))).await,
            "foreign",
        ); // SPEC 1

        let client = world.sign_in("c-1", None).await.opened.unwrap().0;
        unusable(
            world.sign_in("c-1", Some(&client.session_token)).await,
            "a client's",
        );

        let visitor = world.start(None).await;
        world.advance(TimeDelta::days(30));
        unusable(
            world.sign_in("c-1", Some(&token(&visitor))).await,
            "expired",
        ); // SPEC 57

        let visitor = world.start(None).await;
        world.advance(TimeDelta::days(30) - TimeDelta::microseconds(1));
        let signed_in = world.sign_in("c-1", Some(&token(&visitor))).await;
        assert_eq!(signed_in.outcome.kind, Linked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_brand_demands_the_nonce_nothing_merges_without_it() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let change = BrandChange {
            nonce_required: Some(true),
            ..Default::default()
        };
        world.change_brand(change).await;
        let visitor = world.start(None).await;
        let without = world.sign_in("c-1", Some(&token(&visitor))).await;
        assert_eq!(without.outcome.kind, TemporarySessionUnusable); // SPEC 5
        let other = world.start(None).await;
        let wrong = json!({ "nonce": other.nonce.expose_secret() });
        let wrong = world
            .try_sign_in("c-1", wrong, Some(&token(&visitor)))
            .await
            .unwrap();
        assert_eq!(wrong.outcome.kind, TemporarySessionUnusable);
        let right = json!({ "nonce": visitor.nonce.expose_secret() });
        let right = world
            .try_sign_in("c-1", right, Some(&token(&visitor)))
            .await
            .unwrap();
        assert_eq!(right.outcome.kind, Linked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_profile_field_is_not_cleared() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let full = json!({ "given_name": "Ann", "locale": "fr", "email": "ann@shop.example" });
        world.try_sign_in("c-1", full, None).await.unwrap();
        let less = json!({ "given_name": "Anna", "family_name": null });
        let account = world.try_sign_in("c-1", less, None).await.unwrap().account;
        assert_eq!(account.given_name.as_deref(), Some("Anna")); // SPEC 14
        assert_eq!(account.locale.as_deref(), Some("fr"));
        assert_eq!(account.email.as_deref(), Some("ann@shop.example"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_answers_the_same_and_writes_no_row_and_no_event() {
    for engine in TestEngine::ALL {
        for preset in Preset::ALL {
            let world = World::new(engine).await;
            world.preset(*preset).await;
            world.client("c-2").await;
            for customer in ["c-1", "c-2"] {
                let visitor = token(&world.start(None).await);
                let rows = world.rows().await;
                let would = world.validate(customer, Some(&visitor)).await;
                assert_eq!(world.rows().await, rows, "{preset} {customer}"); // SPEC 15
                assert!(would.opened.is_none());
                let done = world.sign_in(customer, Some(&visitor)).await;
                let key = |outcome: &crate::app::SignInOutcome| {
                    let scope = outcome.link.as_ref().map(|link| link.scope);
                    let created = outcome.account_created;
                    (
                        outcome.kind,
                        outcome.merge_case,
                        outcome.policy_revision,
                        scope,
                        created,
                    )
                };
                assert_eq!(
                    key(&would.outcome),
                    key(&done.outcome),
                    "{preset} {customer}"
                );
            }
            let rows = world.rows().await;
            let broken = SignInCommand {
                key: None,
                ..world.command(world.assertion("c-1", json!({ "brand_id": "other" })), None)
            };
            assert!(world.app.sign_in(broken).await.is_err());
            assert_eq!(world.rows().await, rows);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_has_the_same_outcome_and_a_new_session() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        world.client("c-1").await;
        let visitor = token(&world.start(None).await);
        let request = super::world::id();
        let key = |body| world.write_with(&world.brand, "SignIn", &request, body).key;
        let command = |key| SignInCommand {
            key: Some(key),
            ..world.command(world.assertion("c-1", json!({})), Some(&visitor))
        };
        let first = world.app.sign_in(command(key("body"))).await.unwrap();
        assert_eq!(first.outcome.kind, Linked);
        let events = world.events().await.len();
        let again = world.app.sign_in(command(key("body"))).await.unwrap();
        assert_eq!(again.outcome, first.outcome); // SPEC 61
        let (first, again) = (first.opened.unwrap().0, again.opened.unwrap().0);
        assert_ne!(first.session_id, again.session_id);
        assert_ne!(
            first.session_token.expose_secret(),
            again.session_token.expose_secret()
        );
        assert_eq!(world.kinds_since(events).await, [""; 0]);
        let reused = world.app.sign_in(command(key("another body"))).await;
        assert!(matches!(
            reused.err(),
            Some(IdentityError::Call(kit::error::CallError::RequestIdReused))
        ));
        // SPEC 61: the assertion is verified again, and it is too old by now.
        let old = command(key("body"));
        world.advance(TimeDelta::hours(1));
        let expired = world.app.sign_in(old).await;
        assert!(matches!(
            expired.err(),
            Some(IdentityError::AssertionRefused { .. })
        ));
    }
}
