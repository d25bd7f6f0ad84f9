//! Anonymous calls are limited per address, Brand and account, and what is refused writes nothing
//! (SPEC 59).

use chrono::TimeDelta;
use kit::{
    clock::Clock,
    limit::LimitConfig,
    testing::{TestDatabase, TestEngine},
};
use rapport_proto::{access::v1::Scope, identity::v1 as proto};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::harness::*;

const SOMEBODY: &str = "192.0.2.1";
const SOMEBODY_ELSE: &str = "192.0.2.2";

/// The methods that nobody in particular may call.
#[derive(Clone, Copy, Debug)]
enum Method {
    StartTemporarySession,
    SignIn,
    RefreshSession,
    IssueServiceToken,
    GetKeySet,
}

const METHODS: [Method; 5] = [
    Method::StartTemporarySession,
    Method::SignIn,
    Method::RefreshSession,
    Method::IssueServiceToken,
    Method::GetKeySet,
];

struct World {
    service: Running,
    clock: Clock,
    _database: TestDatabase,
}

impl World {
    async fn start(engine: TestEngine, limits: LimitConfig) -> Self {
        let database = TestDatabase::create(engine).await;
        // Assertions are made in the machine's time.
        let clock = Clock::manual(Clock::system().now());
        let config = kit::config::ServiceConfig {
            clock: clock.clone(),
            limits: LimitConfig {
                trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
                ..limits
            },
            ..config(&database.url, secrets())
        };
        Self {
            service: Running::start_with(config).await,
            clock,
            _database: database,
        }
    }

    /// Calls a method about a Brand with something new each time: another visitor, token or key.
    async fn call(&self, method: Method, brand: &str, address: &str) -> Result<(), Status> {
        let mut sessions = self.service.sessions();
        match method {
            Method::StartTemporarySession => {
                let request = from(start_request(brand), address);
                let answer = sessions.start_temporary_session(request).await;
                answer.map(|_| ())
            }
            Method::SignIn => {
                let request = from(sign_in_request(brand, &id(), ""), address);
                sessions.sign_in(request).await.map(|_| ())
            }
            Method::RefreshSession => {
                let request = refresh_request(brand, &id());
                let answer = sessions.refresh_session(from(request, address)).await;
                answer.map(|_| ())
            }
            Method::IssueServiceToken => {
                let request = proto::IssueServiceTokenRequest {
                    brand_id: brand.to_owned(),
                    api_key: id(),
                };
                let answer = sessions.issue_service_token(from(request, address)).await;
                answer.map(|_| ())
            }
            Method::GetKeySet => {
                let request = from(proto::GetKeySetRequest {}, address);
                sessions.get_key_set(request).await.map(|_| ())
            }
        }
    }
}

fn refresh_request(brand: &str, session_token: &str) -> proto::RefreshSessionRequest {
    proto::RefreshSessionRequest {
        brand_id: brand.to_owned(),
        session_token: session_token.to_owned(),
        request_id: id(),
    }
}

/// Makes a proxy's request for a caller at this address.
fn from<T>(message: T, address: &str) -> Request<T> {
    let mut request = Request::new(message);
    let address = address.parse().unwrap();
    request.metadata_mut().insert("x-forwarded-for", address);
    request
}

/// Fails unless the limit refused the call; returns when to try again.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, limit: &str) -> TimeDelta {
    let status = answer.as_ref().unwrap_err().clone();
    check(answer, Code::ResourceExhausted, "RATE_LIMITED");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["limit"], limit);
    let retry = status.get_details_retry_info().unwrap();
    TimeDelta::from_std(retry.retry_delay.unwrap()).unwrap()
}

