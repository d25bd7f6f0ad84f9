//! Calls of a client that speaks HTTP/2 and holds itself to nothing: no deadline, no limit, no manners.

use std::{future::poll_fn, pin::Pin};

use http_body::Body as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::{
    Status,
    body::Body,
    codegen::http::{HeaderMap, Request, header::AUTHORIZATION},
};

use super::*;

const WATCH: &str = "/rapport.identity.v1.LinkService/WatchEvents";
const RESOLVE: &str = "/rapport.identity.v1.LinkService/ResolvePerson";
/// An empty message.
const EMPTY: &str = "\0\0\0\0\0";

/// Calls as the suite, with one header more, and returns how the service ended that.
async fn call(path: &str, header: (&str, &str), message: &str) -> Status {
    let (server, lifetime) = bind().await;
    let addr = server.local_addr();
    let serving = tokio::spawn(server.run_until(std::future::pending()));
    let stream = TcpStream::connect(addr).await.unwrap();
    let connection = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = connection.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://stub{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(AUTHORIZATION, format!("Bearer {SUITE_SECRET}"))
        .header(header.0, header.1)
        .body(Body::new(message.to_owned()));
    let response = sender.send_request(request.unwrap()).await.unwrap();
    let (head, mut body) = response.into_parts();
    let mut end = head.headers;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(trailers) = frame.unwrap().into_trailers() {
            end = trailers;
        }
    }
    lifetime.shutdown.cancel();
    serving.await.unwrap().unwrap();
    status(&end)
}

fn status(headers: &HeaderMap) -> Status {
    Status::from_header_map(headers).expect("the service said how it ended")
}

#[tokio::test]
async fn a_deadline_is_the_services_to_keep() {
    let status = call(WATCH, ("grpc-timeout", "50m"), EMPTY).await;
    let reason = status.get_details_error_info().unwrap().reason;
    assert_eq!(
        (status.code(), reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked() {
    // No bomb goes off where nothing is unpacked.
    let bomb = "\u{1}\0\0\0\u{4}bomb";
    let status = call(RESOLVE, ("grpc-encoding", "gzip"), bomb).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

#[tokio::test]
async fn a_message_that_says_it_is_too_long_is_not_waited_for() {
    let announced = "\0\u{7f}\0\0\0";
    let status = call(RESOLVE, ("x-nothing", "more"), announced).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
}
