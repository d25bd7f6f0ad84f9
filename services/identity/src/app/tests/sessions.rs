//! Sessions: opened, renewed, ended.

use chrono::TimeDelta;
use domain::{
    id::{AccountId, MemberId, RequestId, SessionId},
    session::Widget,
};
use kit::{
    access::{Principal, Subject},
    error::CallError,
    testing::TestEngine,
};
use rapport_proto::{
    access::v1::Scope,
    event::v1::{SessionsRevoked, event::Payload},
};
use secrecy::SecretString;
use uuid::Uuid;

use super::world::{World, claims, forged, id, token};
use crate::{
    app::{
        Actor, ApiKeyProof, MemberChange, NewApiKey, NewMember, NewTemporarySession, OpenedSession,
    },
    error::IdentityError,
    model::{MemberState, SessionKind},
};

fn request() -> RequestId {
    Uuid::new_v4().into()
}

async fn refresh(
    world: &World,
    token: &SecretString,
    request_id: RequestId,
) -> Result<OpenedSession, IdentityError> {
    let actor = Actor::from(&Principal::Anonymous);
    world
        .app
        .refresh_session(&world.brand, actor, token, request_id)
        .await
}

async fn last_revocation(world: &World) -> SessionsRevoked {
    let events = world.events().await;
    let found = events
        .into_iter()
        .rev()
        .find_map(|event| match event.payload {
            Some(Payload::SessionsRevoked(revoked)) => Some(revoked),
            _ => None,
        });
    found.unwrap()
}

