//! The service as it starts: before its peers are there, and under a stop.

use std::time::Duration;

use kit::{
    clock::Clock,
    config::{ImagesUrl, Peers, Secrets, ServiceConfig},
    limit::LimitConfig,
    server::{Listen, channel},
    testing::{TestDatabase, TestEngine},
};
use rapport_proto::attribution::v1::{GetOrderRequest, order_service_client::OrderServiceClient};
use tokio::sync::oneshot;
use tonic::Code;
use tonic_types::StatusExt;

use crate::Service;

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_its_peers_and_lets_nobody_in_unknown() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let nobody = "http://127.0.0.1:1".to_owned();
    let config = ServiceConfig {
        listen: Listen::anywhere(),
        health: None,
        tls: None,
        database: database.url.clone(),
        images: ImagesUrl::Memory,
        broker: None,
        peers: Peers {
            identity: nobody.clone(),
            chat: nobody.clone(),
            attribution: nobody,
        },
        secrets: Secrets::random(),
        clock: Clock::system(),
        identity_silence_limit: Duration::from_secs(30),
        limits: LimitConfig::default(),
        connections: Default::default(),
        allow_private_key_addresses: false,
        signing_key_lifetime: kit::config::DEFAULT_SIGNING_KEY_LIFETIME,
    };
    let server = Service::build(config).await.unwrap();
    let uri = format!("http://{}", server.local_addr());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run_until(async {
        let _ = stopped.await;
    }));
    let mut client = OrderServiceClient::new(channel(&uri).unwrap());
    let refused = client.get_order(GetOrderRequest::default()).await;
    let status = refused.unwrap_err();
    let reason = status.get_details_error_info().unwrap().reason;
    assert_eq!(
        (status.code(), reason.as_str()),
        (Code::Unauthenticated, "UNAUTHENTICATED")
    );
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
