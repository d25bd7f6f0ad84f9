//! A running service, and the requests of its callers.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use identity::Service;
use kit::{
    clock::Clock,
    config::{ImagesUrl, Peers, Secrets, ServiceConfig},
    db::DatabaseUrl,
    limit::LimitConfig,
    secret::{EmailDigestKey, Key, SealingKey},
    server::Listen,
};
use rapport_proto::{
    access::v1::Scope,
    identity::v1::{
        self as proto, account_service_client::AccountServiceClient,
        brand_service_client::BrandServiceClient, create_assertion_key_request::Material,
        link_service_client::LinkServiceClient, session_service_client::SessionServiceClient,
        sign_in_request::Assertion,
    },
};
use sha2::Sha256;
use tokio::sync::oneshot;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

pub(crate) const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
pub(crate) const OPERATOR: &str = "operator-token-of-the-test";
pub(crate) const SUITE: &str = "suite-secret-of-the-test";

pub(crate) fn secrets() -> Secrets {
    Secrets {
        sealing_key: SealingKey::new(Key::random()),
        email_digest_key: EmailDigestKey::new(Key::random()),
        suite_secret: SUITE.into(),
        operator_token: Some(OPERATOR.into()),
    }
}

/// An address at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) fn config(database: &DatabaseUrl, secrets: Secrets) -> ServiceConfig {
    ServiceConfig {
        listen: Listen::anywhere(),
        health: None,
        tls: None,
        database: database.clone(),
        images: ImagesUrl::Memory,
        broker: None,
        // Nobody listens on port 1.
        peers: Peers {
            identity: NOBODY.to_owned(),
            chat: NOBODY.to_owned(),
            attribution: NOBODY.to_owned(),
        },
        secrets,
        clock: Clock::system(),
        identity_silence_limit: Duration::from_secs(30),
        limits: LimitConfig::default(),
        connections: Default::default(),
        allow_private_key_addresses: false,
        signing_key_lifetime: kit::config::DEFAULT_SIGNING_KEY_LIFETIME,
    }
}

/// A running service, stopped with this value.
pub(crate) struct Running {
    channel: Channel,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(database: &DatabaseUrl, secrets: Secrets) -> Self {
        Self::start_with(config(database, secrets)).await
    }

    pub(crate) async fn start_with(config: ServiceConfig) -> Self {
        let server = Service::build(config).await.unwrap();
        let uri = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stop = async { stopped.await.unwrap_or(()) };
            server.run_until(stop).await.unwrap();
        });
        Self {
            channel: kit::server::channel(&uri).unwrap(),
            stop: Some(stop),
            task,
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    pub(crate) fn brands(&self) -> BrandServiceClient<Channel> {
        BrandServiceClient::new(self.channel.clone())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel.clone())
    }

    pub(crate) fn links(&self) -> LinkServiceClient<Channel> {
        LinkServiceClient::new(self.channel.clone())
    }

    /// Makes the Brand, its secret, and a token for a program of it.
    pub(crate) async fn add_brand(&self, slug: &str, scopes: &[Scope]) -> String {
        let brand = proto::Brand {
            brand_id: slug.to_owned(),
            display_name: "Shop".to_owned(),
            ..Default::default()
        };
        let request = proto::CreateBrandRequest {
            brand: Some(brand),
            request_id: id(),
        };
        self.brands()
            .create_brand(with(request, OPERATOR))
            .await
            .unwrap();
        let request = proto::CreateAssertionKeyRequest {
            brand_id: slug.to_owned(),
            material: Some(Material::HmacSecret(proto::HmacSecret {
                imported_secret: SECRET.to_vec(),
            })),
            request_id: id(),
            ..Default::default()
        };
        self.brands()
            .create_assertion_key(with(request, OPERATOR))
            .await
            .unwrap();
        let request = proto::CreateApiKeyRequest {
            brand_id: slug.to_owned(),
            display_name: "Program".to_owned(),
            scopes: scopes.iter().map(|scope| i32::from(*scope)).collect(),
            request_id: id(),
            ..Default::default()
        };
        let made = self
            .brands()
            .create_api_key(with(request, OPERATOR))
            .await
            .unwrap();
        let request = proto::IssueServiceTokenRequest {
            brand_id: slug.to_owned(),
            api_key: made.into_inner().secret,
        };
        let issued = self.sessions().issue_service_token(request).await.unwrap();
        issued.into_inner().access_token
    }
}

pub(crate) fn id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

pub(crate) fn start_request(slug: &str) -> proto::StartTemporarySessionRequest {
    proto::StartTemporarySessionRequest {
        brand_id: slug.to_owned(),
        username: "Ann".to_owned(),
        email: "ann@mail.example".to_owned(),
        widget: proto::Widget::Community.into(),
        accepted_widget_policy_version: "1".to_owned(),
        request_id: id(),
    }
}

/// Signs that the visitor is the customer, for five minutes.
pub(crate) fn user_data(slug: &str, customer: &str, secret: &[u8]) -> proto::SignedUserData {
    let now = Clock::system().now().timestamp();
    let json = format!(
        r#"{{"brand_id":"{slug}","customer_id":"{customer}","iat":{now},"exp":{}}}"#,
        now + 300
    );
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).unwrap();
    mac.update(json.as_bytes());
    proto::SignedUserData {
        signature: BASE64_STANDARD.encode(mac.finalize().into_bytes()),
        user_data_json: json,
        assertion_key_id: String::new(),
    }
}

pub(crate) fn sign_in_request(slug: &str, customer: &str, token: &str) -> proto::SignInRequest {
    proto::SignInRequest {
        brand_id: slug.to_owned(),
        assertion: Some(Assertion::SignedUserData(user_data(slug, customer, SECRET))),
        temporary_session_token: token.to_owned(),
        widget: proto::Widget::Community.into(),
        validate_only: false,
        request_id: id(),
        accepted_widget_policy_version: "1".to_owned(),
    }
}

impl Running {
    /// Starts a temporary session.
    pub(crate) async fn start_session(&self, slug: &str) -> proto::StartTemporarySessionResponse {
        let request = start_request(slug);
        let started = self.sessions().start_temporary_session(request).await;
        started.unwrap().into_inner()
    }

    /// Signs a customer in, with the token of a temporary session where it is not empty.
    pub(crate) async fn sign_in(
        &self,
        slug: &str,
        customer: &str,
        token: &str,
    ) -> proto::SignInResponse {
        let request = sign_in_request(slug, customer, token);
        self.sessions().sign_in(request).await.unwrap().into_inner()
    }
}

pub(crate) fn check(status: Result<impl std::fmt::Debug, Status>, code: Code, reason: &str) {
    let status = status.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!((status.code(), info.reason.as_str()), (code, reason));
    assert_eq!(info.domain, "identity.rapport");
}