/// Fails when a limit refused the call; whether the method liked it does not matter.
#[track_caller]
fn served(answer: Result<(), Status>) {
    let code = answer.map_or_else(|status| status.code(), |()| Code::Ok);
    assert_ne!(code, Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_anonymous_method_is_refused_past_its_limit_and_served_after_the_wait() {
    let limits = [
        (2, 0, "address", &METHODS[..]),
        (0, 2, "brand", &METHODS[..4]),
    ];
    for (address_per_minute, brand_per_minute, limit, methods) in limits {
        let limits = LimitConfig {
            address_per_minute,
            brand_per_minute,
            ..LimitConfig::off()
        };
        let world = World::start(TestEngine::Sqlite, limits).await;
        for &method in methods {
            let call = || world.call(method, "shop", SOMEBODY);
            served(call().await);
            served(call().await);
            let wait = refused(call().await, limit);
            assert_eq!(wait, TimeDelta::seconds(30), "{method:?}");
            // Another address for the one limit, another Brand for the other, is not concerned.
            served(world.call(method, "other", SOMEBODY_ELSE).await);
            world.clock.advance(wait);
            served(call().await);
        }
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_by_strangers_keeps_out_no_backend_of_the_brand() {
    let limits = LimitConfig {
        address_per_minute: 3,
        brand_per_minute: 3,
        ..LimitConfig::off()
    };
    let world = World::start(TestEngine::Sqlite, limits).await;
    let backend = world.service.add_brand("shop", &[Scope::BrandRead]).await;
    world.service.add_brand("other", &[Scope::BrandRead]).await;
    for host in 1..9 {
        let address = format!("198.51.100.{host}");
        let _ = world.call(Method::SignIn, "shop", &address).await;
    }
    refused(world.call(Method::SignIn, "shop", SOMEBODY).await, "brand");
    world.call(Method::SignIn, "other", SOMEBODY).await.unwrap();
    let sign_in = |brand: &str| {
        let mut sessions = world.service.sessions();
        let request = with(sign_in_request(brand, &id(), ""), &backend);
        async move { sessions.sign_in(request).await }
    };
    for _ in 0..9 {
        sign_in("shop").await.unwrap();
    }
    // At another Brand it is a stranger like all.
    for _ in 0..2 {
        sign_in("other").await.unwrap();
    }
    refused(sign_in("other").await, "brand");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_is_limited_and_no_other() {
    let limits = LimitConfig {
        account_per_minute: 2,
        ..LimitConfig::off()
    };
    let world = World::start(TestEngine::Sqlite, limits).await;
    world.service.add_brand("shop", &[Scope::BrandRead]).await;
    let sign_in = |customer: &str, token: &str| {
        let mut sessions = world.service.sessions();
        let request = sign_in_request("shop", customer, token);
        async move { sessions.sign_in(request).await }
    };
    sign_in("c-1", "").await.unwrap();
    sign_in("c-1", "").await.unwrap();
    let wait = refused(sign_in("c-1", "").await, "account");
    sign_in("c-2", "").await.unwrap();
    world.clock.advance(wait);
    sign_in("c-1", "").await.unwrap();
    // One who tries many customers with one temporary session is limited by that.
    sign_in("c-3", "one token").await.unwrap();
    sign_in("c-4", "one token").await.unwrap();
    refused(sign_in("c-5", "one token").await, "account");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_writes_nothing() {
    for engine in TestEngine::ALL {
        let limits = LimitConfig {
            brand_per_minute: 1,
            account_per_minute: 1,
            ..LimitConfig::off()
        };
        let world = World::start(engine, limits).await;
        world.service.add_brand("shop", &[Scope::BrandRead]).await;
        let mut sessions = world.service.sessions();
        let served = start_request("shop");
        let served = sessions.start_temporary_session(served).await.unwrap();
        let request = start_request("shop");
        let answer = sessions.start_temporary_session(request.clone()).await;
        world.clock.advance(refused(answer, "brand"));
        // Had it been written, its `request_id` would be taken (SPEC 61).
        sessions.start_temporary_session(request).await.unwrap();

        let refresh = |token: &str| {
            let mut sessions = world.service.sessions();
            let request = refresh_request("shop", token);
            async move { sessions.refresh_session(request).await }
        };
        let token = served.into_inner().session.unwrap().session_token;
        let renewed = refresh(&token).await.unwrap().into_inner();
        let token = renewed.session.unwrap().session_token;
        world.clock.advance(refused(refresh(&token).await, "brand"));
        // Had it been exchanged, it would be taken for stolen now.
        refresh(&token).await.unwrap();
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_is_limited_though_each_call_shows_another_token() {
    let limits = LimitConfig {
        account_per_minute: 2,
        ..LimitConfig::off()
    };
    let world = World::start(TestEngine::Sqlite, limits).await;
    world.service.add_brand("shop", &[Scope::BrandRead]).await;
    let mut sessions = world.service.sessions();
    let started = sessions.start_temporary_session(start_request("shop"));
    let mut token = session_token(started.await.unwrap().into_inner().session);
    for _ in 0..2 {
        let renewed = sessions.refresh_session(refresh_request("shop", &token));
        token = session_token(renewed.await.unwrap().into_inner().session);
    }
    let request = refresh_request("shop", &token);
    let wait = refused(sessions.refresh_session(request).await, "account");
    world.clock.advance(wait);
    let request = refresh_request("shop", &token);
    sessions.refresh_session(request).await.unwrap();
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_api_key_is_limited() {
    let limits = LimitConfig {
        account_per_minute: 2,
        ..LimitConfig::off()
    };
    let world = World::start(TestEngine::Sqlite, limits).await;
    let issue = |api_key: &str| {
        let mut sessions = world.service.sessions();
        let request = proto::IssueServiceTokenRequest {
            brand_id: "shop".to_owned(),
            api_key: api_key.to_owned(),
        };
        async move { sessions.issue_service_token(request).await }
    };
    for _ in 0..2 {
        check(
            issue("guess").await,
            Code::Unauthenticated,
            "API_KEY_REFUSED",
        );
    }
    refused(issue("guess").await, "account");
    check(
        issue("other").await,
        Code::Unauthenticated,
        "API_KEY_REFUSED",
    );
    world.service.stop().await;
}

fn session_token(session: Option<proto::Session>) -> String {
    session.unwrap().session_token
}
