//! Connections as a client sees them that speaks HTTP/2 by hand.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use rapport_proto::identity::v1::{GetKeySetRequest, session_service_client::SessionServiceClient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A connection that has said hello, and reads frames.
struct RawClient(TcpStream);

impl RawClient {
    async fn connect(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stream.write_all(hello).await.unwrap();
        Self(stream)
    }

    /// Returns type and payload of the next frame; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], payload))
    }

    /// Begins a call whose message it never sends.
    async fn begin_call(&mut self, stream_id: u32, path: &str) {
        // HPACK (RFC 7541): POST and http from the static table, the rest as literals that are not indexed.
        let mut block = vec![0x83, 0x86];
        for (name, value) in [
            (&b"\x04"[..], path),
            (&b"\x01"[..], "stub"),
            (&b"\x0f\x10"[..], "application/grpc"),
            (&b"\0\x02te"[..], "trailers"),
        ] {
            block.extend(name);
            block.push(u8::try_from(value.len()).unwrap());
            block.extend(value.as_bytes());
        }
        const END_HEADERS: u8 = 4;
        let mut frame = u32::try_from(block.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([HEADERS, END_HEADERS]);
        frame.extend(stream_id.to_be_bytes());
        frame.extend(block);
        self.0.write_all(&frame).await.unwrap();
    }

    async fn frame_of(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (found, payload) = self.frame().await.expect("the connection goes on");
            if found == kind && !payload.is_empty() {
                return payload;
            }
        }
    }
}

/// Runs a stub whose connections are held to `limits`.
async fn run(limits: ConnectionArgs) -> (SocketAddr, CancellationToken) {
    let (server, lifetime) = bind().await;
    let addr = server.local_addr();
    let server = server
        .with_connections(limits)
        .with_drain_limit(Duration::from_secs(1));
    tokio::spawn(server.run_until(std::future::pending()));
    (addr, lifetime.shutdown)
}

fn aged(age_seconds: u64) -> ConnectionArgs {
    ConnectionArgs {
        age_seconds,
        ..Default::default()
    }
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_not_cut() {
    let (addr, _) = run(aged(1)).await;
    let begin = Instant::now();
    let mut client = RawClient::connect(addr).await;
    let goaway = client.frame_of(GOAWAY).await;
    assert!(
        begin.elapsed() >= Duration::from_millis(900),
        "gRFC A9: less a tenth"
    );
    // Calls that are under way by then are answered: no stream is too late yet.
    assert_eq!(goaway[..4], 0x7fff_ffff_u32.to_be_bytes());
    assert_eq!(goaway[4..8], [0; 4], "NO_ERROR");
}

#[tokio::test]
async fn no_call_fails_while_connections_come_and_go() {
    let (addr, _) = run(aged(1)).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let connect = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { TcpStream::connect(addr).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://stub").connect_with_connector_lazy(connect);
    let calls = join_all((0..4).map(|_| {
        let mut client = HealthClient::new(channel.clone());
        let connections = Arc::clone(&connections);
        async move {
            let mut count = 0;
            while count < 250 || connections.load(Ordering::SeqCst) <= 5 {
                client.check(health_request()).await.unwrap();
                count += 1;
            }
            count
        }
    }));
    let count: usize = calls.await.into_iter().sum();
    assert!(count >= 1_000, "{count}");
}

#[tokio::test]
async fn streams_of_an_old_connection_end_so_that_they_can_be_resumed() {
    let (addr, _) = run(aged(1)).await;
    let mut stream = watch_for_ever(channel(&format!("http://{addr}")).unwrap()).await;
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let (addr, _) = run(ConnectionArgs {
        count: 1,
        ..Default::default()
    })
    .await;
    let mut first = RawClient::connect(addr).await;
    first.frame_of(SETTINGS).await;
    let mut second = RawClient::connect(addr).await;
    assert_eq!(second.frame().await, None);
    drop(first);
    // Once it is gone there is room for another.
    testing::wait_until(Duration::from_secs(10), async || {
        RawClient::connect(addr).await.frame().await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_client_is_told_what_a_connection_may_hold() {
    let (addr, _) = run(ConnectionArgs::default()).await;
    let settings = RawClient::connect(addr).await.frame_of(SETTINGS).await;
    let told: Vec<(u16, u32)> = settings
        .chunks_exact(6)
        .map(|setting| {
            let id = u16::from_be_bytes(setting[..2].try_into().unwrap());
            (id, u32::from_be_bytes(setting[2..].try_into().unwrap()))
        })
        .collect();
    assert!(told.contains(&(3, 1_000)), "streams: {told:?}");
    assert!(told.contains(&(6, 16 * 1024)), "header list: {told:?}");
}

#[tokio::test]
async fn one_call_too_many_of_a_connection_is_refused_and_the_others_go_on() {
    const REFUSED_STREAM: u32 = 7;
    let (addr, _) = run(ConnectionArgs::default()).await;
    let mut client = RawClient::connect(addr).await;
    client.frame_of(SETTINGS).await;
    // It has taken note of the limits, which it keeps to no more than to anything else.
    client.0.write_all(b"\0\0\0\x04\x01\0\0\0\0").await.unwrap();
    for number in 0..=1_000 {
        let path = "/rapport.identity.v1.SessionService/GetKeySet";
        client.begin_call(2 * number + 1, path).await;
    }
    let code = client.frame_of(RST_STREAM).await;
    assert_eq!(code, REFUSED_STREAM.to_be_bytes());
    // Those that it has begun are answered: one whose message comes now.
    let message = b"\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0";
    client.0.write_all(message).await.unwrap();
    client.frame_of(HEADERS).await;
}

#[tokio::test]
async fn headers_that_are_too_long_cost_their_call_alone() {
    let (addr, _) = run(ConnectionArgs::default()).await;
    let mut client = SessionServiceClient::new(channel(&format!("http://{addr}")).unwrap());
    let mut long = tonic::Request::new(GetKeySetRequest {});
    let value = "x".repeat(20 * 1024).parse().unwrap();
    long.metadata_mut().insert("x-long", value);
    client.get_key_set(long).await.unwrap_err();
    client.get_key_set(GetKeySetRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_cut() {
    let (addr, _) = run(ConnectionArgs::default()).await;
    let mut client = RawClient::connect(addr).await;
    client.frame_of(SETTINGS).await;
    // From here on time passes by itself while everybody waits.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    client.frame_of(PING).await;
    while client.frame().await.is_some() {}
    assert!(begin.elapsed() <= 3 * KEEPALIVE, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_listen_is_cut_at_the_limit() {
    let (server, _) = bind().await;
    let addr = server.local_addr();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(
        server
            .with_drain_limit(Duration::from_millis(500))
            .run_until(stop.clone().cancelled_owned()),
    );
    let mut client = RawClient::connect(addr).await;
    client.frame_of(SETTINGS).await;
    stop.cancel();
    // It never answers the ping with which the server asks whether the end has arrived.
    serving.await.unwrap().unwrap();
    while client.frame().await.is_some() {}
}
