//! A suite of one's own: free ports, empty databases, random secrets.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use kit::{
    clock::Clock,
    config::{BrokerConfig, ImagesUrl, Peers, Secrets, ServiceConfig},
    db::{Connection, DatabaseUrl, Db},
    limit::LimitConfig,
    server::Listen,
    testing::{TestDatabase, TestEngine},
    tls::Tls,
};
use rapport::{
    client::{Channels, shop::Shop, wait_until},
    suite::{Suite, SuiteConfig},
};
use rapport_proto::{
    event::v1::{Event, event::Payload},
    identity::v1::{MergePolicyPreset, WatchEventsRequest, watch_events_response::Content},
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tonic::Status;
use tonic_types::StatusExt;

/// A running suite, with the databases it runs on.
pub(crate) struct TestSuite {
    pub(crate) suite: Suite,
    pub(crate) channels: Channels,
    pub(crate) operator_token: String,
    pub(crate) suite_secret: String,
    remains: Remains,
}

/// What is left of a suite that does not run.
pub(crate) struct Remains {
    databases: [TestDatabase; 3],
    broker: Option<BrokerConfig>,
    tls: Option<Tls>,
    secrets: Secrets,
    clock: Clock,
}

impl Remains {
    /// Returns what identity starts with when it finds no peer.
    pub(crate) fn identity(&self) -> ServiceConfig {
        let nobody = "http://127.0.0.1:1".to_owned();
        let peers = Peers {
            identity: nobody.clone(),
            chat: nobody.clone(),
            attribution: nobody,
        };
        self.service(&self.databases[0], peers)
    }

    fn service(&self, database: &TestDatabase, peers: Peers) -> ServiceConfig {
        ServiceConfig {
            listen: Listen::anywhere(),
            health: None,
            tls: self.tls.clone(),
            database: database.url.clone(),
            images: ImagesUrl::Memory,
            broker: self.broker.clone(),
            peers,
            secrets: self.secrets.clone(),
            clock: self.clock.clone(),
            identity_silence_limit: Duration::from_secs(30),
            signing_key_lifetime: kit::config::DEFAULT_SIGNING_KEY_LIFETIME,
            // A thousand sign-ins of one customer at once are a race to be seen, not an attack.
            limits: LimitConfig {
                account_per_minute: 0,
                ..LimitConfig::default()
            },
            connections: Default::default(),
            allow_private_key_addresses: true,
        }
    }

    async fn start(&self) -> anyhow::Result<(Suite, Channels)> {
        let service = |database: &TestDatabase| self.service(database, Peers::default());
        let config = SuiteConfig {
            identity: service(&self.databases[0]),
            chat: service(&self.databases[1]),
            attribution: service(&self.databases[2]),
        };
        let suite = Box::pin(Suite::start(config)).await?;
        let channels = suite.channels()?;
        Ok((suite, channels))
    }

    /// Returns the files of chat's SQLite database, as a backup keeps them.
    pub(crate) fn back_up_chat(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.chat_folder()?)? {
            let path = entry?.path();
            files.push((path.clone(), std::fs::read(path)?));
        }
        Ok(files)
    }

    /// Puts a backup in the place of what chat has written since.
    pub(crate) fn put_back_chat(&self, files: &[(PathBuf, Vec<u8>)]) -> anyhow::Result<()> {
        let folder = self.chat_folder()?;
        std::fs::remove_dir_all(folder)?;
        std::fs::create_dir(folder)?;
        for (path, content) in files {
            std::fs::write(path, content)?;
        }
        Ok(())
    }

    fn chat_folder(&self) -> anyhow::Result<&Path> {
        match &self.databases[1].url {
            DatabaseUrl::Sqlite(file) => file.parent().context("the file is in a folder"),
            DatabaseUrl::Postgres(_) => anyhow::bail!("only SQLite's files can be copied"),
        }
    }

    /// Puts other databases in the places of those that it ran on.
    pub(crate) fn put_back_all(&mut self, urls: [DatabaseUrl; 3]) {
        self.databases = urls.map(TestDatabase::at);
    }

    /// Puts another database in the place of identity's.
    pub(crate) fn put_back_identity(&mut self, url: DatabaseUrl) {
        self.databases[0] = TestDatabase::at(url);
    }

    /// Starts the suite again on the same databases.
    pub(crate) async fn restart(self) -> anyhow::Result<TestSuite> {
        TestSuite::run(self).await
    }
}

