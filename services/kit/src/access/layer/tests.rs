//! Who is let in, over a real socket; each refusal has its reason (SPEC 59).

mod answers;
mod limits;
mod standing;
mod tokens;

use std::{collections::BTreeSet, sync::atomic::AtomicUsize, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rapport_proto::{
    access::v1::Scope,
    identity::v1::{
        EndSessionRequest, GetLinkRequest, JsonWebKey, ResolvePersonRequest,
        link_service_client::LinkServiceClient, session_service_client::SessionServiceClient,
    },
};
use tokio_util::sync::CancellationToken;
use tonic_types::StatusExt;
use uuid::Uuid;

use super::*;
use crate::{
    access::{Claims, ISSUER, KeySet, Revocations},
    clock::Clock,
    db::Db,
    limit::LimitConfig,
    testing::{
        self, TestDatabase, TestEngine,
        stub::{DOMAIN, RunningStub, SUITE_SECRET, Stub, anywhere},
    },
};

/// Signs access tokens as identity does.
struct Issuer {
    key: SigningKey,
}

impl Issuer {
    fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_bytes(&[seed; 32]),
        }
    }

    fn public(&self, kid: &str) -> JsonWebKey {
        JsonWebKey {
            kid: kid.to_owned(),
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64_URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
            ..Default::default()
        }
    }

    fn sign(&self, kid: &str, claims: &Claims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid.to_owned());
        let der = self.key.to_pkcs8_der().unwrap();
        encode(&header, claims, &EncodingKey::from_ed_der(der.as_bytes())).unwrap()
    }
}

/// Returns the claims of a caller of this kind.
fn claims(kind: &str) -> Claims {
    Claims {
        iss: ISSUER.to_owned(),
        sub: Uuid::from_u128(1),
        brand: "shop".to_owned(),
        kind: kind.to_owned(),
        sid: (kind != "SERVICE").then_some(Uuid::from_u128(2)),
        epoch: 1,
        link_revision: 0,
        scopes: Vec::new(),
        iat: 0,
        exp: 600,
    }
}

fn service(scopes: &[Scope]) -> Claims {
    Claims {
        scopes: scopes.iter().map(|scope| i32::from(*scope)).collect(),
        ..claims("SERVICE")
    }
}

/// A stub behind an access layer that knows the key "one", at the instant 0.
struct Suite {
    issuer: Issuer,
    clock: Clock,
    revocations: Revocations,
    /// How often `GetKeySet` ran.
    calls: Arc<AtomicUsize>,
    running: RunningStub,
    db: Db,
    _database: TestDatabase,
}

impl Suite {
    async fn start() -> Self {
        Self::start_with(None, &LimitConfig::default()).await
    }

    async fn start_with(silence_limit: Option<Duration>, limits: &LimitConfig) -> Self {
        let (database, db) = testing::open(TestEngine::Sqlite).await;
        let issuer = Issuer::new(1);
        let keys = KeySet::default();
        keys.replace(&[issuer.public("one")]);
        let clock = Clock::manual(Default::default());
        let revocations = Revocations::load(&db, silence_limit).await.unwrap();
        let tokens = TokenVerifier::new(keys, None, revocations.clone(), clock.clone());
        let stub = Stub {
            limits: Limits::new(limits, &clock),
            ..Stub::default()
        };
        let calls = Arc::clone(&stub.key_set_calls);
        let running = stub.run(anywhere(), tokens).await;
        Self {
            calls,
            issuer,
            clock,
            revocations,
            running,
            db,
            _database: database,
        }
    }

    fn token(&self, claims: &Claims) -> String {
        self.issuer.sign("one", claims)
    }

    /// Calls a method for visitors and Members.
    async fn end_session(&self, authorization: &str) -> Result<(), Status> {
        let request = with_authorization(EndSessionRequest::default(), authorization);
        let mut client = SessionServiceClient::new(self.running.channel());
        client.end_session(request).await.map(|_| ())
    }

    /// Calls a method for services, and returns whom it took the caller for.
    async fn get_link(&self, authorization: &str, link_id: &str) -> Result<String, Status> {
        let request = GetLinkRequest {
            link_id: link_id.to_owned(),
        };
        let mut client = LinkServiceClient::new(self.running.channel());
        let response = client
            .get_link(with_authorization(request, authorization))
            .await?;
        Ok(response.into_inner().link.unwrap().link_id)
    }
}

fn with_authorization<T>(message: T, authorization: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if !authorization.is_empty() {
        request
            .metadata_mut()
            .insert("authorization", authorization.parse().unwrap());
    }
    request
}

