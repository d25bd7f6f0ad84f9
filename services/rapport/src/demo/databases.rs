//! The databases of one run of the demo, removed at its end.

use anyhow::Context;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kit::{config::ServiceName, db::DatabaseUrl};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

const SERVICES: [ServiceName; 3] = [
    ServiceName::Identity,
    ServiceName::Chat,
    ServiceName::Attribution,
];

/// Three databases that nobody else uses.
pub(super) enum Databases {
    /// Files in a folder that goes with them.
    Files(TempDir),
    /// Databases on a server, their names ending in the service's.
    OnServer {
        /// The server, as it was named.
        server: SecretString,
        /// What their names begin with.
        prefix: String,
    },
}

impl Databases {
    /// Makes them: on the PostgreSQL server of `url`, or as files.
    pub(super) async fn create(url: Option<&DatabaseUrl>) -> anyhow::Result<Self> {
        let server = match url {
            Some(DatabaseUrl::Postgres(server)) => server.clone(),
            Some(DatabaseUrl::Sqlite(_)) => {
                anyhow::bail!("--database-url names a PostgreSQL server; without it files are used")
            }
            None => {
                return Ok(Self::Files(
                    tempfile::Builder::new().prefix("rapport-demo").tempdir()?,
                ));
            }
        };
        let prefix = format!("rapport_demo_{}", uuid::Uuid::new_v4().simple());
        let databases = Self::OnServer { server, prefix };
        databases.for_each_on_server("CREATE DATABASE").await?;
        Ok(databases)
    }

    /// Removes them; files go with their folder.
    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        self.for_each_on_server("DROP DATABASE").await
    }

    /// Returns where a service's database is.
    pub(super) fn url(&self, service: ServiceName) -> DatabaseUrl {
        match self {
            Self::Files(folder) => {
                DatabaseUrl::Sqlite(folder.path().join(format!("{}.sqlite3", service.as_str())))
            }
            Self::OnServer { server, prefix } => {
                let server = server.expose_secret();
                let (server, parameters) = match server.split_once('?') {
                    Some((server, parameters)) => (server, format!("?{parameters}")),
                    None => (server, String::new()),
                };
                let server = server.rsplit_once('/').map_or(server, |(server, _)| server);
                let url = format!("{server}/{prefix}_{}{parameters}", service.as_str());
                DatabaseUrl::Postgres(url.into())
            }
        }
    }

    async fn for_each_on_server(&self, statement: &str) -> anyhow::Result<()> {
        let Self::OnServer { server, prefix } = self else {
            return Ok(());
        };
        let mut connection = AsyncPgConnection::establish(server.expose_secret())
            .await
            .context("the server of --database-url does not answer")?;
        for service in SERVICES {
            // Names are made of fixed words and hexadecimal digits; a statement cannot bind them.
            let name = format!("{prefix}_{}", service.as_str());
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
