//! Links taken back, and persons found.

use domain::{
    id::{AccountId, LinkId},
    sign_in::OutcomeKind::*,
};
use kit::testing::TestEngine;
use rapport_proto::event::v1::event::Payload;
use secrecy::SecretString;

use super::world::{World, id, token};
use crate::{
    app::{Person, PersonKey},
    convert::link::show_person,
    error::IdentityError,
    model::{AccountState, Link},
    store::links::Filter,
};

struct Linked {
    link: Link,
    client: AccountId,
    temporary: AccountId,
    token: SecretString,
}

async fn linked(world: &World) -> Linked {
    let client = world.client("c-1").await;
    let visitor = world.start(None).await;
    let signed_in = world.sign_in("c-1", Some(&token(&visitor))).await;
    Linked {
        link: signed_in.outcome.link.unwrap(),
        client,
        temporary: visitor.account.account_id,
        token: token(&visitor),
    }
}

async fn person(world: &World, account: AccountId) -> Person {
    let key = PersonKey::Account(account);
    world.app.resolve_person(&world.brand, &key).await.unwrap()
}

async fn revoke(world: &World, link: LinkId) -> Result<Link, IdentityError> {
    let write = world.write("RevokeLink");
    let revoked = world
        .app
        .revoke_link(write, link, "wrong person".to_owned())
        .await;
    revoked.map(|revoked| revoked.link)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_is_a_tombstone() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let linked = linked(&world).await;
        let events = world.events().await.len();
        let link = revoke(&world, linked.link.link_id).await.unwrap();
        assert_eq!((link.revision, link.link_revision), (2, 3)); // SPEC 16
        assert_eq!(world.kinds_since(events).await, ["link", "account"]);
        let last = world.audit().await.pop().unwrap();
        assert_eq!(last, ("LINK_REVOKED".to_owned(), String::new())); // SPEC 58, 60
        assert_eq!(link.revoke_reason.as_deref(), Some("wrong person"));
        let again = revoke(&world, linked.link.link_id).await;
        assert!(matches!(again.err(), Some(IdentityError::LinkRevoked)));
        // No session comes back, and its token links nothing again.
        for customer in ["c-1", "c-2"] {
            let signed_in = world.sign_in(customer, Some(&linked.token)).await;
            assert_eq!(signed_in.outcome.kind, TemporarySessionUnusable);
        }
        let alone = person(&world, linked.temporary).await;
        assert_eq!(alone.person_id, linked.temporary); // SPEC 19
        assert_eq!(alone.accounts[0].0.state, AccountState::Settled);
        assert_eq!(alone.links, std::slice::from_ref(&link));
        assert_eq!(person(&world, linked.client).await.link_revision, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_revocation_gives_the_same_answer() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let linked = linked(&world).await;
        let request = id();
        let mut answers = Vec::new();
        for _ in 0..2 {
            let write = world.write_of(&world.brand, "RevokeLink", &request);
            let reason = "wrong".to_owned();
            let revoked = world
                .app
                .revoke_link(write, linked.link.link_id, reason)
                .await;
            let revoked = revoked.unwrap();
            answers.push((revoked.link, revoked.consistency_token));
        }
        assert_eq!(answers[0], answers[1]); // SPEC 61
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_cannot_be_revoked_and_strangers_links_are_unknown() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = world.start(None).await;
        let upgraded = world.sign_in("c-1", Some(&token(&visitor))).await;
        assert_eq!(upgraded.outcome.kind, Upgraded);
        let id = LinkId::new(upgraded.account.account_id.uuid());
        let refused = revoke(&world, id).await;
        assert!(matches!(
            refused.err(),
            Some(IdentityError::UpgradeNotRevocable)
        )); // SPEC 16
        let unknown = revoke(&world, LinkId::new(uuid::Uuid::new_v4())).await;
        assert!(matches!(unknown.err(), Some(IdentityError::LinkNotFound)));

        let other = world.add_brand("other").await;
        let visitor = world.start(None).await;
        let linked = world.sign_in("c-1", Some(&token(&visitor))).await;
        let link_id = linked.outcome.link.unwrap().link_id;
        let foreign = world.app.get_link(&other, link_id).await;
        assert!(matches!(foreign.err(), Some(IdentityError::LinkNotFound))); // SPEC 1
        let key = PersonKey::Account(upgraded.account.account_id);
        let foreign = world.app.resolve_person(&other, &key).await;
        assert!(matches!(
            foreign.err(),
            Some(IdentityError::AccountNotFound)
        ));
        assert!(world.app.get_link(&world.brand, link_id).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_id_leads_to_the_person_and_the_answer_is_what_the_events_said() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let linked = linked(&world).await;
        let from_temporary = person(&world, linked.temporary).await;
        let customer = PersonKey::Customer("c-1".parse().unwrap());
        let from_customer = world
            .app
            .resolve_person(&world.brand, &customer)
            .await
            .unwrap();
        assert_eq!(from_temporary.person_id, linked.client); // SPEC 19
        let shown = show_person(&from_temporary);
        assert_eq!(shown, show_person(&from_customer));
        assert_eq!(shown.link_revision, 2); // SPEC 54
        for account in &shown.accounts {
            let told =
                world
                    .events()
                    .await
                    .into_iter()
                    .rev()
                    .find_map(|event| match event.payload {
                        Some(Payload::AccountChanged(told)) => {
                            (told.account_id == account.account_id).then_some(told)
                        }
                        _ => None,
                    });
            assert_eq!(told.as_ref(), Some(account)); // SPEC 51
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_listed_newest_first_and_page_by_page() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let first = linked(&world).await;
        let second = token(&world.start(None).await);
        let second = world
            .sign_in("c-1", Some(&second))
            .await
            .outcome
            .link
            .unwrap();
        revoke(&world, first.link.link_id).await.unwrap();
        let list = |account_id, include_revoked, before, limit| {
            let filter = Filter {
                account_id,
                include_revoked,
            };
            let (app, brand) = (world.app.clone(), world.brand.clone());
            async move {
                let links = app.list_links(&brand, filter, before, limit).await.unwrap();
                links
                    .into_iter()
                    .map(|link| link.link_id)
                    .collect::<Vec<_>>()
            }
        };
        let (old, new) = (first.link.link_id, second.link_id);
        assert_eq!(list(None, true, None, 9).await, [new, old]);
        assert_eq!(list(None, false, None, 9).await, [new]);
        assert_eq!(list(Some(first.temporary), true, None, 9).await, [old]);
        assert_eq!(list(Some(first.client), true, Some(new), 9).await, [old]);
        assert_eq!(list(None, true, None, 1).await, [new]);
    }
}
