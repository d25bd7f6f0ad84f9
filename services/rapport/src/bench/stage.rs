//! Where a benchmark takes place: databases of its own, a suite on them, and pgbench beside it.

use anyhow::Context;
use diesel::{QueryableByName, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kit::{
    config::{Secrets, ServiceName},
    db::{Connection, Db, Migrations},
    limit::LimitConfig,
};
use secrecy::ExposeSecret;

use super::{
    Engine,
    cluster::Cluster,
    floor::Floor,
    programs::Programs,
    report::{Report, progress},
};
use crate::{
    client::Channels,
    databases::{self, Databases},
    suite::Suite,
};

const FLOOR: &str = "pgbench";
/// Part of what the databases are called.
const PURPOSE: &str = "bench";

/// Databases of the suite, and of pgbench.
pub(super) struct Stage {
    suite: Databases,
    floor: Databases,
    programs: Programs,
    /// Absent on a server that was named.
    cluster: Option<Cluster>,
}

/// A suite that runs on the stage.
pub(super) struct Running {
    pub(super) suite: Suite,
    pub(super) channels: Channels,
    pub(super) operator_token: String,
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    value: String,
}

impl Stage {
    /// Makes the databases, and a PostgreSQL where none was named.
    pub(super) async fn set(engine: Option<&Engine>, programs: Programs) -> anyhow::Result<Self> {
        let (server, cluster) = match engine {
            Some(Engine::Server(server)) => (server.clone(), None),
            Some(Engine::Sqlite) | None => {
                progress("starting a private PostgreSQL");
                let cluster = Cluster::start(&programs).await?;
                (cluster.url(), Some(cluster))
            }
        };
        let suite = match engine {
            Some(Engine::Sqlite) => Databases::in_folder(PURPOSE)?,
            Some(Engine::Server(_)) | None => {
                Databases::on_server(server.clone(), PURPOSE, databases::SUITE).await?
            }
        };
        Ok(Self {
            suite,
            floor: Databases::on_server(server, PURPOSE, &[FLOOR]).await?,
            programs,
            cluster,
        })
    }

    /// Returns a stage of the same kind beside this one, to be cleared before it.
    pub(super) async fn beside(&self) -> anyhow::Result<Self> {
        Ok(Self {
            suite: self.suite.again(PURPOSE).await?,
            floor: self.floor.again(PURPOSE).await?,
            programs: self.programs.clone(),
            cluster: None,
        })
    }

    /// Removes the databases; those of a PostgreSQL of one's own go with it.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        if self.cluster.is_none() {
            self.suite.remove().await?;
            self.floor.remove().await?;
        }
        Ok(())
    }

    /// Starts the three services, each on its database and a free port, without limits: all calls come
    /// from one address.
    pub(super) async fn start_suite(&self) -> anyhow::Result<Running> {
        let secrets = Secrets::random();
        let suite = Suite::start(self.suite.suite_config(&secrets, &LimitConfig::off())).await?;
        let operator_token = secrets
            .operator_token
            .context("random secrets have an operator")?;
        Ok(Running {
            channels: suite.channels()?,
            operator_token: operator_token.expose_secret().to_owned(),
            suite,
        })
    }

    /// Returns chat's database, beside the service that runs on it.
    pub(super) async fn chat_db(&self) -> anyhow::Result<Db> {
        self.open(ServiceName::Chat, chat::migrations()).await
    }

    /// Returns identity's database, beside the service that runs on it.
    pub(super) async fn identity_db(&self) -> anyhow::Result<Db> {
        self.open(ServiceName::Identity, identity::migrations())
            .await
    }

    /// Returns attribution's database, beside the service that runs on it.
    pub(super) async fn attribution_db(&self) -> anyhow::Result<Db> {
        self.open(ServiceName::Attribution, attribution::migrations())
            .await
    }

    async fn open(&self, name: ServiceName, migrations: Migrations) -> anyhow::Result<Db> {
        Ok(Db::open(&self.suite.url(name.as_str()), migrations).await?)
    }

    /// Returns pgbench, ready to run.
    pub(super) async fn floor(&self, payload_bytes: usize) -> anyhow::Result<Floor> {
        Floor::lay(&self.programs, self.floor.url(FLOOR), payload_bytes).await
    }

    /// Reports the engine, and how PostgreSQL is set up.
    pub(super) async fn describe(&self, report: &Report) -> anyhow::Result<()> {
        match &self.suite {
            Databases::Files(_) => {
                let db = self.chat_db().await?;
                let mut connection = db.read().await?;
                if let Connection::Sqlite(c) = &mut *connection {
                    let query = "SELECT 'engine' AS name, 'SQLite ' || sqlite_version() AS value";
                    let engine: Setting = diesel::sql_query(query).get_result(c).await?;
                    report.fact(&engine.name, &engine.value)?;
                }
            }
            Databases::OnServer { .. } => report.fact("engine", "PostgreSQL")?,
        }
        let kit::db::DatabaseUrl::Postgres(url) = self.floor.url(FLOOR) else {
            return Ok(());
        };
        let mut connection = AsyncPgConnection::establish(url.expose_secret()).await?;
        let settings: Vec<Setting> = diesel::sql_query(
            "SELECT name, setting AS value FROM pg_settings WHERE name IN ('server_version', \
             'fsync', 'synchronous_commit', 'full_page_writes') ORDER BY name",
        )
        .load(&mut connection)
        .await?;
        for Setting { name, value } in settings {
            report.fact(&format!("postgresql.{name}"), &value)?;
        }
        Ok(())
    }
}
