//! Sign-ins that are refused: what they leave behind, which is an audit entry (SPEC 60).

use domain::{id::BrandId, sign_in::OutcomeKind::Upgraded};
use kit::{error::CallError, testing::TestEngine};
use serde_json::json;

use super::world::*;
use crate::{
    app::{BrandChange, KeyMaterial, NewAssertionKey, SignInCommand},
    assertion::{JwksUri, PresentedAssertion, Reach},
    error::IdentityError,
    model::{BrandState, List, TokenAlgorithm},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_assertion_leaves_an_audit_entry_and_nothing_else() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = token(&world.start(None).await);
        let rows = world.rows().await;
        let now = world.clock.now().timestamp();
        for (more, reason) in [
            (json!({ "exp": now - 31, "iat": now - 600 }), "EXPIRED"),
            (json!({ "exp": now + 901 }), "LIFETIME_TOO_LONG"),
            (json!({ "iat": now + 31 }), "NOT_YET_VALID"),
            (json!({ "brand_id": "other" }), "BRAND_MISMATCH"),
            (json!({ "customer_id": "" }), "CUSTOMER_ID_INVALID"),
        ] {
            let refused = world.try_sign_in("c-1", more, Some(&visitor)).await;
            assert!(matches!(
                refused.err(),
                Some(IdentityError::AssertionRefused { .. })
            ));
            let last = world.audit().await.pop().unwrap();
            assert_eq!(last, ("SIGN_IN_REFUSED".to_owned(), reason.to_owned())); // SPEC 60
        }
        let after = world.rows().await;
        for ((table, before), (_, after)) in rows.into_iter().zip(after) {
            let added = if table == "audit_entry" { 5 } else { 0 };
            assert_eq!(after, before + added, "{table}");
        }
        // It has proved nothing, so the temporary session is what it was.
        assert_eq!(
            world.sign_in("c-1", Some(&visitor)).await.outcome.kind,
            Upgraded
        );
    }
}

/// Refuses the command twice, really and with `validate_only`: one audit entry, and nothing else.
async fn check_refused(world: &World, command: SignInCommand, reason: &str) -> IdentityError {
    let rows = world.rows().await;
    let only_asked = SignInCommand {
        brand_id: command.brand_id.clone(),
        actor: command.actor.clone(),
        assertion: world.assertion("c-1", json!({ "exp": 1 })),
        temporary_session_token: None,
        accepted_policy: command.accepted_policy.clone(),
        key: None,
    };
    assert!(world.app.sign_in(only_asked).await.is_err());
    assert_eq!(world.rows().await, rows, "{reason}"); // SPEC 15
    let refused = world.app.sign_in(command).await.err().unwrap();
    let last = world.audit().await.pop().unwrap();
    assert_eq!(last, ("SIGN_IN_REFUSED".to_owned(), reason.to_owned()));
    for ((table, before), (_, after)) in rows.into_iter().zip(world.rows().await) {
        let added = i64::from(table == "audit_entry");
        assert_eq!(after, before + added, "{table}");
    }
    refused
}

fn command(world: &World) -> SignInCommand {
    world.command(world.assertion("c-1", json!({})), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unaccepted_widget_policy_stores_nothing_but_that() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        for accepted in ["", "2"] {
            let command = SignInCommand {
                accepted_policy: accepted.to_owned(),
                ..command(&world)
            };
            let refused = check_refused(&world, command, "WIDGET_POLICY_NOT_ACCEPTED").await;
            let is_policy = matches!(refused, IdentityError::WidgetPolicyNotAccepted { .. });
            assert!(is_policy, "{accepted}"); // SPEC 2
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_brand_and_an_unknown_one_sign_nobody_in() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        world
            .change_brand(BrandChange {
                state: Some(BrandState::Suspended),
                ..Default::default()
            })
            .await;
        let refused = check_refused(&world, command(&world), "BRAND_SUSPENDED").await;
        assert!(matches!(
            refused,
            IdentityError::Call(CallError::BrandSuspended)
        ));

        // There is no Brand to whom an entry could belong.
        let rows = world.rows().await;
        let unknown = SignInCommand {
            brand_id: BrandId::parse("nobody").unwrap(),
            ..command(&world)
        };
        let refused = world.app.sign_in(unknown).await.err();
        assert!(matches!(refused, Some(IdentityError::BrandNotFound)));
        assert_eq!(world.rows().await, rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_request_id_is_noted() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let request = id();
        let key = |body| world.write_with(&world.brand, "SignIn", &request, body).key;
        let with_key = |body| SignInCommand {
            key: Some(key(body)),
            ..command(&world)
        };
        world.app.sign_in(with_key("body")).await.unwrap();
        check_refused(&world, with_key("another body"), "REQUEST_ID_REUSED").await; // SPEC 61
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_server_that_is_away_is_noted_and_is_no_forgery() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        world
            .change_brand(BrandChange {
                token_algorithms: Some(List(vec![TokenAlgorithm::Eddsa])),
                issuer: Some("https://login.shop.example".to_owned()),
                audiences: Some(List(vec!["shop".to_owned()])),
                ..Default::default()
            })
            .await;
        // Port 0 is nobody's.
        let uri = JwksUri::parse("http://127.0.0.1:0/keys", Reach::Anywhere).unwrap();
        let new = NewAssertionKey {
            material: KeyMaterial::JwksUri(uri),
            expire_time: None,
        };
        let write = world.write("CreateAssertionKey");
        world.app.create_assertion_key(write, new).await.unwrap();
        let token = PresentedAssertion::IdToken("eyJhbGciOiJFZERTQSJ9.e30.".to_owned());
        let command = world.command(token, None);
        let refused = check_refused(&world, command, "KEY_SET_UNAVAILABLE").await;
        assert!(matches!(refused, IdentityError::KeySetUnavailable));
    }
}