fn check<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.unwrap_err();
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(
        (status.code(), info.reason.as_str(), info.domain.as_str()),
        (code, reason, DOMAIN),
        "{status:?}"
    );
}

fn bearer_of(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn each_kind_of_caller_is_let_in_where_the_contract_names_it() {
    let suite = Suite::start().await;
    for kind in ["TEMPORARY", "CLIENT", "MEMBER"] {
        let token = bearer_of(&suite.token(&claims(kind)));
        suite.end_session(&token).await.unwrap();
        check(
            suite.get_link(&token, "").await,
            Code::PermissionDenied,
            "PERMISSION_DENIED",
        );
    }
    let token = bearer_of(&suite.token(&service(&[Scope::LinksRead])));
    let name = suite.get_link(&token, "").await.unwrap();
    assert_eq!(name, format!("service/{}", Uuid::from_u128(1)));
    check(
        suite.end_session(&token).await,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
}

#[tokio::test]
async fn a_service_without_the_scope_is_refused() {
    let suite = Suite::start().await;
    for scopes in [&[][..], &[Scope::LinksWrite, Scope::ChatRead]] {
        let token = bearer_of(&suite.token(&service(scopes)));
        check(
            suite.get_link(&token, "").await,
            Code::PermissionDenied,
            "PERMISSION_DENIED",
        );
    }
}

#[tokio::test]
async fn operator_and_suite_are_let_in_by_their_secrets_and_only_where_they_may() {
    let suite = Suite::start().await;
    let resolve = async |secret: &str| {
        let request = with_authorization(ResolvePersonRequest::default(), &bearer_of(secret));
        let mut client = LinkServiceClient::new(suite.running.channel());
        client.resolve_person(request).await
    };
    // Admitted, and then unimplemented by the stub.
    check(
        resolve(SUITE_SECRET).await,
        Code::Unimplemented,
        "UNIMPLEMENTED",
    );
    check(
        resolve("the-token-of-the-operator").await,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
    check(
        resolve("the-secret-of-the-suit").await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

#[tokio::test]
async fn nobody_is_unauthenticated_whatever_he_shows() {
    let suite = Suite::start().await;
    let token = suite.token(&claims("CLIENT"));
    for authorization in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer  {token}"),
        format!("Bearer {token} "),
        format!("Bearer\t{token}"),
        format!("Basic {token}"),
        token.clone(),
        "Bearer x.y.z".to_owned(),
        format!("Bearer {token}, Bearer {token}"),
    ] {
        let answer = suite.end_session(&authorization).await;
        // HTTP/2 may trim what surrounds a value; then it is the token itself.
        if authorization.trim_end() == bearer_of(&token) && answer.is_ok() {
            continue;
        }
        check(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    }
    suite.end_session(&format!("bearer {token}")).await.unwrap();
}

#[tokio::test]
async fn an_empty_credential_of_the_installation_lets_nobody_in() {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let revocations = Revocations::load(&db, None).await.unwrap();
    let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
    let layer = AccessLayer::new(
        DOMAIN,
        tokens,
        Some("".into()),
        "".into(),
        Limits::default(),
    );
    let server = Stub::default().bind(anywhere(), layer).await;
    let channel = crate::server::channel(&format!("http://{}", server.local_addr())).unwrap();
    let serving = tokio::spawn(server.run_until(std::future::pending()));
    let request = with_authorization(ResolvePersonRequest::default(), "Bearer ");
    let answer = LinkServiceClient::new(channel)
        .resolve_person(request)
        .await;
    check(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    serving.abort();
}

#[tokio::test]
async fn the_secret_of_the_suite_counts_on_loopback_alone() {
    let suite = Suite::start().await;
    let tokens = TokenVerifier::new(
        KeySet::default(),
        None,
        suite.revocations.clone(),
        suite.clock.clone(),
    );
    let layer = AccessLayer::new(DOMAIN, tokens, None, SUITE_SECRET.into(), Limits::default());
    for (peer, is_let_in) in [
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("192.0.2.1:1", false),
        ("[2001:db8::1]:1", false),
    ] {
        let connection = Connection {
            peer: peer.parse().unwrap(),
            ending: CancellationToken::new(),
            certified: None,
        };
        let caller = layer.0.authenticate(Some(SUITE_SECRET), Some(&connection));
        assert_eq!(caller.await.is_ok(), is_let_in, "{peer}"); // SPEC 59
    }
    assert!(
        layer
            .0
            .authenticate(Some(SUITE_SECRET), None)
            .await
            .is_err()
    );
}