impl TestSuite {
    pub(crate) async fn start(engine: TestEngine) -> anyhow::Result<Self> {
        Self::start_at(engine, Clock::system()).await
    }

    /// Starts a suite whose services are told the time by `clock`.
    pub(crate) async fn start_at(engine: TestEngine, clock: Clock) -> anyhow::Result<Self> {
        Self::start_with(create(engine).await, clock, None, None).await
    }

    /// Starts a suite whose events go through a broker.
    pub(crate) async fn start_through(
        engine: TestEngine,
        broker: BrokerConfig,
    ) -> anyhow::Result<Self> {
        Self::start_with(create(engine).await, Clock::system(), Some(broker), None).await
    }

    /// Starts a suite whose calls are encrypted.
    pub(crate) async fn start_encrypted(engine: TestEngine, tls: Tls) -> anyhow::Result<Self> {
        Self::start_with(create(engine).await, Clock::system(), None, Some(tls)).await
    }

    /// Starts a suite on databases that there are: identity's, chat's and attribution's.
    pub(crate) async fn start_on(databases: [TestDatabase; 3]) -> anyhow::Result<Self> {
        Self::start_with(databases, Clock::system(), None, None).await
    }

    async fn start_with(
        databases: [TestDatabase; 3],
        clock: Clock,
        broker: Option<BrokerConfig>,
        tls: Option<Tls>,
    ) -> anyhow::Result<Self> {
        let secrets = Secrets::random();
        let remains = Remains {
            databases,
            broker,
            tls,
            secrets,
            clock,
        };
        Self::run(remains).await
    }

    async fn run(remains: Remains) -> anyhow::Result<Self> {
        let (suite, channels) = remains.start().await?;
        let secrets = &remains.secrets;
        let operator_token = secrets
            .operator_token
            .clone()
            .context("random secrets have an operator")?;
        Ok(Self {
            channels,
            operator_token: operator_token.expose_secret().to_owned(),
            suite_secret: secrets.suite_secret.expose_secret().to_owned(),
            suite,
            remains,
        })
    }

    /// Starts another replica of each service.
    pub(crate) async fn replica(&self) -> anyhow::Result<(Suite, Channels)> {
        self.remains.start().await
    }

