//! Health is what the service's needs are, and the watch of a stranger's service stays open.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;

/// A stub that needs something, which is there or not as the test says.
async fn run(is_there: &Arc<AtomicBool>) -> (HealthClient<Channel>, CancellationToken) {
    let (mut server, lifetime) = bind().await;
    let is_there = Arc::clone(is_there);
    server.needs.push(Need {
        name: "what the test says",
        probe: Box::new(move || {
            let is_there = is_there.load(Ordering::SeqCst);
            let answer = is_there.then_some(()).ok_or("it is away".to_owned());
            std::future::ready(answer).boxed()
        }),
    });
    let client = HealthClient::new(connect(&server));
    tokio::spawn(server.run_until(std::future::pending()));
    (client, lifetime.shutdown)
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn check(client: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let answer = client.check(of(service)).await.unwrap();
    answer.into_inner().status()
}

#[tokio::test]
async fn a_service_is_ready_while_what_it_needs_is_there_and_lives_throughout() {
    let is_there = Arc::new(AtomicBool::new(false));
    let (mut client, _) = run(&is_there).await;
    for (service, expected) in [
        ("", ServingStatus::NotServing),
        (LINK_SERVICE, ServingStatus::NotServing),
        (LIVENESS, ServingStatus::Serving),
    ] {
        assert_eq!(check(&mut client, service).await, expected, "{service}");
    }
    let watched = client.watch(of(LINK_SERVICE)).await.unwrap();
    let mut watched = watched.into_inner();
    for (now, expected) in [
        (false, ServingStatus::NotServing),
        (true, ServingStatus::Serving),
        (false, ServingStatus::NotServing),
    ] {
        is_there.store(now, Ordering::SeqCst);
        let told = watched.message().await.unwrap().unwrap();
        assert_eq!(told.status(), expected);
        assert_eq!(check(&mut client, "").await, expected);
        assert_eq!(check(&mut client, LIVENESS).await, ServingStatus::Serving);
    }
}

#[tokio::test]
async fn who_watches_an_unknown_service_is_told_so_and_the_watch_stays_open() {
    let (mut client, shutdown) = run(&Arc::new(AtomicBool::new(true))).await;
    let unknown = of("nothing.v1.Nothing");
    let refused = client.check(unknown.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let mut watched = client.watch(unknown).await.unwrap().into_inner();
    let told = watched.message().await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::ServiceUnknown);
    // Others are answered meanwhile, and it ends with the server, not before.
    assert_eq!(check(&mut client, "").await, ServingStatus::Serving);
    let next = watched.message();
    tokio::pin!(next);
    assert!(next.as_mut().now_or_never().is_none());
    shutdown.cancel();
    assert!(next.await.unwrap().is_none());
}
