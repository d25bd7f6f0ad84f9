//! How events go from one service to the others: over gRPC, or through NATS JetStream.

use std::{fmt, net::IpAddr};

use async_nats::ServerAddr;
use clap::Args;

use super::{ConfigError, Mode, SuiteArgs};
use crate::tls::TlsFiles;

const URL: &str = "RAPPORT_EVENTS_URL";
const MONITORS: &str = "RAPPORT_EVENTS_MONITORS";

/// The flags about the transport of events.
#[derive(Args, Clone, Debug)]
pub struct EventsArgs {
    /// NATS servers that events go through, nats://… or tls://…, with commas between them [default: the
    /// services read each other's logs over gRPC].
    #[arg(
        long,
        global = true,
        env = "RAPPORT_EVENTS_URL",
        hide_env_values = true
    )]
    pub events_url: Option<BrokerUrl>,
    /// On how many of the NATS servers each stream is kept.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_EVENTS_REPLICAS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5)
    )]
    pub events_replicas: u8,
    /// Where the NATS servers are monitored, HOST:PORT of each, with commas between them. A start asks there
    /// whether they write before they acknowledge; required in production.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_EVENTS_MONITORS",
        value_delimiter = ','
    )]
    pub events_monitors: Vec<String>,
}

impl SuiteArgs {
    /// Returns the broker that events go through, if there is one.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when it could be overheard, or in production lose events unnoticed.
    pub fn broker(&self) -> Result<Option<BrokerConfig>, ConfigError> {
        let events = &self.events;
        let Some(url) = &events.events_url else {
            return Ok(None);
        };
        if let Some(server) = url.0.iter().find(|server| !is_safe(server)) {
            return Err(ConfigError::Invalid {
                setting: URL,
                problem: format!(
                    "{} is not on loopback, and nats:// is not encrypted: use tls://",
                    server.host()
                ),
            });
        }
        if self.mode == Mode::Production && events.events_monitors.is_empty() {
            return Err(ConfigError::Missing { setting: MONITORS });
        }
        Ok(Some(BrokerConfig {
            url: url.clone(),
            tls: self.tls.files(),
            replica_count: events.events_replicas.into(),
            monitors: events.events_monitors.clone(),
        }))
    }
}

/// Forged events could resume a suspended Brand, so they travel encrypted or not at all.
fn is_safe(server: &ServerAddr) -> bool {
    let is_loopback = match server.host().parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => server.host() == "localhost",
    };
    is_loopback || server.tls_required()
}

/// The broker that events go through.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where it is.
    pub url: BrokerUrl,
    /// Whom its tls:// servers are trusted by, and what they are shown; without it, whom the system trusts.
    pub tls: Option<TlsFiles>,
    /// On how many of its servers each stream is kept.
    pub replica_count: usize,
    /// Where its servers are monitored, as HOST:PORT; without any nobody asks whether they write before
    /// they acknowledge.
    pub monitors: Vec<String>,
}

/// The servers of a broker. The text may hold a password, so it is never shown.
#[derive(Clone)]
pub struct BrokerUrl(pub(crate) Vec<ServerAddr>);

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.0.iter().map(ServerAddr::host);
        f.debug_list().entries(hosts).finish()
    }
}

/// A text that names no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an events URL begins with nats:// or tls://")]
pub struct UnknownBroker;

impl std::str::FromStr for BrokerUrl {
    type Err = UnknownBroker;

    fn from_str(text: &str) -> Result<Self, UnknownBroker> {
        let servers = text.split(',').map(|server| {
            let is_nats = server.starts_with("nats://") || server.starts_with("tls://");
            let server = is_nats.then(|| server.parse().ok()).flatten();
            server.ok_or(UnknownBroker)
        });
        servers.collect::<Result<_, _>>().map(Self)
    }
}
