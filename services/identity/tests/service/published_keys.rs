//! Keys that a Brand publishes on a server of its own (SPEC 4).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::future::join_all;
use kit::{
    clock::Clock,
    testing::{TestDatabase, TestEngine},
};
use rapport_proto::{
    access::v1::Scope,
    identity::v1::{
        self as proto, create_assertion_key_request::Material, sign_in_request::Assertion,
    },
};
use serde_json::{Value, json};
use tonic::{Code, Response, Status};

use crate::{
    harness::*,
    key_host::{Answer, KeyHost},
};

const ISSUER: &str = "https://login.shop.example";
const COOLDOWN: TimeDelta = TimeDelta::seconds(10);
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// A key of the Brand's, told from others by its number.
fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn public(number: u8) -> Value {
    let x = BASE64_URL_SAFE_NO_PAD.encode(signing_key(number).verifying_key().as_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": format!("key-{number}"), "x": x })
}

fn keys(numbers: &[u8]) -> Answer {
    let keys: Vec<Value> = numbers.iter().copied().map(public).collect();
    Answer::Body(json!({ "keys": keys }).to_string())
}

/// The service on a clock of the test's, with Brands that publish their keys.
struct Shops {
    service: Running,
    clock: Clock,
    _database: TestDatabase,
}

impl Shops {
    async fn open(engine: TestEngine, allow_private_key_addresses: bool) -> Self {
        let database = TestDatabase::create(engine).await;
        let clock = Clock::manual(Clock::system().now());
        let config = kit::config::ServiceConfig {
            clock: clock.clone(),
            allow_private_key_addresses,
            limits: kit::limit::LimitConfig::off(),
            ..config(&database.url, secrets())
        };
        Self {
            service: Running::start_with(config).await,
            clock,
            _database: database,
        }
    }

    /// Makes a Brand that takes ID tokens, and publishes its keys at `uri`.
    async fn add(&self, slug: &str, uri: &str) {
        self.service.add_brand(slug, &[Scope::LinksRead]).await;
        let request = proto::UpdateBrandRequest {
            brand: Some(proto::Brand {
                brand_id: slug.to_owned(),
                assertion_settings: Some(proto::AssertionSettings {
                    token_algorithms: vec![proto::TokenAlgorithm::Eddsa.into()],
                    issuer: ISSUER.to_owned(),
                    audiences: vec!["shop".to_owned()],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["assertion_settings".to_owned()],
            }),
            request_id: id(),
        };
        let mut brands = self.service.brands();
        brands.update_brand(with(request, OPERATOR)).await.unwrap();
        let made = self.publish(slug, uri).await.unwrap().into_inner();
        assert_eq!(made.assertion_key.unwrap().jwks_uri, uri);
    }

    async fn publish(
        &self,
        slug: &str,
        uri: &str,
    ) -> Result<Response<proto::CreateAssertionKeyResponse>, Status> {
        let request = proto::CreateAssertionKeyRequest {
            brand_id: slug.to_owned(),
            material: Some(Material::JwksUri(uri.to_owned())),
            request_id: id(),
            ..Default::default()
        };
        let mut brands = self.service.brands();
        brands.create_assertion_key(with(request, OPERATOR)).await
    }

    /// Shows a token of the key, which is honest but for the key.
    async fn sign_in(
        &self,
        slug: &str,
        key: u8,
    ) -> Result<Response<proto::SignInResponse>, Status> {
        let now = self.clock.now().timestamp();
        let header = json!({ "alg": "EdDSA", "kid": format!("key-{key}") });
        let claims = json!({
            "iss": ISSUER, "aud": "shop", "sub": "c-1", "iat": now, "exp": now + 300,
        });
        let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = signing_key(key).sign(message.as_bytes()).to_bytes();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        let request = proto::SignInRequest {
            assertion: Some(Assertion::IdToken(format!("{message}.{signature}"))),
            validate_only: true,
            ..sign_in_request(slug, "", "")
        };
        self.service.sessions().sign_in(request).await
    }

    async fn accepts(&self, slug: &str, key: u8) {
        self.sign_in(slug, key).await.unwrap();
    }

    async fn refuses(&self, slug: &str, key: u8) {
        let refused = self.sign_in(slug, key).await;
        check(refused, Code::Unauthenticated, "ASSERTION_REFUSED");
    }

    async fn cannot_tell(&self, slug: &str, key: u8) {
        let refused = self.sign_in(slug, key).await;
        check(refused, Code::Unavailable, "KEY_SET_UNAVAILABLE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_with_overlap_on_the_brands_own_server() {
    for engine in TestEngine::ALL {
        let shops = Shops::open(engine, true).await;
        let host = KeyHost::start(keys(&[1])).await;
        shops.add("shop", &host.uri("http")).await;
        assert_eq!(host.requests(), 0);
        shops.accepts("shop", 1).await; // SPEC 4
        shops.accepts("shop", 1).await;
        assert_eq!(host.requests(), 1);

        host.answer(keys(&[1, 2]));
        // A key that nobody knows is asked for, though not more often than the cooldown lets.
        shops.refuses("shop", 2).await;
        assert_eq!(host.requests(), 1);
        shops.clock.advance(COOLDOWN);
        shops.accepts("shop", 2).await;
        shops.accepts("shop", 1).await;
        assert_eq!(host.requests(), 2);

        host.answer(keys(&[2]));
        shops.clock.advance(LIFETIME);
        shops.refuses("shop", 1).await;
        shops.accepts("shop", 2).await;
        assert_eq!(host.requests(), 3);
        shops.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sign_ins_at_once_are_one_fetch() {
    let shops = Shops::open(TestEngine::Sqlite, true).await;
    let host = KeyHost::start(keys(&[1])).await;
    shops.add("shop", &host.uri("http")).await;
    let sign_ins = (0..1_000).map(|_| shops.accepts("shop", 1));
    join_all(sign_ins).await;
    assert_eq!(host.requests(), 1);
    shops.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_keys_outlive_an_outage_of_an_hour_and_no_more() {
    let shops = Shops::open(TestEngine::Sqlite, true).await;
    let host = KeyHost::start(keys(&[1])).await;
    shops.add("shop", &host.uri("http")).await;
    shops.accepts("shop", 1).await;

    host.answer(Answer::Status("503 Service Unavailable"));
    shops.clock.advance(LIFETIME);
    shops.accepts("shop", 1).await;
    // It may be a new key of the Brand's: nobody can tell before its server is back. However many ask,
    // it is asked once in a cooldown.
    join_all((0..50).map(|_| shops.cannot_tell("shop", 2))).await;
    assert_eq!(host.requests(), 2);
    shops.clock.advance(TimeDelta::minutes(54));
    shops.accepts("shop", 1).await;
    shops.clock.advance(TimeDelta::minutes(1));
    shops.cannot_tell("shop", 1).await;
    assert_eq!(host.requests(), 4);

    host.answer(keys(&[1, 2]));
    shops.cannot_tell("shop", 1).await;
    shops.clock.advance(COOLDOWN);
    shops.accepts("shop", 1).await;
    shops.accepts("shop", 2).await;
    shops.refuses("shop", 3).await;
    assert_eq!(host.requests(), 5);
    shops.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_set_proves_nothing() {
    let shops = Shops::open(TestEngine::Sqlite, true).await;
    let good = KeyHost::start(keys(&[1])).await;
    let of_size = |size: usize| {
        let set = json!({ "keys": [public(1)] }).to_string();
        Answer::Body(format!("{set}{}", " ".repeat(size - set.len())))
    };
    let many = vec![public(1); 33];
    let mut private = public(1);
    private["d"] = json!("AA");
    let answers = [
        ("slow", Answer::Silence),
        ("huge", of_size(64 * 1024 + 1)),
        ("endless", Answer::Endless),
        ("many", Answer::Body(json!({ "keys": many }).to_string())),
        (
            "private",
            Answer::Body(json!({ "keys": [private] }).to_string()),
        ),
        ("broken", Answer::Raw("no HTTP\r\n\r\n")),
        (
            "cut",
            Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"),
        ),
        ("page", Answer::Body("<html>not found</html>".to_owned())),
        ("missing", Answer::Status("404 Not Found")),
        ("redirect", Answer::Redirect(good.uri("http"))),
    ];
    let refused = answers.into_iter().map(async |(name, answer)| {
        let host = KeyHost::start(answer).await;
        shops.add(name, &host.uri("http")).await;
        shops.cannot_tell(name, 1).await;
        assert_eq!(host.requests(), 1, "{name}");
    });
    join_all(refused).await;
    assert_eq!(good.connections(), 0);

    let host = KeyHost::start(of_size(64 * 1024)).await;
    shops.add("large", &host.uri("http")).await;
    shops.accepts("large", 1).await;
    shops.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_connected_to() {
    let host = KeyHost::start(keys(&[1])).await;
    let shops = Shops::open(TestEngine::Sqlite, false).await;
    // The name is as good as any; it is where it leads to that counts.
    let by_name = host.uri("https").replace("127.0.0.1", "localhost");
    shops.add("shop", &by_name).await;
    shops.cannot_tell("shop", 1).await;
    assert_eq!(host.connections(), 0);
    for refused in [
        host.uri("https"),
        host.uri("http"),
        "https://[::1]/".to_owned(),
    ] {
        let refused = shops.publish("shop", &refused).await;
        check(refused, Code::InvalidArgument, "FIELD_INVALID");
    }
    shops.service.stop().await;

    // Where it is allowed, the same name is connected to; it does not speak TLS.
    let shops = Shops::open(TestEngine::Sqlite, true).await;
    shops.add("shop", &by_name).await;
    shops.cannot_tell("shop", 1).await;
    assert_ne!(host.connections(), 0);
    shops.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_publication_proves_nothing_at_once() {
    let shops = Shops::open(TestEngine::Sqlite, true).await;
    let host = KeyHost::start(keys(&[1])).await;
    shops.add("shop", &host.uri("http")).await;
    shops.accepts("shop", 1).await;
    let request = proto::ListAssertionKeysRequest {
        brand_id: "shop".to_owned(),
        ..Default::default()
    };
    let mut brands = shops.service.brands();
    let listed = brands.list_assertion_keys(with(request, OPERATOR)).await;
    let listed = listed.unwrap().into_inner().assertion_keys;
    let published = listed.iter().find(|key| !key.jwks_uri.is_empty()).unwrap();
    assert_eq!(published.kind(), proto::AssertionKeyKind::JwksUri);
    let request = proto::RevokeAssertionKeyRequest {
        brand_id: "shop".to_owned(),
        assertion_key_id: published.assertion_key_id.clone(),
        request_id: id(),
    };
    let revoked = brands.revoke_assertion_key(with(request, OPERATOR)).await;
    revoked.unwrap();
    shops.refuses("shop", 1).await;
    shops.service.stop().await;
}
