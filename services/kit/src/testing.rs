//! Databases of their own for tests, on both engines.
//!
//! PostgreSQL is the server named by `RAPPORT_TEST_POSTGRES_URL`, which `scripts/test` starts; a
//! test that finds none fails and says so.

mod authority;
mod migrations;
mod nats;
mod postgres;
mod s3;
mod server;
#[cfg(test)]
pub(crate) mod stub;

use std::{path::PathBuf, time::Duration};

use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::db::{DatabaseUrl, Db, Migrations};

pub use authority::TestAuthority;
pub use migrations::assert_migrations_are_reversible_and_commented;
pub use nats::TestNats;
pub use postgres::{
    TestPostgres, assert_rows_come_in_order, give_to_owner, postgres_program, query_postgres,
};
pub use s3::TestS3;

const POSTGRES_URL: &str = "RAPPORT_TEST_POSTGRES_URL";

/// The engines that every store is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEngine {
    /// A server.
    Postgres,
    /// A file.
    Sqlite,
}

impl TestEngine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];
}

/// An empty database that no other test uses; a file is removed with this value, a PostgreSQL
/// database with its temporary server.
pub struct TestDatabase {
    /// Where it is.
    pub url: DatabaseUrl,
    folder: Option<PathBuf>,
}

impl TestDatabase {
    /// Returns one that there is already, and that somebody else removes.
    pub fn at(url: DatabaseUrl) -> Self {
        Self { url, folder: None }
    }

    /// Makes one.
    ///
    /// # Panics
    ///
    /// When the engine cannot be had.
    pub async fn create(engine: TestEngine) -> Self {
        match engine {
            TestEngine::Postgres => Self {
                url: create_on_postgres()
                    .await
                    .parse()
                    .expect("the server's URL with a database"),
                folder: None,
            },
            TestEngine::Sqlite => {
                let folder = std::env::temp_dir().join(format!("rapport-test-{}", Uuid::new_v4()));
                Self {
                    url: DatabaseUrl::Sqlite(folder.join("test.sqlite3")),
                    folder: Some(folder),
                }
            }
        }
    }

    /// Opens it with the tables of a service.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn open(&self, migrations: Migrations) -> Db {
        Db::open(&self.url, migrations)
            .await
            .expect("the test database opens")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Creates a database on the test server, and returns its URL.
///
/// # Panics
///
/// When there is no server.
pub async fn create_on_postgres() -> String {
    let server = std::env::var(POSTGRES_URL)
        .unwrap_or_else(|_| panic!("{POSTGRES_URL} is not set: run the tests with scripts/test"));
    let mut connection = AsyncPgConnection::establish(&server)
        .await
        .expect("the test server answers");
    let name = format!("test_{}", Uuid::new_v4().simple());
    diesel::sql_query(format!("CREATE DATABASE {name}"))
        .execute(&mut connection)
        .await
        .expect("the test server makes a database");
    let (server, _) = server.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{name}")
}

/// Waits until `condition` holds; look at state in it, not at a notification.
///
/// # Panics
///
/// When it does not hold within `timeout`.
pub async fn wait_until(timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(timeout, holds)
        .await
        .expect("the condition holds in time");
}

/// The tables of a service that has none of its own but those of the directory.
#[cfg(test)]
pub(crate) fn migrations() -> Migrations {
    use diesel_migrations::{EmbeddedMigrations, embed_migrations};

    use crate::config::ServiceName;
    const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/directory/postgres");
    const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/directory/sqlite");
    Migrations::of_service(ServiceName::Identity, POSTGRES, SQLITE)
}

/// Opens an empty database with those tables.
#[cfg(test)]
pub(crate) async fn open(engine: TestEngine) -> (TestDatabase, Db) {
    let database = TestDatabase::create(engine).await;
    let db = database.open(migrations()).await;
    (database, db)
}

/// Returns a connection to a test database that is none of the pool's.
#[cfg(test)]
pub(crate) async fn connect(database: &TestDatabase) -> AsyncPgConnection {
    let DatabaseUrl::Postgres(url) = &database.url else {
        panic!("only PostgreSQL takes connections");
    };
    AsyncPgConnection::establish(secrecy::ExposeSecret::expose_secret(url))
        .await
        .expect("the test server answers")
}

/// Returns an event of `brand` that names `cause`.
#[cfg(test)]
pub(crate) fn event(brand: &str, cause: impl ToString) -> rapport_proto::event::v1::Event {
    rapport_proto::event::v1::Event {
        event_id: Uuid::new_v4().to_string(),
        brand_id: brand.to_owned(),
        event_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        cause_id: cause.to_string(),
        ..Default::default()
    }
}

/// Appends events in one transaction.
#[cfg(test)]
pub(crate) async fn append(db: &Db, events: Vec<rapport_proto::event::v1::Event>) {
    let appended: Result<(), crate::db::StoreError> = db
        .run_locked_tx("append_events", events, |connection, events| {
            Box::pin(crate::event_log::append(connection, events))
        })
        .await;
    appended.expect("events can be appended");
}
