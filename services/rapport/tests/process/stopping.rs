//! SIGTERM: who looks is told first, then streams end, and then the process, well and in time.

use kit::{
    access::Bearer,
    server::{DRAIN_LIMIT, channel},
};
use rapport_proto::identity::v1::{WatchEventsRequest, link_service_client::LinkServiceClient};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use super::{development_secret, waiting::alone};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_fifty_streams_is_told_and_ends_well_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (running, addr) = alone("identity", folder.path(), []);
    let channel = channel(&format!("http://{addr}")).unwrap();
    let overall = HealthCheckRequest::default();
    let watched = HealthClient::new(channel.clone()).watch(overall).await;
    let mut watched = watched.unwrap().into_inner();
    let mut told = async || {
        let told = watched.message().await.unwrap();
        told.map(|told| told.status())
    };
    assert_eq!(told().await, Some(ServingStatus::Serving));
    let secret = development_secret(folder.path(), "suite_secret");
    let credential = Bearer::new(&secret.into()).unwrap();
    let mut client = LinkServiceClient::with_interceptor(channel, credential);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let stream = client.watch_events(WatchEventsRequest::default()).await;
        streams.push(stream.unwrap().into_inner());
    }

    running.tell_to_stop();
    assert_eq!(told().await, Some(ServingStatus::NotServing));
    for mut stream in streams {
        let status = loop {
            // Heartbeats may still come.
            if let Err(status) = stream.message().await {
                break status;
            }
        };
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!(
            (status.code(), reason.as_str()),
            (Code::Unavailable, "SHUTTING_DOWN")
        );
    }
    let ended = tokio::task::spawn_blocking(move || running.wait());
    let ended = tokio::time::timeout(DRAIN_LIMIT, ended).await;
    assert!(ended.expect("it ends in time").unwrap(), "it ends well");
}
