//! How long a caller waits is told to the services that are asked for him.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rapport::client::{Channels, shop::Shop};
use rapport_proto::identity::v1::ExportAccountRequest;
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Status,
    service::{InterceptorLayer, Routes},
    transport::{Server, server::TcpIncoming},
};

use super::{operator_token, waiting::alone};

/// A service that refuses all calls, and keeps how long their callers wait.
async fn refusing(waits: &Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let waits = Arc::clone(waits);
    let refuse = move |request: Request<()>| {
        if let Some(wait) = request.metadata().get("grpc-timeout") {
            waits
                .lock()
                .unwrap()
                .push(wait.to_str().unwrap().to_owned());
        }
        Err(Status::unavailable("it refuses all"))
    };
    let serving = Server::builder()
        .layer(InterceptorLayer::new(refuse))
        .add_routes(Routes::default())
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(serving);
    addr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_deadline_goes_along_with_the_calls_that_are_made_for_him() {
    let waits = Arc::default();
    let chat = refusing(&waits).await;
    let folder = tempfile::tempdir().unwrap();
    let peer = |name, addr: &dyn ToString| (name, addr.to_string());
    let of_chat = peer("RAPPORT_CHAT_ADDR", &chat);
    let (identity, identity_addr) = alone("identity", folder.path(), [of_chat.clone()]);
    let of_identity = peer("RAPPORT_IDENTITY_ADDR", &identity_addr);
    let peers = [of_identity, of_chat];
    let (attribution, attribution_addr) = alone("attribution", folder.path(), peers);
    let [identity_addr, attribution_addr] =
        [identity_addr, attribution_addr].map(|addr| addr.parse().unwrap());
    let channels = Channels::new(identity_addr, chat, attribution_addr).unwrap();
    let token = operator_token(folder.path());
    let shop = Shop::open(&channels, &token, "shop").await.unwrap();
    let visitor = shop.welcome("Ann", None).await.unwrap();
    assert_eq!(waits.lock().unwrap().len(), 0, "nobody has a deadline yet");

    let mut request = Request::new(ExportAccountRequest {
        account_id: visitor.account.account_id,
    });
    request.set_timeout(Duration::from_secs(60));
    let mut accounts = shop.service.accounts.clone();
    let answer = accounts.export_account(request).await.unwrap();
    let mut parts = answer.into_inner();
    let status = loop {
        match parts.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("without chat it is not whole"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let waits = waits.lock().unwrap().clone();
    let [wait] = &waits[..] else {
        panic!("chat was asked once for somebody: {waits:?}");
    };
    let wait_us: u64 = wait.strip_suffix('u').unwrap().parse().unwrap();
    assert!((1..=60_000_000).contains(&wait_us), "{wait}");
    assert!(attribution.terminate());
    assert!(identity.terminate());
}
