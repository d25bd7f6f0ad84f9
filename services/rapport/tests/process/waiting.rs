//! A service that lacks what it needs, at its start or later, waits for it, and says so.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use kit::{
    server::LIVENESS,
    testing::{TestNats, TestPostgres, TestS3},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{POSTGRES_URL, Process, Running, rapport, setting, wait_until};

const SESSIONS: &str = "rapport.identity.v1.SessionService";
const CHAT: &str = "rapport.chat.v1.ChatService";

async fn health(addr: &str, service: &str) -> Option<ServingStatus> {
    // A connection of its own each time: that of the waiting service ends with the wait.
    let channel = kit::server::channel(&format!("http://{addr}")).unwrap();
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    Some(answer.ok()?.into_inner().status())
}

async fn wait_until_it_serves(addr: &str, service: &str) {
    wait_until_it_is(addr, service, ServingStatus::Serving).await;
}

async fn wait_until_it_is(addr: &str, service: &str, expected: ServingStatus) {
    let look = || async {
        let status = health(addr, service).await;
        Ok((status == Some(expected)).then_some(()))
    };
    let what = format!("the service says {}", expected.as_str_name());
    wait_until(&what, look).await.unwrap();
}

/// Starts one service on a free port, and returns it with its address.
pub(crate) fn alone(
    service: &str,
    data_dir: &Path,
    variables: impl IntoIterator<Item = (&'static str, String)>,
) -> (Running, String) {
    let mut child = rapport()
        .arg(service)
        .arg("--data-dir")
        .arg(data_dir)
        .args([&format!("--{service}-addr"), "127.0.0.1:0"])
        .envs(variables)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let addr = line.split_whitespace().last().unwrap();
    (Running(child), addr.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_database_is_away_lives_and_becomes_ready_when_it_comes() {
    let server = setting(POSTGRES_URL);
    let (prefix, _) = server.rsplit_once('/').unwrap();
    let name = format!("waiting_{}", uuid::Uuid::new_v4().simple());
    let folder = tempfile::tempdir().unwrap();
    let url = ("RAPPORT_IDENTITY_DATABASE_URL", format!("{prefix}/{name}"));
    let (running, addr) = alone("identity", folder.path(), [url]);
    wait_until_it_serves(&addr, LIVENESS).await;
    for service in ["", SESSIONS] {
        let status = health(&addr, service).await;
        assert_eq!(status, Some(ServingStatus::NotServing), "{service:?}");
    }
    let psql = Path::new(&setting("RAPPORT_TEST_PG_BIN")).join("psql");
    let statement = format!("CREATE DATABASE {name}");
    let made = Command::new(psql)
        .args([&server, "--no-psqlrc", "--command", &statement])
        .status();
    assert!(made.unwrap().success());
    wait_until_it_serves(&addr, SESSIONS).await;
    assert!(running.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_broker_is_away_becomes_ready_when_it_comes() {
    let mut nats = TestNats::start().await;
    nats.kill();
    let folder = tempfile::tempdir().unwrap();
    let url = ("RAPPORT_EVENTS_URL", nats.url().to_owned());
    let (running, addr) = alone("chat", folder.path(), [url]);
    wait_until_it_serves(&addr, LIVENESS).await;
    assert_eq!(health(&addr, "").await, Some(ServingStatus::NotServing));
    nats.restart().await;
    wait_until_it_serves(&addr, CHAT).await;
    assert!(running.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_whose_bucket_is_away_becomes_ready_when_it_comes() {
    let mut s3 = TestS3::start().await;
    s3.kill();
    let folder = tempfile::tempdir().unwrap();
    let url = ("RAPPORT_IMAGES_URL", TestS3::IMAGES_URL.to_owned());
    let variables = s3.variables().into_iter().chain([url]);
    let (running, addr) = alone("chat", folder.path(), variables);
    wait_until_it_serves(&addr, LIVENESS).await;
    assert_eq!(health(&addr, "").await, Some(ServingStatus::NotServing));
    s3.restart().await;
    wait_until_it_serves(&addr, CHAT).await;
    assert!(running.terminate());
}

/// Who cannot be told of what is revoked may trust nobody; identity, which knows, goes on.
#[tokio::test(flavor = "multi_thread")]
async fn who_depends_on_events_is_ready_only_while_they_come() {
    let mut nats = TestNats::start().await;
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("RAPPORT_EVENTS_URL", nats.url()),
        ("RAPPORT_IDENTITY_SILENCE_LIMIT_SECONDS", "3"),
    ];
    let process = Process::start_with(folder.path(), &variables);
    let [identity, chat, attribution] = process.addrs.map(|(_, addr)| addr.to_string());
    for addr in [&identity, &chat, &attribution] {
        wait_until_it_is(addr, "", ServingStatus::Serving).await;
    }
    nats.kill();
    for addr in [&chat, &attribution] {
        wait_until_it_is(addr, "", ServingStatus::NotServing).await;
        let status = health(addr, LIVENESS).await;
        assert_eq!(status, Some(ServingStatus::Serving));
    }
    let status = health(&identity, "").await;
    assert_eq!(status, Some(ServingStatus::Serving));
    nats.restart().await;
    for addr in [&chat, &attribution] {
        wait_until_it_is(addr, "", ServingStatus::Serving).await;
    }
    assert!(process.terminate());
}

/// A database that goes away and comes back takes readiness with it, and no process: each lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_only_while_its_database_answers() {
    let mut postgres = TestPostgres::start(&[]).await;
    let urls = ["identity", "chat", "attribution"].map(|name| postgres.create_database(name));
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("RAPPORT_IDENTITY_DATABASE_URL", urls[0].as_str()),
        ("RAPPORT_CHAT_DATABASE_URL", &urls[1]),
        ("RAPPORT_ATTRIBUTION_DATABASE_URL", &urls[2]),
    ];
    let process = Process::start_with(folder.path(), &variables);
    let addrs = process.addrs.map(|(_, addr)| addr.to_string());
    for addr in &addrs {
        wait_until_it_is(addr, "", ServingStatus::Serving).await;
    }
    postgres.kill();
    for addr in &addrs {
        wait_until_it_is(addr, "", ServingStatus::NotServing).await;
        let status = health(addr, LIVENESS).await;
        assert_eq!(status, Some(ServingStatus::Serving));
    }
    postgres.restart().await;
    for addr in &addrs {
        wait_until_it_is(addr, "", ServingStatus::Serving).await;
    }
    assert!(process.terminate());
}
