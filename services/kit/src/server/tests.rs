//! Health from the first call on, and an end that comes in time.

mod calls;
mod connections;
mod health;
mod replicas;

use std::time::Instant;

use rapport_proto::identity::v1::{WatchEventsRequest, link_service_client::LinkServiceClient};
use secrecy::SecretString;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use super::*;
use crate::{
    access::{Bearer, KeySet, Revocations, TokenVerifier},
    clock::Clock,
    limit::Limits,
    testing::{
        self, TestEngine,
        stub::{DOMAIN, SUITE_SECRET, Stub, anywhere},
    },
};

const LINK_SERVICE: &str = "rapport.identity.v1.LinkService";

/// Returns a stub that is bound and does not serve yet, with the lifetime that ends it.
async fn bind() -> (Server, Lifetime) {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let revocations = Revocations::load(&db, None).await.unwrap();
    let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
    let access = AccessLayer::new(DOMAIN, tokens, None, SUITE_SECRET.into(), Limits::default());
    let stub = Stub::default();
    let lifetime = stub.lifetime.clone();
    (stub.bind(anywhere(), access).await, lifetime)
}

fn connect(server: &Server) -> Channel {
    channel(&format!("http://{}", server.local_addr())).unwrap()
}

fn health_request() -> HealthCheckRequest {
    HealthCheckRequest {
        service: LINK_SERVICE.to_owned(),
    }
}

/// Opens a stream that never ends by itself.
async fn watch_for_ever(
    channel: Channel,
) -> tonic::Streaming<rapport_proto::identity::v1::WatchEventsResponse> {
    let credential = Bearer::new(&SecretString::from(SUITE_SECRET)).unwrap();
    let mut client = LinkServiceClient::with_interceptor(channel, credential);
    client
        .watch_events(WatchEventsRequest::default())
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_service_says_that_it_serves_until_the_stop() {
    let (server, _) = bind().await;
    let mut client = HealthClient::new(connect(&server));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run_until(stop.clone().cancelled_owned()));
    let answer = client.check(health_request()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let mut watched = client.watch(health_request()).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    stop.cancel();
    let last = watched.message().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(
        watched.message().await.unwrap().is_none(),
        "it does not hold the drain up"
    );
    let begin = Instant::now();
    serving.await.unwrap().unwrap();
    assert!(
        begin.elapsed() < DRAIN_LIMIT / 2,
        "nothing was left to wait for"
    );
}

#[tokio::test]
async fn before_it_serves_a_bound_service_answers_nothing() {
    let (server, _) = bind().await;
    let mut client = HealthClient::new(connect(&server));
    let early = client.check(health_request());
    assert!(
        tokio::time::timeout(Duration::from_millis(200), early)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn streams_that_do_not_end_are_ended_within_the_limit() {
    let (server, _) = bind().await;
    let channel = connect(&server);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(
        server
            .with_drain_limit(Duration::from_secs(2))
            .run_until(stop.clone().cancelled_owned()),
    );
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(watch_for_ever(channel.clone()).await);
    }
    stop.cancel();
    for mut stream in streams {
        let status = stream.message().await.unwrap_err();
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!(
            (status.code(), reason.as_str()),
            (Code::Unavailable, "SHUTTING_DOWN")
        );
    }
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn tasks_are_awaited_within_the_same_limit() {
    for (is_stubborn, limit) in [(false, DRAIN_LIMIT), (true, Duration::from_millis(300))] {
        let (server, lifetime) = bind().await;
        let (sender, mut receiver) = tokio::sync::oneshot::channel();
        let shutdown = lifetime.shutdown.clone();
        lifetime.tasks.spawn(async move {
            shutdown.cancelled().await;
            if is_stubborn {
                std::future::pending::<()>().await;
            }
            let _ = sender.send(());
        });
        server
            .with_drain_limit(limit)
            .run_until(async {})
            .await
            .unwrap();
        assert_eq!(receiver.try_recv().is_ok(), !is_stubborn);
    }
}

#[tokio::test]
async fn a_lifetime_that_ends_ends_the_service() {
    let (server, lifetime) = bind().await;
    let serving = tokio::spawn(server.run_until(std::future::pending()));
    lifetime.shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind(anywhere()).await.unwrap();
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let revocations = Revocations::load(&db, None).await.unwrap();
    let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
    let access = AccessLayer::new(DOMAIN, tokens, None, SUITE_SECRET.into(), Limits::default());
    let addr = taken.local_addr().unwrap();
    let bound = Server::bind(
        Listen::At(addr),
        RoutesBuilder::default(),
        Vec::new(),
        access,
        Lifetime::default(),
    )
    .await;
    assert!(matches!(bound.map(|_| ()), Err(ServerError::Listen { .. })));
}
