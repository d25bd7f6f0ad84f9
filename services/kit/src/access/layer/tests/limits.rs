//! Anonymous callers are held to the address's limit before anything else is done (SPEC 59), and all callers to
//! what the service carries out at once.

use std::sync::atomic::Ordering;

use rapport_proto::identity::v1::{GetKeySetRequest, GetKeySetResponse, RefreshSessionRequest};
use tonic::codegen::http::uri::PathAndQuery;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;

async fn limited(trusted_proxies: &[&str]) -> Suite {
    let config = LimitConfig {
        address_per_minute: 2,
        trusted_proxies: trusted_proxies
            .iter()
            .map(|network| network.parse().unwrap())
            .collect(),
        ..LimitConfig::default()
    };
    Suite::start_with(None, &config).await
}

/// Calls an anonymous method through a proxy that names the caller's address.
async fn get_key_set(suite: &Suite, authorization: &str, address: &str) -> Result<(), Status> {
    let mut request = with_authorization(GetKeySetRequest {}, authorization);
    request
        .metadata_mut()
        .insert("x-forwarded-for", address.parse().unwrap());
    let mut client = SessionServiceClient::new(suite.running.channel());
    client.get_key_set(request).await.map(|_| ())
}

fn limited_by_address<T: std::fmt::Debug>(answer: Result<T, Status>) -> TimeDelta {
    limited_by("address", answer)
}

fn limited_by<T: std::fmt::Debug>(limit: &str, answer: Result<T, Status>) -> TimeDelta {
    let status = answer.as_ref().unwrap_err().clone();
    check(answer, Code::ResourceExhausted, "RATE_LIMITED");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["limit"], limit);
    let retry = status.get_details_retry_info().unwrap();
    TimeDelta::from_std(retry.retry_delay.unwrap()).unwrap()
}

#[tokio::test]
async fn an_address_that_calls_too_often_waits_and_is_served_again() {
    let suite = limited(&[]).await;
    for forged in ["192.0.2.1", "192.0.2.2"] {
        get_key_set(&suite, "", forged).await.unwrap();
    }
    let wait = limited_by_address(get_key_set(&suite, "", "192.0.2.3").await);
    assert_eq!(wait, TimeDelta::seconds(30));
    assert_eq!(suite.calls.load(Ordering::SeqCst), 2, "the method ran");
    suite.clock.advance(wait);
    get_key_set(&suite, "", "").await.unwrap();
}

#[tokio::test]
async fn a_flood_of_one_method_leaves_the_others_and_health_alone() {
    let suite = limited(&[]).await;
    for _ in 0..9 {
        let _ = get_key_set(&suite, "", "").await;
    }
    let mut client = SessionServiceClient::new(suite.running.channel());
    let refresh = client.refresh_session(RefreshSessionRequest::default());
    check(refresh.await, Code::Unimplemented, "UNIMPLEMENTED");
    let mut health = HealthClient::new(suite.running.channel());
    for _ in 0..9 {
        let request = HealthCheckRequest::default();
        health.check(request).await.unwrap();
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_one_address_does_not_stop_another() {
    let suite = limited(&["127.0.0.0/8"]).await;
    for _ in 0..2 {
        get_key_set(&suite, "", "192.0.2.1").await.unwrap();
    }
    limited_by_address(get_key_set(&suite, "", "9.9.9.9, 192.0.2.1").await);
    get_key_set(&suite, "", "192.0.2.2").await.unwrap();
}

#[tokio::test]
async fn a_brands_backend_calls_for_all_its_visitors() {
    let suite = limited(&[]).await;
    let backend = bearer_of(&suite.token(&service(&[Scope::ChatRead])));
    for _ in 0..9 {
        get_key_set(&suite, &backend, "").await.unwrap();
    }
    // Any other token, valid or not, is none.
    let visitor = bearer_of(&suite.token(&claims("CLIENT")));
    get_key_set(&suite, &visitor, "").await.unwrap();
    get_key_set(&suite, "Bearer forged", "").await.unwrap();
    limited_by_address(get_key_set(&suite, &visitor, "").await);
    limited_by_address(get_key_set(&suite, "Bearer forged", "").await);
}

/// Begins a call, sends no message, and returns how the service ended it.
async fn begin_call(channel: tonic::transport::Channel) -> Status {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GetKeySetRequest, GetKeySetResponse>::default();
    let path = PathAndQuery::from_static("/rapport.identity.v1.SessionService/GetKeySet");
    let nothing = tonic::Request::new(futures_util::stream::pending());
    client
        .client_streaming(nothing, path, codec)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn what_is_too_much_at_once_is_shed_and_health_is_answered() {
    let config = LimitConfig {
        calls_at_once: 2,
        ..LimitConfig::off()
    };
    let suite = Suite::start_with(None, &config).await;
    let calls = [(); 2].map(|()| tokio::spawn(begin_call(suite.running.channel())));
    let is_full = async || get_key_set(&suite, "", "").await.is_err();
    testing::wait_until(Duration::from_secs(10), is_full).await;
    // Nobody waits in a queue, whoever he is.
    for caller in ["", &bearer_of(SUITE_SECRET)] {
        let wait = limited_by("service", get_key_set(&suite, caller, "").await);
        assert_eq!(wait, TimeDelta::seconds(1));
    }
    let mut health = HealthClient::new(suite.running.channel());
    let request = HealthCheckRequest::default();
    health.check(request).await.unwrap();
    for call in calls {
        call.abort();
    }
    let is_free = async || get_key_set(&suite, "", "").await.is_ok();
    testing::wait_until(Duration::from_secs(10), is_free).await;
}

#[tokio::test]
async fn a_call_whose_message_does_not_come_is_ended() {
    let suite = Suite::start().await;
    let channel = suite.running.channel();
    let mut client = SessionServiceClient::new(channel.clone());
    client.get_key_set(GetKeySetRequest {}).await.unwrap();
    // From here on time passes by itself while everybody waits.
    tokio::time::pause();
    let status = begin_call(channel).await;
    check(
        Err::<(), _>(status),
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
    );
}
