//! Answers that the gRPC library would make by itself have a reason too (convention 14).

use std::convert::Infallible;

use rapport_proto::identity::v1::{
    GetKeySetRequest, GetKeySetResponse, RevokeLinkRequest, SignInRequest, WatchEventsRequest,
};
use tonic::codegen::http::uri::PathAndQuery;
use tower::ServiceExt;

use super::*;

async fn call_path(suite: &Suite, path: &'static str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(suite.running.channel());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GetKeySetRequest, GetKeySetResponse>::default();
    let path = PathAndQuery::from_static(path);
    let request = tonic::Request::new(GetKeySetRequest {});
    client.unary(request, path, codec).await.map(|_| ())
}

#[tokio::test]
async fn a_method_that_the_contract_does_not_know_is_unimplemented() {
    let suite = Suite::start().await;
    for path in [
        "/rapport.identity.v1.SessionService/Nothing",
        "/rapport.identity.v1.SessionService/GetKeySet/",
        "/rapport.identity.v1.SessionService//GetKeySet",
        "//rapport.identity.v1.SessionService/GetKeySet",
        "/rapport.identity.v1.SessionService/%47etKeySet",
        "/rapport.identity.v1.sessionservice/GetKeySet",
        "/nothing.v1.Nothing/Nothing",
        "/",
    ] {
        check(
            call_path(&suite, path).await,
            Code::Unimplemented,
            "UNIMPLEMENTED",
        );
    }
    call_path(&suite, "/rapport.identity.v1.SessionService/GetKeySet?x=1")
        .await
        .unwrap();
    // In the contract, open to all, and not served here.
    let elsewhere = "/rapport.chat.v1.ChatService/ListChatrooms";
    check(
        call_path(&suite, elsewhere).await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

#[tokio::test]
async fn a_message_of_5_mib_is_too_large() {
    let suite = Suite::start().await;
    let request = RevokeLinkRequest {
        reason: "x".repeat(5 * 1024 * 1024),
        ..Default::default()
    };
    let token = bearer_of(&suite.token(&service(&[Scope::LinksWrite])));
    let mut client = LinkServiceClient::new(suite.running.channel());
    let answer = client
        .revoke_link(with_authorization(request, &token))
        .await;
    check(answer, Code::ResourceExhausted, "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn what_a_library_said_stays_inside() {
    let suite = Suite::start().await;
    let mut client = SessionServiceClient::new(suite.running.channel());
    let status = client.sign_in(SignInRequest::default()).await.unwrap_err();
    assert!(!status.message().contains("library"), "{status:?}");
    check(Err::<(), _>(status), Code::Internal, "INTERNAL");
}

#[tokio::test]
async fn a_method_that_panics_is_an_internal_error_of_its_call_alone() {
    let suite = Suite::start().await;
    let token = bearer_of(&suite.token(&service(&[Scope::LinksRead])));
    let (panicked, other) = tokio::join!(
        suite.get_link(&token, "panic"),
        suite.get_link(&token, "fine")
    );
    check(panicked, Code::Internal, "INTERNAL");
    other.unwrap();
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_service_is_told_as_such() {
    // Not as CANCELLED, which is what the gRPC library says at the same moment.
    let suite = Suite::start().await;
    let revocations = Revocations::load(&suite.db, None).await.unwrap();
    let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
    let layer = AccessLayer::new(DOMAIN, tokens, None, SUITE_SECRET.into(), Limits::default());
    let never = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = "/rapport.identity.v1.SessionService/GetKeySet"
        .parse()
        .unwrap();
    request
        .headers_mut()
        .insert("grpc-timeout", "50m".parse().unwrap());
    let response = layer.layer(never).oneshot(request).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    check(
        Err::<(), _>(status),
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
    );
}

#[tokio::test]
async fn a_deadline_holds_for_a_stream_too() {
    let suite = Suite::start().await;
    let mut request = with_authorization(WatchEventsRequest::default(), &bearer_of(SUITE_SECRET));
    request.set_timeout(Duration::from_millis(300));
    // The client itself waits for the beginning alone, and the stub's stream never ends.
    let mut client = LinkServiceClient::new(suite.running.channel());
    let mut stream = client.watch_events(request).await.unwrap().into_inner();
    check(
        stream.message().await,
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
    );
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let suite = Suite::start().await;
    let mut request = tonic::Request::new(GetKeySetRequest {});
    request
        .metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let mut client = SessionServiceClient::new(suite.running.channel());
    let answer = client.get_key_set(request).await;
    check(answer, Code::InvalidArgument, "FIELD_INVALID");
}

#[tokio::test]
async fn the_smaller_deadline_goes_on_with_a_call_that_is_made_for_somebody() {
    let mut credential = crate::access::Bearer::new(&SUITE_SECRET.into()).unwrap();
    let mut told = |own: Option<Duration>| {
        let mut request = tonic::Request::new(());
        if let Some(own) = own {
            request.set_timeout(own);
        }
        let request = tonic::service::Interceptor::call(&mut credential, request).unwrap();
        deadline::of(&request)
    };
    let (short, caller, long) = (
        Duration::from_secs(1),
        Duration::from_secs(60),
        Duration::from_secs(3_600),
    );
    assert_eq!(told(None), None);
    assert_eq!(told(Some(long)), Some(long));
    let within = deadline::within(Instant::now() + caller, async {
        assert_eq!(told(Some(short)), Some(short));
        assert!(told(None).unwrap() <= caller);
        assert!(told(Some(long)).unwrap() <= caller);
    });
    within.await.unwrap();
}
