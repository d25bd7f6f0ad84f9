//! Brands, policies, keys and Members.

use domain::merge_policy::Preset;
use kit::testing::TestEngine;
use rapport_proto::event::v1::event::Payload;
use secrecy::ExposeSecret;
use serde_json::json;

use super::world::{World, id};
use crate::{
    app::{BrandChange, KeyMaterial, MemberChange, NewAssertionKey, NewMember},
    error::IdentityError,
};

fn new_secret() -> NewAssertionKey {
    NewAssertionKey {
        material: KeyMaterial::NewHmacSecret,
        expire_time: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_is_made_once_and_begins_with_two_chatrooms() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let shown = world.app.get_brand(&world.brand).await.unwrap();
        assert_eq!(shown.policy.policy(), Preset::TwoChatrooms.policy()); // SPEC 6
        let request = id();
        let brand = crate::model::Brand {
            brand_id: "second".parse().unwrap(),
            revision: 1,
            ..shown.brand.clone()
        };
        for _ in 0..2 {
            let write = world.write_of(&brand.brand_id, "CreateBrand", &request);
            let made = world.app.create_brand(write, brand.clone()).await.unwrap();
            assert_eq!(made.brand.revision, 1); // SPEC 61
        }
        let write = world.write_of(&brand.brand_id, "CreateBrand", &id());
        let taken = world.app.create_brand(write, brand).await;
        assert!(matches!(taken.err(), Some(IdentityError::BrandIdTaken)));
        let listed = world.app.list_brands(Some(&world.brand), 9).await.unwrap();
        assert!(listed.is_empty()); // "second" comes before "shop"
        assert_eq!(world.app.list_brands(None, 9).await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_changes_only_as_it_was_read() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let change = |etag: &str, window| BrandChange {
            attribution_window_limit_seconds: window,
            etag: Some(etag.to_owned()),
            ..Default::default()
        };
        let update = |change| world.app.update_brand(world.write("UpdateBrand"), change);
        let stale = update(change("1", None)).await;
        assert!(matches!(stale.err(), Some(IdentityError::EtagMismatch)));
        let changed = update(change("2", None)).await.unwrap();
        assert_eq!(changed.brand.revision, 3);
        // SPEC 57: the window is never longer than an account lives, and policies rely on it.
        assert!(update(change("3", Some(31 * 86_400))).await.is_err());
        assert!(update(change("3", Some(86_400))).await.is_err());
        let unknown = "unknown".parse().unwrap();
        let write = world.write_of(&unknown, "UpdateBrand", &id());
        let unknown = world.app.update_brand(write, change("1", None)).await;
        assert!(matches!(unknown.err(), Some(IdentityError::BrandNotFound)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_revisions_and_stay() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let request = id();
        for _ in 0..2 {
            let write = world.write_of(&world.brand, "SetMergePolicy", &request);
            let made = world
                .app
                .set_merge_policy(write, Preset::V4_4.policy())
                .await
                .unwrap();
            assert_eq!(made.revision, 2); // SPEC 61
        }
        let listed = world
            .app
            .list_merge_policies(&world.brand, None, 9)
            .await
            .unwrap();
        let policies: Vec<_> = listed.iter().map(|policy| policy.policy()).collect();
        assert_eq!(
            policies,
            [Preset::V4_4.policy(), Preset::TwoChatrooms.policy()]
        ); // SPEC 6
        let older = world
            .app
            .list_merge_policies(&world.brand, Some(2), 9)
            .await
            .unwrap();
        assert_eq!(older.len(), 1);
        let events = world.events().await;
        let Some(Payload::BrandChanged(told)) = &events.last().unwrap().payload else {
            panic!("the last event is the Brand's");
        };
        assert_eq!((told.merge_policy_revision, told.revision), (2, 3));
        assert_eq!(told.assertion_key_ids.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_rotate_with_overlap_and_are_told_once() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let request = id();
        let write = || world.write_of(&world.brand, "CreateAssertionKey", &request);
        let made = world
            .app
            .create_assertion_key(write(), new_secret())
            .await
            .unwrap();
        assert_eq!(made.secret.unwrap().expose_secret().len(), 32);
        let again = world.app.create_assertion_key(write(), new_secret()).await;
        let Some(IdentityError::SecretNotRepeated { made: named }) = again.err() else {
            panic!("a secret is not repeated"); // SPEC 61
        };
        assert_eq!(named, Some(("assertionKeyId", made.key.assertion_key_id)));
        let third = world.write("CreateAssertionKey");
        let third = world.app.create_assertion_key(third, new_secret()).await;
        let is_limit = matches!(
            third.err(),
            Some(IdentityError::AssertionKeyLimitReached { limit: 2 })
        );
        assert!(is_limit);

        // The old one still signs until it is revoked.
        world.sign_in("c-1", None).await;
        let listed = world
            .app
            .list_assertion_keys(&world.brand, false, None, 9)
            .await
            .unwrap();
        let old = listed.last().unwrap().assertion_key_id;
        for _ in 0..2 {
            let write = world.write("RevokeAssertionKey");
            let revoked = world.app.revoke_assertion_key(write, old).await.unwrap();
            assert!(revoked.revoke_time.is_some());
        }
        let refused = world.try_sign_in("c-1", json!({}), None).await;
        assert!(matches!(
            refused.err(),
            Some(IdentityError::AssertionRefused { .. })
        )); // SPEC 4
        let all = world
            .app
            .list_assertion_keys(&world.brand, true, None, 9)
            .await
            .unwrap();
        let in_force = world
            .app
            .list_assertion_keys(&world.brand, false, None, 9)
            .await;
        assert_eq!((all.len(), in_force.unwrap().len()), (2, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_own_customer_ids_are_never_taken_away() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let new = NewMember {
            display_name: "Mia".to_owned(),
            customers: vec![("c-1".parse().unwrap(), None)],
        };
        let made = world
            .app
            .create_member(world.write("CreateMember"), new)
            .await
            .unwrap();
        let update = |customers: Vec<&str>| {
            let ids = customers.into_iter().map(|id| (id.parse().unwrap(), None));
            let change = MemberChange {
                customers: Some(ids.collect()),
                ..Default::default()
            };
            let write = world.write("UpdateMember");
            world
                .app
                .update_member(write, made.member.member_id, change)
        };
        assert!(update(vec!["c-2"]).await.is_err()); // SPEC 41
        let changed = update(vec!["c-1", "c-2"]).await.unwrap();
        assert_eq!((changed.customers.len(), changed.member.revision), (2, 2));
        let events = world.events().await;
        let Some(Payload::MemberChanged(told)) = &events.last().unwrap().payload else {
            panic!("the last event is the Member's");
        };
        assert_eq!(told.own_customer_ids.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_in_an_event() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let visitor = world.start(Some("typed@mail.example")).await;
        let more = json!({ "email": "ann@shop.example", "given_name": "Zebulon" });
        let token = super::world::token(&visitor);
        world.try_sign_in("c-1", more, Some(&token)).await.unwrap();
        let told = format!("{:?}", world.events().await);
        for personal in ["typed@", "ann@", "Zebulon", "Ann"] {
            assert!(!told.contains(personal), "{personal}"); // SPEC 53
        }
    }
}
