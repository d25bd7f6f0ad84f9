//! The three services in one process.

use std::net::SocketAddr;

use anyhow::Context;
use chat::ImagesUnusable;
use kit::{
    backoff::Backoff,
    broker::BrokerError,
    config::{ConfigError, Peers, ServiceConfig, ServiceName, SuiteArgs},
    db::{Db, StoreError},
    server::{Server, ServerError, answer_until},
    tls::{Tls, scheme},
};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::client::Channels;

/// What each service starts with; where the others are found is filled in.
pub struct SuiteConfig {
    /// identity's.
    pub identity: ServiceConfig,
    /// chat's.
    pub chat: ServiceConfig,
    /// attribution's.
    pub attribution: ServiceConfig,
}

/// The three services, running.
pub struct Suite {
    /// Where identity listens.
    pub identity: SocketAddr,
    /// Where chat listens.
    pub chat: SocketAddr,
    /// Where attribution listens.
    pub attribution: SocketAddr,
    /// What encrypts calls to them, if anything does.
    tls: Option<Tls>,
    /// One for each service, in the order in which they started.
    stops: Vec<CancellationToken>,
    servers: JoinSet<Result<(), ServerError>>,
}

impl Suite {
    /// Starts the services; their sockets are bound first, so that each can be told where the others
    /// listen.
    ///
    /// # Errors
    ///
    /// When a database cannot be opened or an address is taken.
    pub async fn start(config: SuiteConfig) -> anyhow::Result<Self> {
        let mut configs = [config.identity, config.chat, config.attribution];
        let mut addrs = Vec::new();
        for config in &mut configs {
            let (bound, addr) = config.listen.clone().bound()?;
            config.listen = bound;
            addrs.push(addr);
        }
        let [identity, chat, attribution] = [addrs[0], addrs[1], addrs[2]];
        let tls = configs[0].tls.clone();
        let scheme = scheme(tls.as_ref());
        let peers = Peers {
            identity: format!("{scheme}://{identity}"),
            chat: format!("{scheme}://{chat}"),
            attribution: format!("{scheme}://{attribution}"),
        };
        let mut stops = Vec::new();
        let mut servers = JoinSet::new();
        let names = [
            ServiceName::Identity,
            ServiceName::Chat,
            ServiceName::Attribution,
        ];
        for (name, mut config) in names.into_iter().zip(configs) {
            config.peers = peers.clone();
            let server = Box::pin(build(name, config)).await?;
            spawn(&mut servers, &mut stops, server);
        }
        Ok(Self {
            identity,
            chat,
            attribution,
            tls,
            stops,
            servers,
        })
    }

    /// Returns connections to the services, which are made when they are first used.
    ///
    /// # Errors
    ///
    /// Never: where the services listen can be called.
    pub fn channels(&self) -> anyhow::Result<Channels> {
        let addrs = [self.identity, self.chat, self.attribution];
        Channels::by(self.tls.as_ref(), &[addrs])
    }

    /// Runs until `stop`, or until a service fails, and drains all of them: those that ask first, the
    /// one that is asked last, so that none misses a peer.
    ///
    /// # Errors
    ///
    /// The first failure of a service.
    pub async fn run_until(mut self, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let mut failure = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = self.servers.join_next() => flatten(ended),
        };
        while let Some(stop) = self.stops.pop() {
            stop.cancel();
            // One that failed has ended already, without having been told to.
            if self.servers.len() > self.stops.len()
                && let Some(ended) = self.servers.join_next().await
            {
                failure = failure.and(flatten(ended));
            }
        }
        failure
    }

    /// Stops attribution; the others go on.
    ///
    /// # Errors
    ///
    /// When it had failed.
    pub async fn stop_attribution(&mut self) -> anyhow::Result<()> {
        if let Some(stop) = self.stops.pop() {
            stop.cancel();
        }
        self.servers.join_next().await.map_or(Ok(()), flatten)
    }

    /// Stops the services.
    ///
    /// # Errors
    ///
    /// The first failure of a service.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.run_until(std::future::ready(())).await
    }
}

