//! gRPC clients of a running suite, as a Brand's shop, its visitors and its Members have them.

mod conversation;
pub mod shop;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use kit::{
    access::Bearer,
    server::channel_by,
    tls::{Tls, scheme},
};
use rapport_proto::{
    attribution::v1::{
        attribution_service_client::AttributionServiceClient,
        order_service_client::OrderServiceClient,
    },
    chat::v1::{
        chat_service_client::ChatServiceClient,
        message_event_service_client::MessageEventServiceClient,
    },
    identity::v1::{
        SignedUserData, account_service_client::AccountServiceClient,
        brand_service_client::BrandServiceClient, link_service_client::LinkServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use sha2::Sha256;
use tonic::{service::interceptor::InterceptedService, transport::Channel};
use tonic_health::pb::health_client::HealthClient;
use uuid::Uuid;

/// How long a story waits for what one service learns from another.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A channel that shows a credential with each call.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Connections to the three services, of which there may be several replicas: callers take turns among them.
#[derive(Clone)]
pub struct Channels {
    replicas: Arc<[Replica]>,
    turn: Arc<AtomicUsize>,
}

/// Connections to one replica of each service.
struct Replica {
    identity: Channel,
    chat: Channel,
    attribution: Channel,
}

/// The clients of one caller; which of them may be used is for the services to say.
#[derive(Clone)]
pub struct Caller {
    /// Brands, policies and keys.
    pub brands: BrandServiceClient<Authorized>,
    /// Sessions.
    pub sessions: SessionServiceClient<Authorized>,
    /// Accounts and Members.
    pub accounts: AccountServiceClient<Authorized>,
    /// Links and persons.
    pub links: LinkServiceClient<Authorized>,
    /// Chatrooms and messages.
    pub chat: ChatServiceClient<Authorized>,
    /// What happened in chatrooms.
    pub message_events: MessageEventServiceClient<Authorized>,
    /// Orders.
    pub orders: OrderServiceClient<Authorized>,
    /// Attributions and ledger.
    pub attributions: AttributionServiceClient<Authorized>,
}

impl Channels {
    /// Returns connections that are made when they are first used.
    ///
    /// # Errors
    ///
    /// Never for the addresses of sockets; they are URIs.
    pub fn new(
        identity: SocketAddr,
        chat: SocketAddr,
        attribution: SocketAddr,
    ) -> anyhow::Result<Self> {
        Self::to_replicas(&[[identity, chat, attribution]])
    }

    /// Returns connections to replicas: of each, the addresses of identity, chat and attribution.
    ///
    /// # Errors
    ///
    /// As [`Channels::new`]; where there is no replica.
    pub fn to_replicas(addrs: &[[SocketAddr; 3]]) -> anyhow::Result<Self> {
        Self::by(None, addrs)
    }

    /// Returns connections to replicas that are encrypted by `tls`, if there is any.
    ///
    /// # Errors
    ///
    /// As [`Channels::to_replicas`].
    pub fn by(tls: Option<&Tls>, addrs: &[[SocketAddr; 3]]) -> anyhow::Result<Self> {
        ensure!(!addrs.is_empty(), "there is no replica to connect to");
        let channel = |addr| channel_by(tls, &format!("{}://{addr}", scheme(tls)));
        let replicas = addrs.iter().map(|&[identity, chat, attribution]| {
            Ok(Replica {
                identity: channel(identity)?,
                chat: channel(chat)?,
                attribution: channel(attribution)?,
            })
        });
        Ok(Self {
            replicas: replicas.collect::<anyhow::Result<_>>()?,
            turn: Arc::default(),
        })
    }

    fn next(&self) -> &Replica {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.replicas[turn % self.replicas.len()]
    }

    /// Returns the client of those who have no credential.
    pub fn anonymous(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.next().identity.clone())
    }

    /// Returns the client that asks chat whether it serves.
    pub fn chat_health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.next().chat.clone())
    }

    /// Returns the clients of the caller whose credential is `token`.
    ///
    /// # Errors
    ///
    /// When no header can carry the token.
    pub fn caller(&self, token: &str) -> anyhow::Result<Caller> {
        let credential = Bearer::new(&token.into())?;
        let replica = self.next();
        let with = |channel: &Channel| InterceptedService::new(channel.clone(), credential.clone());
        Ok(Caller {
            brands: BrandServiceClient::new(with(&replica.identity)),
            sessions: SessionServiceClient::new(with(&replica.identity)),
            accounts: AccountServiceClient::new(with(&replica.identity)),
            links: LinkServiceClient::new(with(&replica.identity)),
            chat: ChatServiceClient::new(with(&replica.chat)),
            message_events: MessageEventServiceClient::new(with(&replica.chat)),
            orders: OrderServiceClient::new(with(&replica.attribution)),
            attributions: AttributionServiceClient::new(with(&replica.attribution)),
        })
    }
}

/// Returns a fresh `request_id` or `message_id`.
pub fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// Returns what `look` finds, looking again until it finds something.
///
/// # Errors
///
/// The first error of `look`; or that `what` did not come about within half a minute.
pub async fn wait_until<T, Found>(what: &str, mut look: impl FnMut() -> Found) -> anyhow::Result<T>
where
    Found: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("waited in vain until {what}");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What a shop says of a customer who has signed in with it.
#[derive(Clone, Debug)]
pub struct UserData<'a> {
    /// The Brand's slug.
    pub brand_id: &'a str,
    /// The customer's id at the Brand.
    pub customer_id: &'a str,
    /// The customer's e-mail at the Brand.
    pub email: Option<&'a str>,
    /// The nonce of the temporary session.
    pub nonce: Option<&'a str>,
    /// When the shop signs it; it expires five minutes later.
    pub sign_time: DateTime<Utc>,
}

impl UserData<'_> {
    /// Returns the data signed as a shop's backend does it, with HMAC-SHA-256 under `secret`.
    pub fn sign(&self, secret: &[u8]) -> SignedUserData {
        let mut document = serde_json::json!({
            "brand_id": self.brand_id,
            "customer_id": self.customer_id,
            "iat": self.sign_time.timestamp(),
            "exp": self.sign_time.timestamp() + 300,
        });
        for (name, value) in [("email", self.email), ("nonce", self.nonce)] {
            if let Some(value) = value {
                document[name] = value.into();
            }
        }
        let user_data_json = document.to_string();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(user_data_json.as_bytes());
        let signature = mac.finalize().into_bytes();
        SignedUserData {
            signature: signature.iter().map(|byte| format!("{byte:02x}")).collect(),
            user_data_json,
            assertion_key_id: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rapport_proto::identity::v1::GetKeySetRequest;
    use tokio::net::TcpListener;

    use super::*;

    /// Accepts nobody, and tells that somebody came.
    async fn replica() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    #[tokio::test]
    async fn callers_take_turns_among_replicas() {
        let (one, first) = replica().await;
        let (other, second) = replica().await;
        let channels = Channels::to_replicas(&[[one; 3], [other; 3]]).unwrap();
        let mut reached = BTreeSet::new();
        for _ in 0..2 {
            let mut caller = channels.anonymous();
            let call = tokio::spawn(async move {
                let _ = caller.get_key_set(GetKeySetRequest::default()).await;
            });
            let accepted = tokio::select! {
                Ok(_) = first.accept() => one,
                Ok(_) = second.accept() => other,
            };
            reached.insert(accepted);
            call.abort();
        }
        assert_eq!(reached, BTreeSet::from([one, other]));
        assert!(Channels::to_replicas(&[]).is_err());
    }
}
