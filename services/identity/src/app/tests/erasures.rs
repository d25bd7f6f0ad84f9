//! The erasure of persons (SPEC 55), and the end of unused temporary accounts (SPEC 57).

use std::sync::Arc;

use chrono::TimeDelta;
use domain::{id::AccountId, sign_in::OutcomeKind::*};
use futures_util::future::join_all;
use kit::testing::TestEngine;
use rapport_proto::event::v1::event::Payload;
use serde_json::json;

use super::world::{World, id, token};
use crate::{
    app::{
        BrandChange, DoneBy, ErasedPerson, PersonKey, SignInCommand,
        temporary_sessions::StartedSession,
    },
    convert::link::show_person,
    error::IdentityError,
    model::{Account, AccountState},
    store::accounts,
};

/// A client with a profile and an e-mail, and a temporary account that is linked to it.
async fn linked(world: &World) -> (AccountId, StartedSession) {
    let client = world.client("c-1").await;
    let visitor = world.start(Some("ann@mail.example")).await;
    let profile = json!({"email": "ann@shop.example", "given_name": "Ann", "family_name": "Lee"});
    let signed_in = world
        .try_sign_in("c-1", profile, Some(&token(&visitor)))
        .await;
    assert_eq!(signed_in.unwrap().outcome.kind, Linked);
    (client, visitor)
}

async fn erase(world: &World, account: AccountId) -> Result<ErasedPerson, IdentityError> {
    let write = world.write("EraseAccount");
    world.app.erase_account(write, account).await
}

async fn account(world: &World, id: AccountId) -> Account {
    let mut connection = world.app.db.read().await.unwrap();
    let found = accounts::find(&mut connection, &world.brand, id).await;
    found.unwrap().unwrap()
}

