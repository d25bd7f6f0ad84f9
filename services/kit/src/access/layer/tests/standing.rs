//! A caller is served as long as his token, his session and his Brand are good, and not longer: also on
//! a stream that began before (SPEC 59).

use std::{convert::Infallible, pin::Pin};

use http_body::{Body as _, Frame};
use rapport_proto::{
    event::v1::{
        BrandChanged, BrandState, SessionsRevoked, event::Payload, sessions_revoked::Subject,
    },
    identity::v1::{WatchEventsRequest, WatchEventsResponse},
};
use tonic::{Streaming, codegen::Bytes};
use tower::ServiceExt;

use super::*;

const UPLOAD: &str = "/rapport.chat.v1.ChatService/UploadImage";
const WATCH: &str = "/rapport.identity.v1.LinkService/WatchEvents";

impl Suite {
    /// Opens a stream that says nothing by itself.
    async fn watch(&self, authorization: &str) -> Result<Streaming<WatchEventsResponse>, Status> {
        let request = with_authorization(WatchEventsRequest::default(), authorization);
        let mut client = LinkServiceClient::new(self.running.channel());
        Ok(client.watch_events(request).await?.into_inner())
    }

    /// Returns a layer that knows what the suite does, and no socket around it.
    fn layer(&self) -> AccessLayer {
        let keys = KeySet::default();
        keys.replace(&[self.issuer.public("one")]);
        let tokens = TokenVerifier::new(keys, None, self.revocations.clone(), self.clock.clone());
        AccessLayer::new(DOMAIN, tokens, None, SUITE_SECRET.into(), Limits::default())
    }

    fn revoke(&self, claims: &Claims) {
        let mut event = testing::event(&claims.brand, "");
        event.payload = Some(Payload::SessionsRevoked(SessionsRevoked {
            subject: Some(Subject::ApiKeyId(claims.sub.to_string())),
            minimum_epoch: claims.epoch + 1,
            ..Default::default()
        }));
        self.revocations.observe(&[event]);
    }

    fn tell_state(&self, revision: i64, state: BrandState) {
        let mut event = testing::event("shop", "");
        event.payload = Some(Payload::BrandChanged(BrandChanged {
            revision,
            state: state.into(),
            ..Default::default()
        }));
        self.revocations.observe(&[event]);
    }
}

fn reader() -> Claims {
    service(&[Scope::EventsRead, Scope::LinksRead])
}

fn call(path: &str, token: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, token.parse().unwrap());
    request
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_says_so() {
    let suite = Suite::start().await;
    let mut stream = suite
        .watch(&bearer_of(&suite.token(&reader())))
        .await
        .unwrap();
    suite.clock.advance(TimeDelta::seconds(600));
    check(
        stream.message().await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_and_others_go_on() {
    let suite = Suite::start().await;
    let other = Claims {
        sub: Uuid::from_u128(7),
        ..reader()
    };
    let open = async |claims| suite.watch(&bearer_of(&suite.token(claims))).await.unwrap();
    let (mut stream, mut other_stream) = (open(&reader()).await, open(&other).await);
    suite.revoke(&reader());
    check(
        stream.message().await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
    suite.revoke(&other);
    check(
        other_stream.message().await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

#[tokio::test]
async fn a_stream_ends_when_identity_has_been_silent_for_too_long() {
    let limit = Some(Duration::from_secs(1));
    let suite = Suite::start_with(limit, &LimitConfig::default()).await;
    suite.revocations.observe(&[]);
    let mut stream = suite
        .watch(&bearer_of(&suite.token(&reader())))
        .await
        .unwrap();
    check(
        stream.message().await,
        Code::Unavailable,
        "IDENTITY_UNAVAILABLE",
    );
}

#[tokio::test]
async fn a_suspended_brand_is_refused_on_calls_and_streams_until_it_is_resumed() {
    let suite = Suite::start().await;
    let (own, elsewhere) = (
        reader(),
        Claims {
            brand: "other".to_owned(),
            ..reader()
        },
    );
    let (own, elsewhere) = (
        bearer_of(&suite.token(&own)),
        bearer_of(&suite.token(&elsewhere)),
    );
    let mut stream = suite.watch(&own).await.unwrap();
    suite.tell_state(2, BrandState::Suspended);
    suite.tell_state(1, BrandState::Active);
    check(
        stream.message().await,
        Code::FailedPrecondition,
        "BRAND_SUSPENDED",
    );
    check(
        suite.get_link(&own, "").await,
        Code::FailedPrecondition,
        "BRAND_SUSPENDED",
    );
    for kind in ["TEMPORARY", "CLIENT", "MEMBER"] {
        let token = bearer_of(&suite.token(&claims(kind)));
        check(
            suite.end_session(&token).await,
            Code::FailedPrecondition,
            "BRAND_SUSPENDED",
        );
    }
    suite.get_link(&elsewhere, "").await.unwrap();
    suite.watch(&bearer_of(SUITE_SECRET)).await.unwrap();
    suite.tell_state(3, BrandState::Active);
    suite.get_link(&own, "").await.unwrap();
}

#[tokio::test]
async fn a_stream_that_always_has_something_to_say_ends_too() {
    /// Sends without end and without pause.
    struct Chatter;

    impl http_body::Body for Chatter {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
        }
    }

    let suite = Suite::start().await;
    let chatter = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::new(Chatter)))
    });
    let request = call(WATCH, &bearer_of(&suite.token(&reader())));
    let response = suite.layer().layer(chatter).oneshot(request).await.unwrap();
    suite.revoke(&reader());
    let mut body = response.into_body();
    let trailers = loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        if let Ok(trailers) = frame.unwrap().unwrap().into_trailers() {
            break trailers;
        }
        tokio::task::yield_now().await;
    };
    let status = Status::from_header_map(&trailers).unwrap();
    check(
        Err::<(), _>(status),
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn an_upload_that_outlives_its_session_is_broken_off() {
    let suite = Arc::new(Suite::start().await);
    let request = call(UPLOAD, &bearer_of(&suite.token(&claims("CLIENT"))));
    let uploading = {
        let suite = Arc::clone(&suite);
        tower::service_fn(move |_: Request<Body>| {
            suite.revoke(&claims("CLIENT"));
            std::future::pending::<Result<Response<Body>, Infallible>>()
        })
    };
    let response = suite.layer().layer(uploading).oneshot(request).await;
    let status = Status::from_header_map(response.unwrap().headers()).unwrap();
    check(
        Err::<(), _>(status),
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

#[tokio::test]
async fn a_call_that_ends_its_own_session_is_answered() {
    let suite = Arc::new(Suite::start().await);
    let client = claims("CLIENT");
    let request = call(
        "/rapport.identity.v1.SessionService/EndSession",
        &bearer_of(&suite.token(&client)),
    );
    let ending = {
        let suite = Arc::clone(&suite);
        tower::service_fn(move |_: Request<Body>| {
            suite.revoke(&claims("CLIENT"));
            async {
                // Longer than a stream would last.
                tokio::time::sleep(Duration::from_millis(500)).await;
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        })
    };
    let response = suite.layer().layer(ending).oneshot(request).await.unwrap();
    assert!(Status::from_header_map(response.headers()).is_none());
}
