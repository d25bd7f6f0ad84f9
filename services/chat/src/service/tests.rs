//! The service as a whole, without an identity: what it answers before anybody has signed in.

use std::time::Duration;

use kit::{
    access::Bearer,
    clock::Clock,
    config::{ImagesUrl, Peers, Secrets, ServiceConfig},
    limit::LimitConfig,
    secret::{EmailDigestKey, Key, SealingKey},
    server::Listen,
    testing::{TestDatabase, TestEngine},
};
use rapport_proto::chat::v1::{
    ErasePersonRequest, ListChatroomsRequest, WatchEventsRequest,
    chat_service_client::ChatServiceClient,
    message_event_service_client::MessageEventServiceClient, watch_events_response::Content,
};
use tokio::sync::oneshot;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Service;
use crate::fixtures::NOBODY;

fn config(database: &TestDatabase) -> ServiceConfig {
    ServiceConfig {
        listen: Listen::anywhere(),
        health: None,
        tls: None,
        database: database.url.clone(),
        images: ImagesUrl::Memory,
        broker: None,
        peers: Peers {
            identity: NOBODY.to_owned(),
            ..Default::default()
        },
        secrets: Secrets {
            sealing_key: SealingKey::new(Key::random()),
            email_digest_key: EmailDigestKey::new(Key::random()),
            suite_secret: "suite".into(),
            operator_token: None,
        },
        clock: Clock::system(),
        identity_silence_limit: Duration::from_secs(30),
        signing_key_lifetime: kit::config::DEFAULT_SIGNING_KEY_LIFETIME,
        limits: LimitConfig::default(),
        connections: Default::default(),
        allow_private_key_addresses: false,
    }
}

fn check(status: &Status, code: Code, reason: &str) {
    let info = status.get_details_error_info().unwrap();
    let found = (status.code(), info.reason.as_str(), info.domain.as_str());
    assert_eq!(found, (code, reason, "chat.rapport"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_identity_answers_and_stops() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let server = Service::build(config(&database)).await.unwrap();
    let channel = kit::server::channel(&format!("http://{}", server.local_addr())).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run_until(async {
        let _ = stopped.await;
    }));

    let mut nobody = ChatServiceClient::new(channel.clone());
    let refused = nobody
        .list_chatrooms(ListChatroomsRequest::default())
        .await
        .unwrap_err();
    check(&refused, Code::Unauthenticated, "UNAUTHENTICATED");

    let credential = Bearer::new(&"suite".into()).unwrap();
    let mut suite = ChatServiceClient::with_interceptor(channel.clone(), credential.clone());
    let refused = suite
        .erase_person(ErasePersonRequest::default())
        .await
        .unwrap_err();
    check(&refused, Code::InvalidArgument, "FIELD_INVALID");

    let mut events = MessageEventServiceClient::with_interceptor(channel, credential);
    let foreign = WatchEventsRequest {
        resume_position: "x".into(),
        ..Default::default()
    };
    let refused = events.watch_events(foreign).await.unwrap_err();
    check(&refused, Code::InvalidArgument, "RESUME_POSITION_INVALID");
    let mut log = events
        .watch_events(WatchEventsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let first = log.message().await.unwrap().unwrap();
    assert!(matches!(first.content, Some(Content::Heartbeat(_))));

    stop.send(()).unwrap();
    let last = loop {
        match log.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the log ended without a word"),
            Err(status) => break status,
        }
    };
    check(&last, Code::Unavailable, "SHUTTING_DOWN");
    running.await.unwrap().unwrap();
}