async fn audited(world: &World, action: &str) -> Vec<String> {
    let entries = world.audit().await.into_iter();
    let of_action = entries.filter(|(known, _)| known == action);
    of_action.map(|(_, reason)| reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_accounts_of_a_person_are_erased_at_once() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let (client, visitor) = linked(&world).await;
        let temporary = visitor.account.account_id;
        let events = world.events().await.len();
        let erased = erase(&world, temporary).await.unwrap();
        let mut both = vec![client, temporary];
        both.sort();
        assert_eq!(erased.account_ids, both);
        assert_eq!(erased.erasure.person_id, client);
        for id in both {
            let left = account(&world, id).await;
            assert_eq!(left.state, AccountState::Erased);
            let personal = [
                left.username,
                left.email,
                left.given_name,
                left.family_name,
                left.locale,
                left.picture_uri,
            ];
            assert!(personal.iter().all(Option::is_none)); // SPEC 55
            assert_eq!((left.email_provenance, left.expire_time), (None, None));
        }
        let kinds = world.kinds_since(events).await;
        assert_eq!(kinds, ["revoked", "erased", "revoked", "erased"]); // SPEC 17, 55
        for event in &world.events().await[events..] {
            if let Some(Payload::AccountErased(told)) = &event.payload {
                assert_eq!(told.erasure_id, erased.erasure.erasure_id.to_string());
                assert_eq!((told.link_revision, told.email_digests.len()), (3, 1));
            }
        }
        assert_eq!(audited(&world, "ERASURE_STARTED").await, [""]); // SPEC 60

        let key = PersonKey::Account(temporary);
        let person = world.app.resolve_person(&world.brand, &key).await.unwrap();
        let shown = show_person(&person);
        assert_eq!(shown.person_id, client.to_string()); // SPEC 19
        let told = shown.erasure.unwrap();
        assert_eq!((told.customer_id.as_str(), told.link_revision), ("c-1", 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_repeatable_and_of_ones_own_brand() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let (client, visitor) = linked(&world).await;
        let request = id();
        let write = |body| world.write_with(&world.brand, "EraseAccount", &request, body);
        let first = world.app.erase_account(write("one"), client).await.unwrap();
        let rows = world.rows().await;
        let again = world.app.erase_account(write("one"), client).await.unwrap();
        assert_eq!(again, first); // SPEC 61
        assert_eq!(world.rows().await, rows);
        let other = world.app.erase_account(write("two"), client).await;
        assert!(other.is_err());
        let temporary = visitor.account.account_id;
        assert_eq!(erase(&world, temporary).await.unwrap(), first);
        let erasure_id = first.erasure.erasure_id;
        let found = world.app.get_erasure(&world.brand, erasure_id).await;
        assert_eq!(found.unwrap(), first);

        let foreign = world.add_brand("other").await; // SPEC 1
        let found = world.app.get_erasure(&foreign, erasure_id).await;
        assert!(matches!(found, Err(IdentityError::ErasureNotFound)));
        let write = world.write_of(&foreign, "EraseAccount", &id());
        let refused = world.app.erase_account(write, client).await;
        assert!(matches!(refused, Err(IdentityError::AccountNotFound)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_customer_is_somebody_new() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = world.start(None).await;
        let first = world.command(world.assertion("c-1", json!({})), None);
        let repeated = SignInCommand {
            assertion: world.assertion("c-1", json!({})),
            key: first.key.clone(),
            ..world.command(world.assertion("c-1", json!({})), None)
        };
        let erased = world.app.sign_in(first).await.unwrap().account.account_id;
        let linked = world.sign_in("c-1", Some(&token(&visitor))).await;
        assert_eq!(linked.outcome.kind, Linked);
        erase(&world, erased).await.unwrap();

        // SPEC 55, also for a sign-in that is repeated; SPEC 11: the old token opens nothing.
        let again = world.app.sign_in(repeated).await.unwrap();
        assert_ne!(again.account.account_id, erased);
        assert!(again.outcome.account_created);
        let later = world.sign_in("c-1", Some(&token(&visitor))).await;
        assert_eq!(later.outcome.kind, TemporarySessionUnusable);
        assert_eq!(later.account.account_id, again.account.account_id);
        let key = PersonKey::Account(erased);
        let person = world.app.resolve_person(&world.brand, &key).await.unwrap();
        assert!(person.erasure.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_link_was_revoked_is_another_persons() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let (client, visitor) = linked(&world).await;
        let key = PersonKey::Account(client);
        let person = world.app.resolve_person(&world.brand, &key).await.unwrap();
        let (write, link) = (world.write("RevokeLink"), person.links[0].link_id);
        let revoked = world.app.revoke_link(write, link, "wrong".to_owned()).await;
        revoked.unwrap();
        let erased = erase(&world, client).await.unwrap();
        assert_eq!(erased.account_ids, [client]);
        let other = account(&world, visitor.account.account_id).await;
        assert_eq!(other.username.as_deref(), Some("Ann"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_of_the_same_moment_comes_before_or_after() {
    for engine in TestEngine::ALL {
        let world = Arc::new(World::new(engine).await);
        let client = world.client("c-1").await;
        let sign_ins = (0..20).map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.sign_in("c-1", None).await.account.account_id })
        });
        let (signed_in, one, other) = tokio::join!(
            join_all(sign_ins),
            erase(&world, client),
            erase(&world, client)
        );
        let erasure = one.unwrap();
        assert_eq!(other.unwrap(), erasure);
        assert_eq!(erasure.account_ids, [client]);
        let now = world.sign_in("c-1", None).await.account.account_id;
        assert_ne!(now, client);
        for account in signed_in.into_iter().map(Result::unwrap) {
            assert!(account == client || account == now, "{engine:?}"); // SPEC 13
        }
        assert_eq!(audited(&world, "ERASURE_STARTED").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_complete_once_all_services_are() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let client = world.client("c-1").await;
        let erased = erase(&world, client).await.unwrap();
        let running = world.app.running_erasures(None).await.unwrap();
        assert_eq!(running, std::slice::from_ref(&erased));
        let erasure = &erased.erasure;
        let rest = world.app.running_erasures(Some(erasure)).await.unwrap();
        assert_eq!(rest, []);
        let mut done = DoneBy::default();
        for (chat, attribution) in [(true, false), (false, false), (true, true), (true, true)] {
            world.advance(TimeDelta::seconds(1));
            done = DoneBy { chat, attribution };
            let noted = world.app.note_erasure(erasure, done).await.unwrap();
            assert_eq!(noted.complete_time.is_some(), attribution);
            let first = erasure.create_time + TimeDelta::seconds(1);
            assert_eq!(noted.chat_complete_time, Some(first));
        }
        assert_eq!(world.app.running_erasures(None).await.unwrap(), []);
        assert_eq!(audited(&world, "ERASURE_COMPLETED").await.len(), 1); // SPEC 60
        let found = world
            .app
            .get_erasure(&world.brand, erasure.erasure_id)
            .await;
        assert_eq!(DoneBy::of(&found.unwrap().erasure), done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_temporary_account_is_erased() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let unused = world.start(None).await.account.account_id;
        let (client, linked) = linked(&world).await;
        world.advance(TimeDelta::days(20));
        let used = world.start(None).await.account.account_id;
        world.advance(TimeDelta::days(10) - TimeDelta::seconds(1));
        assert_eq!(world.app.expire_unused().await.unwrap(), 0);
        world.advance(TimeDelta::seconds(1));
        assert_eq!(world.app.expire_unused().await.unwrap(), 1); // SPEC 57
        assert_eq!(account(&world, unused).await.state, AccountState::Erased);
        for id in [used, client, linked.account.account_id] {
            assert_ne!(account(&world, id).await.state, AccountState::Erased);
        }
        assert_eq!(audited(&world, "ERASURE_STARTED").await, ["EXPIRED"]); // SPEC 60
        assert_eq!(world.app.running_erasures(None).await.unwrap().len(), 1);
        assert_eq!(world.app.expire_unused().await.unwrap(), 0);
        // SPEC 57: one with an active link lives as long as its client.
        world.advance(TimeDelta::days(400));
        assert_eq!(world.app.expire_unused().await.unwrap(), 1);
        let linked = account(&world, linked.account.account_id).await;
        assert_eq!(linked.state, AccountState::Settled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_lifetime_counts_for_accounts_that_are_there() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = world.start(None).await.account.account_id;
        let days = |days: i64| Some(TimeDelta::days(days).num_seconds());
        let change = BrandChange {
            temporary_account_ttl_seconds: days(60),
            attribution_window_limit_seconds: days(60),
            ..BrandChange::default()
        };
        world.change_brand(change).await;
        world.advance(TimeDelta::days(59));
        assert_eq!(world.app.expire_unused().await.unwrap(), 0); // SPEC 57: never before the window ends
        assert_eq!(account(&world, visitor).await.state, AccountState::Active);
        world.advance(TimeDelta::days(1));
        assert_eq!(world.app.expire_unused().await.unwrap(), 1);
    }
}
