//! NATS JetStream between the services: the second way for a log to reach its readers.
//!
//! The log in the database stays the truth. A stream is a copy of it: relays of all replicas append to
//! it, each message only behind the one that its writer takes for the last, so that it has what the log
//! has, in its order, once. A reader's place is a position of the log, kept in the transaction of the
//! effects as it is over gRPC, and is found in the stream by search; so either side may be restored,
//! lost or exchanged for the other transport, and nothing is missed.
//!
//! ```text
//! log ─► relay ─► stream of the log ─► reader ─► consumer ─► effects and cursor, then acknowledgement
//!                                                   └─► dead letters ─► replay, at the stream's end
//! ```

mod commits;
mod copy;
mod dead_letters;
mod monitor;
mod reader;
mod relay;
mod streams;

use std::time::Duration;

use async_nats::{Client, ConnectOptions, ServerAddr, jetstream};
use futures_util::TryStreamExt;
use uuid::Uuid;

use self::copy::LogCopy;
pub use self::dead_letters::{DeadLetter, DeadLetters};
pub(crate) use self::reader::{Delivery, Reader};
use crate::{
    config::{BrokerConfig, ServiceName},
    db::{Db, StoreError},
    server::Lifetime,
};

/// Older servers lose streams when they crash (2.10), or acknowledge before what they say is true.
const OLDEST_VERSION: (i64, i64, i64) = (2, 12, 0);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What goes wrong between a service and the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No server answers.
    #[error("the broker cannot be reached")]
    Unreachable(#[source] async_nats::ConnectError),
    /// The server is one that loses what it has acknowledged.
    #[error("the broker is NATS {version}; 2.12 is the oldest that can be trusted")]
    TooOld {
        /// Its version.
        version: String,
    },
    /// A server's monitoring does not say what must be known of it.
    #[error("the broker's monitoring at {addr} does not answer")]
    Monitor {
        /// Where it should be.
        addr: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server acknowledges what it may still lose.
    #[error(
        "the broker at {addr} acknowledges before it writes: set jetstream.sync_interval to always"
    )]
    NotDurable {
        /// Where it is monitored.
        addr: String,
    },
    /// Nobody has said where the server in use is monitored.
    #[error("none of the monitored servers is the one that is connected to")]
    NotMonitored,
    /// A stream is there, and is not as it has to be.
    #[error("the stream {stream} differs in {settings}")]
    Stream {
        /// Its name.
        stream: String,
        /// What differs.
        settings: String,
    },
    /// A request was not answered, or refused.
    #[error("the broker did not {what}")]
    Request {
        /// What it was asked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The stream has events that come later, and not those that come next.
    #[error("the stream of {log} lacks events; read them over gRPC, without RAPPORT_EVENTS_URL")]
    Gap {
        /// Whose log it is.
        log: String,
    },
    /// Another relay has written behind the same message.
    #[error("another relay was first")]
    Outrun,
    /// The broker stopped to deliver.
    #[error("the broker delivers no more")]
    Ended,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[source] StoreError),
}

impl BrokerError {
    /// Tells whether it may be better in a moment: nobody answers yet, or not for long enough.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Monitor { .. } | Self::Request { .. }
        )
    }

    /// Returns what makes an error of a request for `what`.
    fn request<E: Into<Cause>>(what: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Request {
            what,
            source: source.into(),
        }
    }
}

/// Returns options by which connections, also later ones, read the certificates anew.
fn trusting(config: &BrokerConfig) -> ConnectOptions {
    let options = ConnectOptions::new();
    let Some(files) = &config.tls else {
        return options;
    };
    let options = options.add_root_certificates(files.authority.clone());
    match &files.certificate {
        None => options,
        Some(own) => options.add_client_certificate(own.chain.clone(), own.key.clone()),
    }
}

/// The broker, as one service uses it; clones share the connection.
#[derive(Clone)]
pub struct Broker {
    client: Client,
    jetstream: jetstream::Context,
    replica_count: usize,
    /// Of the service, as others know it.
    name: &'static str,
    /// Tells this process from the service's other replicas.
    instance: Uuid,
}

impl Broker {
    /// Connects to the broker, if there is one, as `name`, and refuses one that would lose events.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] says what is wrong with it.
    pub async fn open(
        config: Option<&BrokerConfig>,
        name: &'static str,
    ) -> Result<Option<Self>, BrokerError> {
        let Some(config) = config else {
            return Ok(None);
        };
        let client = trusting(config)
            .name(format!("rapport {name}"))
            .request_timeout(Some(REQUEST_TIMEOUT))
            // What a process says of its own commits, it need not hear.
            .no_echo()
            // No server may lead to another, or to one without TLS.
            .ignore_discovered_servers()
            .require_tls(config.url.0.iter().any(ServerAddr::tls_required))
            .connect(config.url.0.clone())
            .await
            .map_err(BrokerError::Unreachable)?;
        let server = client.server_info();
        let (major, minor, patch) = OLDEST_VERSION;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(BrokerError::TooOld {
                version: server.version,
            });
        }
        monitor::check(&config.monitors, &server.server_id).await?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .build(client.clone());
        let broker = Self {
            client,
            jetstream,
            replica_count: config.replica_count,
            name,
            instance: Uuid::new_v4(),
        };
        Ok(Some(broker))
    }

    /// Tells the other replicas of the service of each commit to `db`, and wakes who reads there when
    /// they tell of one.
    pub fn share_commits(&self, db: &Db, lifetime: &Lifetime) {
        let sharing = commits::share(self.clone(), db.clone(), lifetime.shutdown.clone());
        lifetime.tasks.spawn(sharing);
    }

    /// Publishes the service's log.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Stream`] when its stream is not as it has to be.
    pub async fn relay(&self, db: &Db, lifetime: &Lifetime) -> Result<(), BrokerError> {
        let copy = LogCopy::new(self, self.name);
        copy.open().await?;
        let relaying = relay::run(copy, db.clone(), lifetime.shutdown.clone());
        lifetime.tasks.spawn(relaying);
        Ok(())
    }

    /// Tells whether no installation has streams there.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Request`] when the broker does not answer.
    pub async fn is_unused(&self) -> Result<bool, BrokerError> {
        let name = self.jetstream.stream_names().try_next().await;
        let name = name.map_err(BrokerError::request("list streams"))?;
        Ok(name.is_none())
    }

    /// Returns a reader of a service's log, for [`EventSource::Broker`](crate::consumer::EventSource); it is large.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Stream`] when its stream, or that of dead letters, is not as it has to be.
    pub async fn reader(&self, log: ServiceName) -> Result<Box<Reader>, BrokerError> {
        let copy = LogCopy::new(self, log.as_str());
        copy.open().await?;
        let letters = DeadLetters::open(self).await?;
        Ok(Box::new(Reader::new(log, copy, letters)))
    }
}

#[cfg(test)]
mod tests;
