//! A Brand with its service, on a database of its own.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel_async::RunQueryDsl;
use domain::{
    email::Email,
    id::{AccountId, BrandId},
    merge_policy::Preset,
    session::Widget,
    sign_in::OutcomeKind,
    text::Username,
};
use hmac::{Hmac, Mac};
use kit::{
    access::Principal,
    clock::Clock,
    limit::{LimitConfig, Limits},
    query,
    secret::{EmailDigestKey, Key, SealingKey},
    testing::{TestDatabase, TestEngine},
};
use prost::Message;
use rapport_proto::event::v1::{Event, event::Payload};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    app::{
        Actor, App, BrandChange, KeyMaterial, NewAssertionKey, NewTemporarySession, Outward, Peers,
        SignInCommand, SignInResult, Write, temporary_sessions::StartedSession,
    },
    assertion::{PresentedAssertion, Reach},
    convert,
    error::IdentityError,
    store::audit_entries,
    token::TokenSigner,
};

/// The secret that the Brand signs with.
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
pub(crate) const POLICY: &str = "1";

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Clock,
    pub(crate) brand: BrandId,
    _database: TestDatabase,
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = diesel::sql_types::Binary)]
    event: Vec<u8>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    rows: i64,
}

/// Every table that a sign-in may write.
const TABLES: [&str; 12] = [
    "brand",
    "merge_policy",
    "account",
    "account_email",
    "session",
    "session_token",
    "link",
    "settlement",
    "sign_in",
    "audit_entry",
    "event_log",
    "request",
];

pub(crate) fn id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn start_time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

/// Peers that do not answer, and key sets anywhere.
fn nobody() -> Outward {
    let nobody = kit::server::channel("http://127.0.0.1:1").unwrap();
    let credential = kit::access::Bearer::new(&"suite".into()).unwrap();
    Outward {
        key_reach: Reach::Anywhere,
        peers: Peers::new(nobody.clone(), nobody, credential),
    }
}

impl World {
    pub(crate) async fn new(engine: TestEngine) -> Self {
        let database = TestDatabase::create(engine).await;
        let db = database.open(crate::migrations()).await;
        let clock = Clock::manual(start_time());
        let sealing_key = SealingKey::new(Key::random());
        let signer = TokenSigner::load(&db, &sealing_key, TimeDelta::days(30), &clock)
            .await
            .unwrap();
        let digest_key = EmailDigestKey::new(Key::random());
        let app = App::new(
            db,
            clock.clone(),
            sealing_key,
            digest_key,
            signer.into(),
            Limits::new(&LimitConfig::off(), &clock),
            nobody(),
        );
        let world = Self {
            app: Arc::new(app),
            clock,
            brand: BrandId::parse("shop").unwrap(),
            _database: database,
        };
        world.add_brand("shop").await;
        world
    }

    /// Makes a Brand with the world's secret.
    pub(crate) async fn add_brand(&self, slug: &str) -> BrandId {
        let wanted = rapport_proto::identity::v1::Brand {
            brand_id: slug.to_owned(),
            display_name: "Shop".to_owned(),
            widget_policy_version: POLICY.to_owned(),
            ..Default::default()
        };
        let brand = convert::brand::create(Some(&wanted), self.clock.now()).unwrap();
        let brand_id = brand.brand_id.clone();
        let write = self.write_of(&brand_id, "CreateBrand", &id());
        self.app.create_brand(write, brand).await.unwrap();
        let key = NewAssertionKey {
            material: KeyMaterial::ImportedHmacSecret(SECRET.to_vec().into()),
            expire_time: None,
        };
        let write = self.write_of(&brand_id, "CreateAssertionKey", &id());
        self.app.create_assertion_key(write, key).await.unwrap();
        brand_id
    }

    pub(crate) fn write(&self, method: &'static str) -> Write {
        self.write_of(&self.brand, method, &id())
    }

    pub(crate) fn write_of(&self, brand: &BrandId, method: &'static str, request: &str) -> Write {
        self.write_with(brand, method, request, "body")
    }

    pub(crate) fn write_with(
        &self,
        brand: &BrandId,
        method: &'static str,
        request: &str,
        body: &str,
    ) -> Write {
        let name = Principal::Operator.name();
        let body = body.to_owned();
        Write {
            brand_id: brand.clone(),
            actor: Actor::from(&Principal::Operator),
            key: self
                .app
                .request_keys
                .key(brand.clone(), name, method, request, &body)
                .unwrap(),
        }
    }

    pub(crate) async fn preset(&self, preset: Preset) {
        let write = self.write("SetMergePolicy");
        self.app
            .set_merge_policy(write, preset.policy())
            .await
            .unwrap();
    }

    pub(crate) async fn change_brand(&self, change: BrandChange) {
        let write = self.write("UpdateBrand");
        self.app.update_brand(write, change).await.unwrap();
    }

    pub(crate) fn visitor(email: Option<&str>) -> NewTemporarySession {
        NewTemporarySession {
            username: Username::parse("Ann").unwrap(),
            email: email.map(|email| (email.to_owned(), Email::parse(email).unwrap())),
            widget: Widget::Community,
            accepted_policy: POLICY.to_owned(),
        }
    }