fn spawn(
    servers: &mut JoinSet<Result<(), ServerError>>,
    stops: &mut Vec<CancellationToken>,
    server: Server,
) {
    let stop = CancellationToken::new();
    servers.spawn(server.run_until(stop.clone().cancelled_owned()));
    stops.push(stop);
}

fn flatten(ended: Result<Result<(), ServerError>, JoinError>) -> anyhow::Result<()> {
    Ok(ended??)
}

/// Returns the configuration of the three services.
///
/// # Errors
///
/// [`ConfigError`] says which setting is missing or wrong.
pub async fn configs(args: &SuiteArgs) -> Result<SuiteConfig, ConfigError> {
    let secrets = args.secrets()?;
    let tls = args.tls().await?;
    let service = |name| args.service(name, secrets.clone(), tls.clone());
    Ok(SuiteConfig {
        identity: service(ServiceName::Identity)?,
        chat: service(ServiceName::Chat)?,
        attribution: service(ServiceName::Attribution)?,
    })
}

/// Builds one service, and until its database, its broker and its bucket can be reached, says on its port that it lives
/// and is not ready, and tries again; so its socket is bound already. One that is there and cannot be used
/// is an error as in [`build`].
///
/// # Errors
///
/// When anything else fails.
pub async fn build_patiently(name: ServiceName, config: ServiceConfig) -> anyhow::Result<Server> {
    let first = Box::pin(build(name, config.clone())).await;
    match first {
        Err(error) if is_unreachable(&error) => {
            let ready = retry(name, config.clone(), error);
            Box::pin(answer_until(name, &config, ready)).await?
        }
        result => result,
    }
}

async fn retry(
    name: ServiceName,
    config: ServiceConfig,
    mut last: anyhow::Error,
) -> anyhow::Result<Server> {
    let mut backoff = Backoff::new();
    loop {
        tracing::warn!(
            error = format!("{last:#}"),
            "service cannot start yet and tries again"
        );
        tokio::time::sleep(backoff.wait()).await;
        match Box::pin(build(name, config.clone())).await {
            Err(error) if is_unreachable(&error) => last = error,
            result => return result,
        }
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let database = cause.downcast_ref::<StoreError>();
        let broker = cause.downcast_ref::<BrokerError>();
        let images = cause.downcast_ref::<ImagesUnusable>();
        matches!(database, Some(StoreError::Unavailable(_)))
            || broker.is_some_and(BrokerError::is_passing)
            || images.is_some_and(ImagesUnusable::is_passing)
    })
}

/// Builds one service: opens its database and binds its port.
///
/// # Errors
///
/// When either fails.
pub async fn build(name: ServiceName, config: ServiceConfig) -> anyhow::Result<Server> {
    let server = match name {
        ServiceName::Identity => identity::Service::build(config)
            .await
            .map_err(anyhow::Error::from),
        ServiceName::Chat => chat::Service::build(config)
            .await
            .map_err(anyhow::Error::from),
        ServiceName::Attribution => attribution::Service::build(config)
            .await
            .map_err(anyhow::Error::from),
    };
    server.with_context(|| format!("{} cannot start", name.as_str()))
}

/// Brings the three databases up to date.
///
/// # Errors
///
/// When one cannot be reached or migrated.
pub async fn migrate(args: &SuiteArgs) -> anyhow::Result<()> {
    let configs = configs(args).await?;
    let databases = [
        (
            ServiceName::Identity,
            configs.identity.database,
            identity::migrations(),
        ),
        (ServiceName::Chat, configs.chat.database, chat::migrations()),
        (
            ServiceName::Attribution,
            configs.attribution.database,
            attribution::migrations(),
        ),
    ];
    for (name, url, migrations) in databases {
        Db::open(&url, migrations)
            .await
            .with_context(|| format!("{}'s database cannot be migrated", name.as_str()))?;
        crate::say!("{:<12} up to date", name.as_str());
    }
    Ok(())
}
