//! The three services in one process.

use std::net::SocketAddr;

use anyhow::Context;
use kit::{
    config::{ConfigError, Peers, ServiceConfig, ServiceName, SuiteArgs},
    db::Db,
    server::{Server, ServerError},
};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What each service starts with.
pub struct SuiteConfig {
    /// identity's.
    pub identity: ServiceConfig,
    /// chat's; where identity is found is filled in.
    pub chat: ServiceConfig,
    /// attribution's; where the others are found is filled in.
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
    /// One for each service, in the order in which they started.
    stops: Vec<CancellationToken>,
    servers: JoinSet<Result<(), ServerError>>,
}

impl Suite {
    /// Starts the services, each one told where the ones before it listen.
    ///
    /// # Errors
    ///
    /// When a database cannot be opened or an address is taken.
    pub async fn start(config: SuiteConfig) -> anyhow::Result<Self> {
        let mut peers = Peers::default();
        let server = build(ServiceName::Identity, config.identity).await?;
        let identity = server.local_addr();
        peers.identity = format!("http://{identity}");
        let mut stops = Vec::new();
        let mut servers = JoinSet::new();
        spawn(&mut servers, &mut stops, server);

        let mut chat_config = config.chat;
        chat_config.peers = peers.clone();
        let server = build(ServiceName::Chat, chat_config).await?;
        let chat = server.local_addr();
        peers.chat = format!("http://{chat}");
        spawn(&mut servers, &mut stops, server);

        let mut attribution_config = config.attribution;
        attribution_config.peers = peers;
        let server = build(ServiceName::Attribution, attribution_config).await?;
        let attribution = server.local_addr();
        spawn(&mut servers, &mut stops, server);

        Ok(Self {
            identity,
            chat,
            attribution,
            stops,
            servers,
        })
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
pub fn configs(args: &SuiteArgs) -> Result<SuiteConfig, ConfigError> {
    let secrets = args.secrets()?;
    Ok(SuiteConfig {
        identity: args.service(ServiceName::Identity, secrets.clone())?,
        chat: args.service(ServiceName::Chat, secrets.clone())?,
        attribution: args.service(ServiceName::Attribution, secrets)?,
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
    let configs = configs(args)?;
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
        println!("{:<12} up to date", name.as_str());
    }
    Ok(())
}
