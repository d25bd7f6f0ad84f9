//! Brokers that a service does not start with.

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::config::BrokerConfig;

async fn refusal(config: &BrokerConfig) -> BrokerError {
    let opened = Broker::open(Some(config), "chat").await;
    opened.err().expect("the broker is refused")
}

#[tokio::test]
async fn a_server_that_acknowledges_before_it_writes_is_refused() {
    let nats = TestNats::start_careless().await;
    let error = refusal(&nats.config()).await;
    assert!(matches!(error, BrokerError::NotDurable { .. }), "{error:?}");
    let trusting = BrokerConfig {
        monitors: Vec::new(),
        ..nats.config()
    };
    let opened = Broker::open(Some(&trusting), "chat").await.unwrap();
    assert!(opened.is_some(), "outside of production nobody need ask");
}

#[tokio::test]
async fn a_server_whose_monitoring_is_another_ones_or_nobodys_is_refused() {
    let (nats, other) = (TestNats::start().await, TestNats::start().await);
    let monitored_at = |monitors| BrokerConfig {
        monitors,
        ..nats.config()
    };
    let error = refusal(&monitored_at(other.config().monitors)).await;
    assert!(matches!(error, BrokerError::NotMonitored), "{error:?}");
    let nobody = "127.0.0.1:1".to_owned();
    let error = refusal(&monitored_at(vec![nobody.clone()])).await;
    assert!(matches!(error, BrokerError::Monitor { .. }), "{error:?}");
    let own = nats.config().monitors.remove(0);
    let one_away = monitored_at(vec![nobody, own]);
    let opened = Broker::open(Some(&one_away), "chat").await.unwrap();
    assert!(
        opened.is_some(),
        "another server of the cluster may be away"
    );
}

#[tokio::test]
async fn a_server_of_before_2_12_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let old = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let hello = b"INFO {\"server_id\":\"OLD\",\"version\":\"2.11.11\",\"max_payload\":1048576}\r\nPONG\r\n";
        connection.write_all(hello).await.unwrap();
        connection
    });
    let config = BrokerConfig {
        url: format!("nats://127.0.0.1:{port}").parse().unwrap(),
        tls: None,
        replica_count: 1,
        monitors: Vec::new(),
    };
    let error = refusal(&config).await;
    assert!(
        matches!(&error, BrokerError::TooOld { version } if version == "2.11.11"),
        "{error:?}"
    );
    old.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_somebody_made_otherwise_is_refused() {
    let nats = TestNats::start().await;
    let broker = Broker::open(Some(&nats.config()), "chat").await;
    let broker = broker.unwrap().unwrap();
    let forgetful = jetstream::stream::Config {
        name: "rapport_identity".to_owned(),
        subjects: vec!["rapport.events.identity".to_owned()],
        max_age: Duration::from_secs(3_600),
        storage: jetstream::stream::StorageType::Memory,
        ..Default::default()
    };
    broker.jetstream.create_stream(forgetful).await.unwrap();
    let Err(error) = broker.reader(ServiceName::Identity).await else {
        panic!("the stream is refused");
    };
    assert!(
        matches!(&error, BrokerError::Stream { settings, .. } if settings == "storage, max_age"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_commit_wakes_those_who_read_in_another_replica() {
    let nats = TestNats::start().await;
    let database = TestDatabase::create(TestEngine::Postgres).await;
    let lifetime = Lifetime::default();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let db = database.open(testing::migrations()).await;
        let broker = Broker::open(Some(&nats.config()), "chat").await.unwrap();
        broker.unwrap().share_commits(&db, &lifetime);
        replicas.push(db);
    }
    let mut heard = replicas[1].commits();
    heard.mark_unchanged();
    // The other may not have subscribed yet, so what it missed is told again.
    wait_until(LONG, async || {
        append_members(&replicas[0], 0..1).await;
        heard.has_changed().unwrap()
    })
    .await;
    lifetime.shutdown.cancel();
    lifetime.tasks.close();
    lifetime.tasks.wait().await;
}
