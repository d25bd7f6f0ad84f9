//! What works, from the first call to a restart.

use std::time::Duration;

use identity::{Service, SigningKeyError, StartError};
use kit::testing::{TestDatabase, TestEngine};
use rapport_proto::{
    access::v1::Scope,
    event::v1::event::Payload,
    identity::v1::{self as proto, resolve_person_request, watch_events_response::Content},
};
use tonic::Code;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_story_runs_over_grpc() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let scopes = [Scope::LinksRead, Scope::AccountsRead, Scope::EventsRead];
        let program = service.add_brand("shop", &scopes).await;

        service
            .sessions()
            .sign_in(sign_in_request("shop", "c-1", ""))
            .await
            .unwrap();
        let started = service
            .sessions()
            .start_temporary_session(start_request("shop"))
            .await;
        let started = started.unwrap().into_inner();
        let session = started.session.unwrap();
        let own = proto::GetAccountRequest::default();
        let request = with(own.clone(), &session.access_token);
        let shown = service.accounts().get_account(request).await.unwrap();
        let account = shown.into_inner().account.unwrap();
        assert_eq!(account.email, "ann@mail.example");

        let request = sign_in_request("shop", "c-1", &session.session_token);
        let signed_in = service
            .sessions()
            .sign_in(request)
            .await
            .unwrap()
            .into_inner();
        let outcome = signed_in.outcome.unwrap();
        assert_eq!(outcome.kind(), proto::SignInOutcomeKind::Linked);
        assert!(!signed_in.consistency_token.is_empty());

        // SPEC 59: the temporary session is refused within a second, and the client's works.
        let revoked = async {
            loop {
                let request = with(own.clone(), &session.access_token);
                match service.accounts().get_account(request).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(status) => return status,
                }
            }
        };
        let status = tokio::time::timeout(Duration::from_secs(1), revoked)
            .await
            .unwrap();
        check(
            Err::<(), _>(status),
            Code::Unauthenticated,
            "UNAUTHENTICATED",
        );
        let client_token = signed_in.session.unwrap().access_token;
        let request = proto::GetAccountRequest {
            account_id: account.account_id.clone(),
        };
        let seen = service
            .accounts()
            .get_account(with(request, &client_token))
            .await
            .unwrap();
        let seen = seen.into_inner().account.unwrap();
        assert_eq!(seen.person_id, signed_in.account.unwrap().account_id); // SPEC 21

        let request = proto::ResolvePersonRequest {
            brand_id: String::new(),
            key: Some(resolve_person_request::Key::AccountId(account.account_id)),
        };
        let person = service
            .links()
            .resolve_person(with(request, &program))
            .await
            .unwrap();
        let person = person.into_inner().person.unwrap();
        assert_eq!((person.accounts.len(), person.link_revision), (2, 2)); // SPEC 19
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_from_any_position_and_brand_by_brand() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &[Scope::EventsRead]).await;
        service.add_brand("other", &[Scope::EventsRead]).await;
        let watch = |request, token: &str| {
            let (mut links, token) = (service.links(), token.to_owned());
            async move { links.watch_events(with(request, &token)).await }
        };
        let request = proto::WatchEventsRequest::default();
        let mut own = watch(request, &program).await.unwrap().into_inner();
        let mut seen = Vec::new();
        let mut position = String::new();
        while seen.len() < 2 {
            let response = own.message().await.unwrap().unwrap();
            position = response.position;
            if let Some(Content::Batch(batch)) = response.content {
                seen.extend(batch.events);
            }
        }
        // SPEC 1: nothing of the other Brand, whose events come in between.
        assert!(seen.iter().all(|event| event.brand_id == "shop"));
        assert!(matches!(seen[0].payload, Some(Payload::BrandChanged(_))));

        service
            .sessions()
            .start_temporary_session(start_request("shop"))
            .await
            .unwrap();
        let request = proto::WatchEventsRequest {
            brand_id: "shop".to_owned(),
            resume_position: position,
        };
        let mut resumed = watch(request, SUITE).await.unwrap().into_inner();
        loop {
            let response = resumed.message().await.unwrap().unwrap();
            if let Some(Content::Batch(batch)) = response.content {
                let first = &batch.events[0].payload;
                assert!(matches!(first, Some(Payload::AccountChanged(_)))); // SPEC 50
                break;
            }
        }
        let broken = proto::WatchEventsRequest {
            resume_position: "nowhere".to_owned(),
            ..Default::default()
        };
        let refused = watch(broken, SUITE).await;
        check(refused, Code::InvalidArgument, "RESUME_POSITION_INVALID");
        let foreign = proto::WatchEventsRequest {
            brand_id: "other".to_owned(),
            ..Default::default()
        };
        check(
            watch(foreign, &program).await,
            Code::NotFound,
            "BRAND_NOT_FOUND",
        );
        service.stop().await;
        let last = loop {
            match own.message().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        check(last, Code::Unavailable, "SHUTTING_DOWN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_signing_key_and_the_revocations() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let secrets = secrets();
        let service = Running::start(&database.url, secrets.clone()).await;
        service.add_brand("shop", &[Scope::LinksRead]).await;
        let keys = |service: &Running| {
            let mut sessions = service.sessions();
            async move {
                let response = sessions.get_key_set(proto::GetKeySetRequest {}).await;
                response.unwrap().into_inner().keys
            }
        };
        let before = keys(&service).await;
        let started = service
            .sessions()
            .start_temporary_session(start_request("shop"))
            .await;
        let kept = started.unwrap().into_inner().session.unwrap();
        let started = service
            .sessions()
            .start_temporary_session(start_request("shop"))
            .await;
        let ended = started.unwrap().into_inner().session.unwrap();
        let request = proto::EndSessionRequest {
            all_sessions: false,
            request_id: id(),
        };
        service
            .sessions()
            .end_session(with(request, &ended.access_token))
            .await
            .unwrap();
        service.stop().await;

        let service = Running::start(&database.url, secrets).await;
        assert_eq!(keys(&service).await, before);
        let own = proto::GetAccountRequest::default();
        let request = with(own.clone(), &kept.access_token);
        service.accounts().get_account(request).await.unwrap();
        let refused = service
            .accounts()
            .get_account(with(own, &ended.access_token))
            .await;
        check(refused, Code::Unauthenticated, "UNAUTHENTICATED"); // SPEC 59
        service.stop().await;

        let other = self::secrets();
        let refused = Service::build(config(&database.url, other)).await;
        let is_sealed = matches!(
            refused.err(),
            Some(StartError::SigningKey(SigningKeyError::Sealed { .. }))
        );
        assert!(is_sealed);
    }
}
