//! Databases of their own for tests, on both engines.
//!
//! PostgreSQL is the server named by `RAPPORT_TEST_POSTGRES_URL`, which `scripts/test` starts; a
//! test that finds none fails and says so.

use std::path::PathBuf;

use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::db::{DatabaseUrl, Db, Migrations};

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
