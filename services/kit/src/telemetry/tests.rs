//! What is measured of calls that end in every way.

use std::time::Duration;

use prometheus::proto::Metric;
use rapport_proto::identity::v1::{
    EndSessionRequest, GetKeySetRequest, SignInRequest, WatchEventsRequest,
    link_service_client::LinkServiceClient, session_service_client::SessionServiceClient,
};
use secrecy::SecretString;
use tonic::codegen::{InterceptedService, http::uri::PathAndQuery};

use super::*;
use crate::{
    access::{Bearer, KeySet, Revocations, TokenVerifier},
    clock::Clock,
    testing::{
        self, TestEngine,
        stub::{RunningStub, SUITE_SECRET, Stub, anywhere},
        wait_until,
    },
};

async fn run_stub() -> RunningStub {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let revocations = Revocations::load(&db, None).await.unwrap();
    let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
    Stub::default().run(anywhere(), tokens).await
}

/// Has the instruments of this process measure, which a test must ask for before it uses one.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new();
    meter_provider(&resource("test"), Some(&registry), None).unwrap();
    registry
}

/// Returns the sample of a metric that has these labels among its own.
pub(crate) fn sample(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> Option<Metric> {
    let families = registry.gather();
    let samples = families
        .iter()
        .filter(|family| family.name() == name)
        .flat_map(|family| family.get_metric());
    let mut found = samples.filter(|sample| {
        labels
            .iter()
            .all(|(name, value)| label(sample, name) == Some(*value))
    });
    found.next().cloned()
}

fn label<'a>(sample: &'a Metric, name: &str) -> Option<&'a str> {
    let mut labels = sample.get_label().iter();
    Some(labels.find(|label| label.name() == name)?.value())
}

/// Returns how many calls of a method have ended so, and what they are blamed for.
fn calls(registry: &Registry, method: &str, code: &str) -> (u64, Option<String>) {
    let labels = [("rpc_method", method), ("rpc_response_status_code", code)];
    let sample = sample(registry, "rpc_server_call_duration_seconds", &labels);
    sample.map_or((0, None), |sample| {
        let blame = label(&sample, "error_type").map(str::to_owned);
        (sample.get_histogram().get_sample_count(), blame)
    })
}

#[tokio::test]
async fn each_call_is_measured_once_however_it_ends() {
    let registry = registry();
    let stub = run_stub().await;
    let mut sessions = SessionServiceClient::new(stub.channel());
    for _ in 0..3 {
        sessions.get_key_set(GetKeySetRequest {}).await.unwrap();
    }
    sessions
        .sign_in(SignInRequest::default())
        .await
        .unwrap_err();
    sessions
        .end_session(EndSessionRequest::default())
        .await
        .unwrap_err();
    let mut unknown = tonic::client::Grpc::new(stub.channel());
    for path in ["/a.v1.Stranger/Text", "/another.v1.Stranger/Text"] {
        unknown.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetKeySetRequest, GetKeySetRequest>::default();
        let request = tonic::Request::new(GetKeySetRequest {});
        let path = PathAndQuery::from_static(path);
        unknown.unary(request, path, codec).await.unwrap_err();
    }
    let credential = Bearer::new(&SecretString::from(SUITE_SECRET)).unwrap();
    let mut links =
        LinkServiceClient::new(InterceptedService::new(stub.channel(), credential.clone()));
    let stream = links.watch_events(WatchEventsRequest::default()).await;
    let watch = "rapport.identity.v1.LinkService/WatchEvents";
    assert_eq!(calls(&registry, watch, "CANCELLED").0, 0, "it goes on");
    drop(stream);

    let session = |method: &str| format!("rapport.identity.v1.SessionService/{method}");
    let count = |method: &str, code: &str| calls(&registry, method, code);
    assert_eq!(count(&session("GetKeySet"), "OK"), (3, None));
    let blamed = |count, code: &str| (count, Some(code.to_owned()));
    assert_eq!(count(&session("SignIn"), "INTERNAL"), blamed(1, "INTERNAL"));
    let refused = count(&session("EndSession"), "UNAUTHENTICATED");
    assert_eq!(refused, (1, None));
    // However many paths a stranger makes up, they are one.
    assert_eq!(count("_OTHER", "UNIMPLEMENTED"), blamed(2, "UNIMPLEMENTED"));
    let patience = Duration::from_secs(10);
    wait_until(patience, async || count(watch, "CANCELLED") == (1, None)).await;
    stub.stop().await;
}