    pub(crate) async fn start(&self, email: Option<&str>) -> StartedSession {
        let write = self.write("StartTemporarySession");
        let visitor = Self::visitor(email);
        self.app
            .start_temporary_session(write, visitor)
            .await
            .unwrap()
    }

    /// Signs user data that is valid for ten minutes, with some fields added or changed.
    pub(crate) fn assertion(&self, customer: &str, more: Value) -> PresentedAssertion {
        let now = self.clock.now().timestamp();
        let mut data = json!({
            "brand_id": self.brand.as_str(),
            "customer_id": customer,
            "iat": now,
            "exp": now + 600,
        });
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            data[name] = value;
        }
        let json = data.to_string();
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(SECRET).unwrap();
        mac.update(json.as_bytes());
        PresentedAssertion::SignedUserData {
            json,
            signature: BASE64_STANDARD.encode(mac.finalize().into_bytes()),
            key_id: None,
        }
    }

    pub(crate) fn command(
        &self,
        assertion: PresentedAssertion,
        token: Option<&SecretString>,
    ) -> SignInCommand {
        let key = self.write("SignIn").key;
        SignInCommand {
            brand_id: self.brand.clone(),
            actor: Actor::from(&Principal::Anonymous),
            assertion,
            temporary_session_token: token.cloned(),
            accepted_policy: POLICY.to_owned(),
            key: Some(key),
        }
    }

    pub(crate) async fn try_sign_in(
        &self,
        customer: &str,
        more: Value,
        token: Option<&SecretString>,
    ) -> Result<SignInResult, IdentityError> {
        let assertion = self.assertion(customer, more);
        self.app.sign_in(self.command(assertion, token)).await
    }

    pub(crate) async fn sign_in(
        &self,
        customer: &str,
        token: Option<&SecretString>,
    ) -> SignInResult {
        self.try_sign_in(customer, json!({}), token).await.unwrap()
    }

    /// Makes the customer's client account, and returns its id.
    pub(crate) async fn client(&self, customer: &str) -> AccountId {
        let signed_in = self.sign_in(customer, None).await;
        assert_eq!(signed_in.outcome.kind, OutcomeKind::NoTemporary);
        signed_in.account.account_id
    }

    pub(crate) async fn validate(
        &self,
        customer: &str,
        token: Option<&SecretString>,
    ) -> SignInResult {
        let command = SignInCommand {
            key: None,
            ..self.command(self.assertion(customer, json!({})), token)
        };
        self.app.sign_in(command).await.unwrap()
    }

    /// Returns all events, in the order in which they were written.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let mut connection = self.app.db.read().await.unwrap();
        let rows: Vec<EventRow> = query!(&mut *connection, |c| {
            diesel::sql_query("SELECT event FROM event_log ORDER BY row_number")
                .load(c)
                .await
        })
        .unwrap();
        rows.iter()
            .map(|row| Event::decode(row.event.as_slice()).unwrap())
            .collect()
    }

    /// Returns the kinds of the events written since there were `known`.
    pub(crate) async fn kinds_since(&self, known: usize) -> Vec<&'static str> {
        let events = self.events().await;
        events[known..].iter().map(kind).collect()
    }

    /// Returns how many rows each table has.
    pub(crate) async fn rows(&self) -> Vec<(&'static str, i64)> {
        let mut connection = self.app.db.read().await.unwrap();
        let mut counts = Vec::new();
        for table in TABLES {
            let sql = format!("SELECT count(*) AS rows FROM {table}");
            let count: Count = query!(&mut *connection, |c| {
                diesel::sql_query(&sql).get_result(c).await
            })
            .unwrap();
            counts.push((table, count.rows));
        }
        counts
    }

    /// Returns action and reason of each audit entry.
    pub(crate) async fn audit(&self) -> Vec<(String, String)> {
        let mut connection = self.app.db.read().await.unwrap();
        let filter = audit_entries::Filter::default();
        let entries = audit_entries::list(&mut connection, &self.brand, &filter, None, i64::MAX)
            .await
            .unwrap();
        let pair = |entry: crate::model::AuditEntry| (entry.action, entry.reason);
        entries.into_iter().rev().map(pair).collect()
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }
}

fn kind(event: &Event) -> &'static str {
    match event.payload.as_ref().unwrap() {
        Payload::AccountChanged(_) => "account",
        Payload::LinkChanged(_) => "link",
        Payload::AccountErased(_) => "erased",
        Payload::SessionsRevoked(_) => "revoked",
        Payload::MemberChanged(_) => "member",
        Payload::BrandChanged(_) => "brand",
        Payload::ChatroomOpened(_) | Payload::MessageSent(_) => "chat's",
    }
}

/// Returns a token as a browser keeps it.
pub(crate) fn token(started: &StartedSession) -> SecretString {
    started.session.session_token.clone()
}

pub(crate) fn forged() -> SecretString {
    kit::secret::random_token("rst")
}

/// Returns the claims of an access token, unverified.
pub(crate) fn claims(token: &SecretString) -> kit::access::Claims {
    jsonwebtoken::dangerous::insecure_decode(token.expose_secret())
        .unwrap()
        .claims
}