fn visitor(world: &World, account: AccountId, session: SessionId) -> Principal {
    Principal::Temporary(Subject {
        brand_id: world.brand.clone(),
        id: account,
        session_id: session,
        link_revision: 0,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_session_starts_in_the_conversational_widget_only() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let rows = world.rows().await;
        for widget in [Widget::Publication, Widget::Profile] {
            let new = NewTemporarySession {
                widget,
                ..World::visitor(None)
            };
            let write = world.write("StartTemporarySession");
            let refused = world.app.start_temporary_session(write, new).await;
            assert!(matches!(
                refused.err(),
                Some(IdentityError::WidgetNeedsClient)
            )); // SPEC 2
        }
        let new = NewTemporarySession {
            accepted_policy: "0".to_owned(),
            ..World::visitor(None)
        };
        let write = world.write("StartTemporarySession");
        let refused = world.app.start_temporary_session(write, new).await;
        let is_policy = matches!(
            refused.err(),
            Some(IdentityError::WidgetPolicyNotAccepted { .. })
        );
        assert!(is_policy);
        assert_eq!(world.rows().await, rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_not_repeated_because_its_answer_is_secret() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let request = id();
        let write = || world.write_of(&world.brand, "StartTemporarySession", &request);
        let started = world
            .app
            .start_temporary_session(write(), World::visitor(None))
            .await;
        let events = world.events().await.len();
        assert_eq!(
            claims(&started.unwrap().session.access.token).kind,
            "TEMPORARY"
        );
        let again = world
            .app
            .start_temporary_session(write(), World::visitor(None))
            .await;
        let error = again.err();
        assert!(matches!(
            error,
            Some(IdentityError::SecretNotRepeated { .. })
        )); // SPEC 61
        assert_eq!(world.events().await.len(), events);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_works_once() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let started = world.start(None).await;
        world.advance(TimeDelta::days(20));
        let first = refresh(&world, &token(&started), request()).await.unwrap();
        assert_eq!(first.session_id, started.session.session_id);
        assert_eq!(first.expire_time, world.clock.now() + TimeDelta::days(30)); // SPEC 57
        // A thief shows the old one.
        let stolen = refresh(&world, &token(&started), request()).await;
        assert!(matches!(stolen.err(), Some(IdentityError::SessionRefused)));
        let ended = last_revocation(&world).await;
        assert_eq!(ended.session_ids, [started.session.session_id.to_string()]);
        let over = refresh(&world, &first.session_token, request()).await;
        assert!(matches!(over.err(), Some(IdentityError::SessionRefused)));
        let unknown = refresh(&world, &forged(), request()).await;
        assert!(matches!(unknown.err(), Some(IdentityError::SessionRefused)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_replaces_the_token_that_was_lost() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let started = world.start(None).await;
        let request_id = request();
        let lost = refresh(&world, &token(&started), request_id).await.unwrap();
        let retried = refresh(&world, &token(&started), request_id).await.unwrap();
        let unknown = refresh(&world, &lost.session_token, request()).await;
        assert!(matches!(unknown.err(), Some(IdentityError::SessionRefused)));
        let next = refresh(&world, &retried.session_token, request())
            .await
            .unwrap();
        // Once the new token was used, the old request is no retry any more.
        let late = refresh(&world, &token(&started), request_id).await;
        assert!(matches!(late.err(), Some(IdentityError::SessionRefused)));
        assert!(
            refresh(&world, &next.session_token, request())
                .await
                .is_err()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_proves_nothing_any_more() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let started = world.start(None).await;
        let session = &started.session;
        let principal = visitor(&world, started.account.account_id, session.session_id);
        let write = world.write("EndSession");
        let ended = world
            .app
            .end_session(write, &principal, false)
            .await
            .unwrap();
        assert_eq!(ended, world.clock.now());
        let revoked = last_revocation(&world).await;
        assert_eq!(revoked.session_ids, [session.session_id.to_string()]); // SPEC 59
        assert_eq!(revoked.minimum_epoch, 0);
        assert!(refresh(&world, &token(&started), request()).await.is_err());
        let signed_in = world.sign_in("c-1", Some(&token(&started))).await;
        let kind = domain::sign_in::OutcomeKind::TemporarySessionUnusable;
        assert_eq!(signed_in.outcome.kind, kind); // SPEC 11
        // Ended is ended, and the time stays.
        world.advance(TimeDelta::minutes(1));
        let write = world.write("EndSession");
        let again = world
            .app
            .end_session(write, &principal, false)
            .await
            .unwrap();
        assert_eq!(again, ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_all_sessions_raises_the_epoch() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let first = world.sign_in("c-1", None).await;
        let second = world.sign_in("c-1", None).await;
        let session = second.opened.unwrap().0;
        let principal = visitor(&world, second.account.account_id, session.session_id);
        let write = world.write("EndSession");
        world
            .app
            .end_session(write, &principal, true)
            .await
            .unwrap();
        let revoked = last_revocation(&world).await;
        assert_eq!((revoked.minimum_epoch, revoked.session_ids.len()), (1, 2));
        let first = first.opened.unwrap().0;
        assert!(
            refresh(&world, &first.session_token, request())
                .await
                .is_err()
        );
        let third = world.sign_in("c-1", None).await.opened.unwrap().0;
        assert_eq!(claims(&third.access.token).epoch, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_tokens_for_its_key_until_that_is_revoked() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let new = NewApiKey {
            display_name: "Shop".to_owned(),
            scopes: vec!["MEMBER_SESSIONS".to_owned()],
            expire_time: Some(world.clock.now() + TimeDelta::days(1)),
        };
        let request = id();
        let write = || world.write_of(&world.brand, "CreateApiKey", &request);
        let made = world.app.create_api_key(write(), new).await.unwrap();
        let secret = ApiKeyProof::Secret(made.secret.clone());
        let certificate = ApiKeyProof::Certificate(made.key.api_key_id);
        for proof in [&secret, &certificate] {
            let issued = world.app.issue_service_token(&world.brand, proof).await;
            let issued = issued.unwrap();
            assert_eq!(issued.scopes, [Scope::MemberSessions]);
            assert_eq!(claims(&issued.access.token).sub, made.key.api_key_id.uuid());
        }

        let other = world.add_brand("other").await;
        let unknown = ApiKeyProof::Certificate(Uuid::new_v4().into());
        for (brand, proof) in [
            (&other, &secret),
            (&other, &certificate),
            (&world.brand, &ApiKeyProof::Secret(forged())),
            (&world.brand, &unknown),
        ] {
            let refused = world.app.issue_service_token(brand, proof).await;
            assert!(matches!(refused.err(), Some(IdentityError::ApiKeyRefused))); // SPEC 1
        }
        let write = world.write("RevokeApiKey");
        world
            .app
            .revoke_api_key(write, made.key.api_key_id)
            .await
            .unwrap();
        assert_eq!(last_revocation(&world).await.minimum_epoch, 1);
        for proof in [&secret, &certificate] {
            let refused = world.app.issue_service_token(&world.brand, proof).await;
            assert!(matches!(refused.err(), Some(IdentityError::ApiKeyRefused)));
        }
    }
}

async fn member(world: &World) -> MemberId {
    let new = NewMember {
        display_name: "Mia".to_owned(),
        customers: Vec::new(),
    };
    let made = world
        .app
        .create_member(world.write("CreateMember"), new)
        .await;
    made.unwrap().member.member_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_session_is_one_however_often_it_is_asked_for() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let member = member(&world).await;
        let request = id();
        let write = || world.write_of(&world.brand, "IssueMemberSession", &request);
        let (first, _) = world
            .app
            .issue_member_session(write(), member)
            .await
            .unwrap();
        let (again, _) = world
            .app
            .issue_member_session(write(), member)
            .await
            .unwrap();
        assert_eq!(first.session_id, again.session_id); // SPEC 61
        assert!(
            refresh(&world, &again.session_token, self::request())
                .await
                .is_ok()
        );
        assert_eq!(
            claims(&first.access.token).kind,
            SessionKind::Member.to_string()
        );
        let change = MemberChange {
            state: Some(MemberState::Deactivated),
            ..Default::default()
        };
        let write_change = world.write("UpdateMember");
        world
            .app
            .update_member(write_change, member, change)
            .await
            .unwrap();
        assert_eq!(last_revocation(&world).await.minimum_epoch, 1); // SPEC 59
        let refused = world.app.issue_member_session(write(), member).await;
        assert!(matches!(
            refused.err(),
            Some(IdentityError::MemberDeactivated)
        ));
        let write = world.write("IssueMemberSession");
        let refused = world
            .app
            .issue_member_session(write, Uuid::new_v4().into())
            .await;
        assert!(matches!(refused.err(), Some(IdentityError::MemberNotFound)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_sees_no_account_of_another() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let started = world.start(Some("typed@mail.example")).await;
        let account = started.account.account_id;
        let other = world.add_brand("other").await;
        let service = |brand: &domain::id::BrandId| Principal::Service {
            brand_id: brand.clone(),
            key_id: Uuid::new_v4().into(),
            scopes: [i32::from(Scope::AccountsRead)].into(),
        };
        let foreign = world.app.get_account(&service(&other), Some(account)).await;
        assert!(matches!(
            foreign.err(),
            Some(IdentityError::AccountNotFound)
        )); // SPEC 1
        let own = world
            .app
            .get_account(&service(&world.brand), Some(account))
            .await
            .unwrap();
        assert_eq!(own.account.email.as_deref(), Some("typed@mail.example"));
        let member = Principal::Member(Subject {
            brand_id: world.brand.clone(),
            id: Uuid::new_v4().into(),
            session_id: Uuid::new_v4().into(),
            link_revision: 0,
        });
        let shown = world.app.get_account(&member, Some(account)).await.unwrap();
        assert_eq!(shown.account.email, None); // SPEC 58
        let stranger = visitor(&world, Uuid::new_v4().into(), Uuid::new_v4().into());
        let unseen = world.app.get_account(&stranger, Some(account)).await;
        assert!(matches!(unseen.err(), Some(IdentityError::AccountNotFound)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_brand_opens_no_session() {
    for engine in TestEngine::ALL {
        let world = World::new(engine).await;
        let started = world.start(None).await;
        let change = crate::app::BrandChange {
            state: Some(crate::model::BrandState::Suspended),
            ..Default::default()
        };
        world.change_brand(change).await;
        let write = world.write("StartTemporarySession");
        let refused = world
            .app
            .start_temporary_session(write, World::visitor(None))
            .await;
        assert!(matches!(
            refused.err(),
            Some(IdentityError::Call(CallError::BrandSuspended))
        ));
        let refused = world.try_sign_in("c-1", serde_json::json!({}), None).await;
        assert!(matches!(
            refused.err(),
            Some(IdentityError::Call(CallError::BrandSuspended))
        ));
        let refused = refresh(&world, &token(&started), request()).await;
        assert!(matches!(
            refused.err(),
            Some(IdentityError::Call(CallError::BrandSuspended))
        ));
        let anonymous = Principal::Anonymous;
        let refused = world
            .app
            .end_session(world.write("EndSession"), &anonymous, false)
            .await;
        let is_denied = matches!(
            refused.err(),
            Some(IdentityError::Call(CallError::PermissionDenied))
        );
        assert!(is_denied);
    }
}