    /// Returns a new Brand's shop.
    pub(crate) async fn shop(&self, preset: MergePolicyPreset) -> anyhow::Result<Shop> {
        let brand_id = format!("b-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let shop = Shop::open(&self.channels, &self.operator_token, &brand_id).await?;
        shop.set_merge_policy(preset).await?;
        Ok(shop)
    }

    /// Returns a shop of the suite that ran before on the same databases.
    pub(crate) async fn reopen(&self, shop: &Shop) -> anyhow::Result<Shop> {
        let secret = shop.assertion_secret.clone();
        Shop::reopen(&self.channels, &shop.brand_id, &shop.api_key, secret).await
    }

    /// Returns how many rows each table of each service has, but for those that move by themselves
    /// (cursors, and the audit of refusals), once what the services tell each other has come to
    /// rest: when nothing has changed for fifty looks.
    pub(crate) async fn resting_row_counts(&self) -> anyhow::Result<Vec<(String, i64)>> {
        const EQUAL_LOOKS: usize = 50;
        let migrations = [
            identity::migrations(),
            chat::migrations(),
            attribution::migrations(),
        ];
        let mut databases = Vec::new();
        for (database, migrations) in self.remains.databases.iter().zip(migrations) {
            databases.push(database.open(migrations).await);
        }
        let seen = Mutex::new((Vec::new(), 0));
        wait_until("the services have come to rest", async || {
            let counts = row_counts(&databases).await?;
            let mut seen = seen.lock().await;
            seen.1 = if seen.0 == counts { seen.1 + 1 } else { 0 };
            seen.0.clone_from(&counts);
            Ok((seen.1 >= EQUAL_LOOKS).then_some(counts))
        })
        .await
    }

    /// Stops the services, and returns what they ran on.
    pub(crate) async fn halt(self) -> anyhow::Result<Remains> {
        self.suite.stop().await?;
        Ok(self.remains)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.suite.stop().await
    }
}

/// Returns empty databases for the three services.
async fn create(engine: TestEngine) -> [TestDatabase; 3] {
    [
        TestDatabase::create(engine).await,
        TestDatabase::create(engine).await,
        TestDatabase::create(engine).await,
    ]
}

/// Tables whose rows come and go by themselves, or that a refusal is meant to write (SPEC 60).
const RESTLESS: [&str; 3] = ["event_cursor", "audit_entry", "sqlite_sequence"];

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

async fn row_counts(databases: &[Db]) -> anyhow::Result<Vec<(String, i64)>> {
    let mut counts = Vec::new();
    for db in databases {
        let mut connection = db.read().await?;
        for table in tables(&mut connection).await? {
            let rows = count(&mut connection, &table).await?;
            counts.push((table, rows));
        }
    }
    Ok(counts)
}

async fn tables(connection: &mut Connection) -> anyhow::Result<Vec<String>> {
    let tables: Vec<Table> = match connection {
        Connection::Postgres(c) => {
            let query = "SELECT tablename::text AS name FROM pg_tables \
                         WHERE schemaname = 'public' ORDER BY name";
            diesel::sql_query(query).load(&mut **c).await?
        }
        Connection::Sqlite(c) => {
            let query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
            diesel::sql_query(query).load(c).await?
        }
    };
    Ok(tables
        .into_iter()
        .map(|table| table.name)
        .filter(|name| !RESTLESS.contains(&name.as_str()))
        .collect())
}

async fn count(connection: &mut Connection, table: &str) -> anyhow::Result<i64> {
    let query = diesel::sql_query(format!("SELECT count(*) AS rows FROM \"{table}\""));
    let count: Count = match connection {
        Connection::Postgres(c) => query.get_result(&mut **c).await?,
        Connection::Sqlite(c) => query.get_result(c).await?,
    };
    Ok(count.rows)
}

/// Returns every event of a Brand that identity has published so far.
pub(crate) async fn identity_events(shop: &Shop) -> anyhow::Result<Vec<Event>> {
    let request = WatchEventsRequest {
        brand_id: shop.brand_id.clone(),
        resume_position: String::new(),
    };
    let mut stream = shop
        .service
        .clone()
        .links
        .watch_events(request)
        .await?
        .into_inner();
    let mut events = Vec::new();
    // The log is read to its end when it has nothing more to say than where it ends.
    while let Some(response) = stream.message().await? {
        match response.content {
            Some(Content::Batch(batch)) => events.extend(batch.events),
            Some(Content::Heartbeat(_)) if !events.is_empty() => break,
            Some(Content::Heartbeat(_)) | None => {}
        }
    }
    Ok(events)
}

/// Returns how many links the events of a Brand speak of as made.
pub(crate) fn links_made(events: &[Event]) -> usize {
    let is_made = |event: &&Event| matches!(&event.payload, Some(Payload::LinkChanged(link)) if link.revision == 1);
    events.iter().filter(is_made).count()
}

/// Fails unless a call was refused with this reason.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: tonic::Code,
    reason: &str,
) {
    let status = answer.expect_err("the call is refused");
    let info = status
        .get_details_error_info()
        .expect("a refusal has a reason");
    assert_eq!(
        (status.code(), info.reason.as_str()),
        (code, reason),
        "{status:?}"
    );
}
