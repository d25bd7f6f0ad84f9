//! Databases of one run of a demo or a benchmark, removed at its end.

use std::time::Duration;

use anyhow::Context;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kit::{
    clock::Clock,
    config::{ImagesUrl, Peers, Secrets, ServiceConfig, ServiceName},
    db::DatabaseUrl,
    limit::LimitConfig,
    server::Listen,
};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::suite::SuiteConfig;

/// What the databases of a whole suite are called.
pub(crate) const SUITE: &[&str] = &["identity", "chat", "attribution"];

/// Databases that nobody else uses.
pub(crate) enum Databases {
    /// Files in a folder that goes with them.
    Files(TempDir),
    /// Databases on a server.
    OnServer {
        /// The server, as it was named.
        server: SecretString,
        /// What their names begin with.
        prefix: String,
        /// What they end with.
        names: &'static [&'static str],
    },
}

impl Databases {
    /// Returns a folder for databases that are files; `purpose` is part of its name.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(crate) fn in_folder(purpose: &str) -> anyhow::Result<Self> {
        let prefix = format!("rapport-{purpose}");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        Ok(Self::Files(folder))
    }

    /// Makes databases called `names` on a PostgreSQL server; `purpose` is part of what theirs are
    /// called there.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or does not let them be made.
    pub(crate) async fn on_server(
        server: SecretString,
        purpose: &str,
        names: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let prefix = format!("rapport_{purpose}_{}", uuid::Uuid::new_v4().simple());
        let databases = Self::OnServer {
            server,
            prefix,
            names,
        };
        databases.for_each_on_server("CREATE DATABASE").await?;
        Ok(databases)
    }

    /// Makes others of the same kind at the same place.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    pub(crate) async fn again(&self, purpose: &str) -> anyhow::Result<Self> {
        match self {
            Self::Files(_) => Self::in_folder(purpose),
            Self::OnServer { server, names, .. } => {
                Self::on_server(server.clone(), purpose, names).await
            }
        }
    }

    /// Removes them; files go with their folder.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        self.for_each_on_server("DROP DATABASE").await
    }

    /// Returns where the database called `name` is.
    pub(crate) fn url(&self, name: &str) -> DatabaseUrl {
        match self {
            Self::Files(folder) => {
                DatabaseUrl::Sqlite(folder.path().join(format!("{name}.sqlite3")))
            }
            Self::OnServer { server, prefix, .. } => {
                let server = server.expose_secret();
                let (server, parameters) = match server.split_once('?') {
                    Some((server, parameters)) => (server, format!("?{parameters}")),
                    None => (server, String::new()),
                };
                let server = server.rsplit_once('/').map_or(server, |(server, _)| server);
                DatabaseUrl::Postgres(format!("{server}/{prefix}_{name}{parameters}").into())
            }
        }
    }

    /// Returns the configuration of a suite on these databases, which are [`SUITE`], and on free ports.
    pub(crate) fn suite_config(&self, secrets: &Secrets, limits: &LimitConfig) -> SuiteConfig {
        let service = |name: ServiceName| ServiceConfig {
            listen: Listen::anywhere(),
            health: None,
            tls: None,
            database: self.url(name.as_str()),
            images: ImagesUrl::Memory,
            broker: None,
            peers: Peers::default(),
            secrets: secrets.clone(),
            clock: Clock::system(),
            identity_silence_limit: Duration::from_secs(30),
            signing_key_lifetime: kit::config::DEFAULT_SIGNING_KEY_LIFETIME,
            limits: limits.clone(),
            connections: Default::default(),
            allow_private_key_addresses: false,
        };
        SuiteConfig {
            identity: service(ServiceName::Identity),
            chat: service(ServiceName::Chat),
            attribution: service(ServiceName::Attribution),
        }
    }

    async fn for_each_on_server(&self, statement: &str) -> anyhow::Result<()> {
        let Self::OnServer {
            server,
            prefix,
            names,
        } = self
        else {
            return Ok(());
        };
        let mut connection = AsyncPgConnection::establish(server.expose_secret())
            .await
            .context("the server of --database-url does not answer")?;
        for name in *names {
            // Names are made of fixed words and hexadecimal digits; a statement cannot bind them.
            let name = format!("{prefix}_{name}");
            let force = if statement.starts_with("DROP") {
                " WITH (FORCE)"
            } else {
                ""
            };
            diesel::sql_query(format!("{statement} {name}{force}"))
                .execute(&mut connection)
                .await
                .with_context(|| format!("{statement} {name}"))?;
        }
        Ok(())
    }
}
