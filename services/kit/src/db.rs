//! The database of a service: PostgreSQL or SQLite, behind one query text.
//!
//! A store function takes a [`Connection`] and says its query once inside [`query!`](crate::query),
//! which type-checks and runs it for each engine. A use case runs as one transaction:
//!
//! ```text
//! db.run_tx("sign_in", input, |connection, input| Box::pin(sign_in(connection, input))).await
//! ```
//!
//! The body is a plain function of the connection and an owned input. It captures nothing, so it
//! cannot reach a clock, a random source or another service, and it may run again after a conflict
//! (convention 17). Once begun it runs to its end, also when the caller goes away. It passes the error
//! of a statement on: one that swallows it and returns `Ok` is rolled back, as PostgreSQL would do
//! without a word. It never takes a second connection, or the pool could be exhausted by callers that
//! wait for each other; for the same reason a [`ReadConnection`] is given back before a write begins.

mod body;
mod error;
mod pool;
pub(crate) mod postgres;
pub(crate) mod schema;
mod snapshot;
mod sqlite;
#[cfg(test)]
mod tests;
mod text;
mod types;

use std::{
    ops::{Deref, DerefMut},
    path::PathBuf,
    time::Instant,
};

use deadpool::unmanaged;
use diesel_async::{AsyncPgConnection, RunQueryDsl, pooled_connection::deadpool::Object};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

pub use error::{StoreError, TxError};
pub use snapshot::uncommitted;
pub use sqlite::SqliteConnection;
pub use text::{PgText, index_lookups};
pub use types::{DbText, DbTime, DbUuid, Locked, LockedDsl, Sql};

use crate::{config::ServiceName, telemetry::Timing};

static TRANSACTION_DURATION: Timing<2> = Timing::new(
    "rapport.transaction.duration",
    "How long a transaction took, with its retries and the wait for a connection",
    ["service", "transaction"],
);

/// The migrations of a service, for each engine: the tables that every service has, then its own.
pub struct Migrations {
    pub(crate) service: ServiceName,
    pub(crate) postgres: Vec<EmbeddedMigrations>,
    pub(crate) sqlite: Vec<EmbeddedMigrations>,
}

impl Migrations {
    /// Returns the shared migrations followed by a service's own.
    pub fn of_service(
        service: ServiceName,
        postgres: EmbeddedMigrations,
        sqlite: EmbeddedMigrations,
    ) -> Self {
        const SHARED_POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/shared/postgres");
        const SHARED_SQLITE: EmbeddedMigrations = embed_migrations!("migrations/shared/sqlite");
        Self {
            service,
            postgres: vec![SHARED_POSTGRES, postgres],
            sqlite: vec![SHARED_SQLITE, sqlite],
        }
    }

    /// Adds the tables of [`directory`](crate::directory).
    #[must_use]
    pub fn with_directory(mut self) -> Self {
        const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/directory/postgres");
        const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/directory/sqlite");
        self.postgres.push(POSTGRES);
        self.sqlite.push(SQLITE);
        self
    }
}

/// Where a database is.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// `postgres://…`, as libpq reads it; it may hold a password, so it is never shown.
    Postgres(SecretString),
    /// `sqlite://FILE`, a path relative to the working folder or absolute, and nothing else that SQLite
    /// takes for a name: `:memory:` would be another database for each connection.
    Sqlite(PathBuf),
}

/// A text that names no database this suite can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a database URL begins with postgres:// or sqlite://")]
pub struct UnknownDatabase;

impl std::str::FromStr for DatabaseUrl {
    type Err = UnknownDatabase;

    fn from_str(text: &str) -> Result<Self, UnknownDatabase> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.into()));
        }
        match text.strip_prefix("sqlite://") {
            Some(path) if is_file(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err(UnknownDatabase),
        }
    }
}

fn is_file(path: &str) -> bool {
    !path.is_empty() && !path.starts_with(':') && !path.starts_with("file:")
}

/// An open database; clones share it.
#[derive(Clone)]
pub struct Db {
    /// Whose database it is, as metrics call it.
    service: &'static str,
    engine: Engine,
    /// Sends after every committed write, so that readers of the event log need not wait for their poll.
    own_commits: watch::Sender<()>,
    /// Sends after those of other replicas too, as far as they are told of.
    commits: watch::Sender<()>,
}

#[derive(Clone)]
enum Engine {
    Postgres(postgres::Postgres),
    Sqlite(sqlite::Sqlite),
}

/// A connection to either engine, for store functions.
pub enum Connection {
    /// One of the pool's.
    Postgres(Box<Object<AsyncPgConnection>>),
    /// The writer, or one of the readers.
    Sqlite(SqliteConnection),
}

/// A connection borrowed for reading; it goes back where it came from.
pub enum ReadConnection {
    /// One of PostgreSQL's pool.
    Postgres(Connection),
    /// One of SQLite's query-only connections.
    Sqlite(unmanaged::Object<Connection>),
}

impl Deref for ReadConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Postgres(connection) => connection,
            Self::Sqlite(connection) => connection,
        }
    }
}

impl DerefMut for ReadConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        match self {
            Self::Postgres(connection) => connection,
            Self::Sqlite(connection) => connection,
        }
    }
}

/// The body of a transaction: a function of a connection and an owned input.
pub type TxBody<I, T, E> = for<'a> fn(&'a mut Connection, &'a I) -> BoxFuture<'a, Result<T, E>>;

/// One statement that is a transaction by itself.
pub type Statement<I, T> =
    for<'a> fn(&'a mut AsyncPgConnection, &'a I) -> BoxFuture<'a, Result<T, StoreError>>;

/// How far a transaction is kept from the others on PostgreSQL; SQLite has one writer at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// As if transactions ran one after another; conflicts are retried.
    Serializable,
    /// Each statement sees what was committed before it; the body locks the rows it decides on.
    ReadCommitted,
}

impl Db {
    /// Opens the database, and brings its tables up to date.
    ///
    /// Replicas that start together migrate one after another.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when it cannot be reached or created, [`StoreError::Migration`]
    /// when a migration fails.
    pub async fn open(url: &DatabaseUrl, migrations: Migrations) -> Result<Self, StoreError> {
        let service = migrations.service.as_str();
        let engine = match url {
            DatabaseUrl::Postgres(url) => Engine::Postgres(
                postgres::Postgres::open(service, url.expose_secret(), migrations.postgres).await?,
            ),
            DatabaseUrl::Sqlite(path) => {
                Engine::Sqlite(sqlite::Sqlite::open(service, path, migrations.sqlite)?)
            }
        };
        Ok(Self {
            service,
            engine,
            own_commits: watch::Sender::new(()),
            commits: watch::Sender::new(()),
        })
    }

    /// Returns a connection for reads outside of a transaction; it is to be given back before a write.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when none can be had in time.
    pub async fn read(&self) -> Result<ReadConnection, StoreError> {
        match &self.engine {
            Engine::Postgres(postgres) => Ok(ReadConnection::Postgres(postgres.get().await?)),
            Engine::Sqlite(sqlite) => Ok(ReadConnection::Sqlite(sqlite.read().await?)),
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when it gives none.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.read().await?;
        crate::query!(&mut *connection, |c| {
            diesel::sql_query("SELECT 1").execute(c).await
        })?;
        Ok(())
    }

    /// Runs `body` as one transaction that sees no other half-way, and retries it on a conflict.
    ///
    /// `name` is a verb and a noun (`"sign_in"`); it names the span. The body may run several times.
    /// An `Err` of the body rolls everything back.
    ///
    /// # Errors
    ///
    /// What `body` returns; [`StoreError::Unavailable`] without a connection; the last conflict when
    /// retries do not help; [`StoreError::Defect`] when the body panics or swallows a failure.
    pub async fn run_tx<I, T, E>(
        &self,
        name: &'static str,
        input: I,
        body: TxBody<I, T, E>,
    ) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: TxError,
    {
        self.run(Isolation::Serializable, name, input, body).await
    }

    /// As [`Db::run_tx`], for a body that locks each row it decides on before it reads it, and so
    /// needs no retry on PostgreSQL where many write at once.
    ///
    /// # Errors
    ///
    /// As [`Db::run_tx`].
    pub async fn run_locked_tx<I, T, E>(
        &self,
        name: &'static str,
        input: I,
        body: TxBody<I, T, E>,
    ) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: TxError,
    {
        self.run(Isolation::ReadCommitted, name, input, body).await
    }

    async fn run<I, T, E>(
        &self,
        isolation: Isolation,
        name: &'static str,
        input: I,
        body: TxBody<I, T, E>,
    ) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: TxError,
    {
        let begin = Instant::now();
        let result = match &self.engine {
            Engine::Postgres(postgres) => postgres.run(isolation, name, input, body).await,
            Engine::Sqlite(sqlite) => sqlite.run(name, input, body).await,
        };
        TRANSACTION_DURATION.record(begin.elapsed(), [self.service, name]);
        if result.is_ok() {
            self.committed();
        }
        result
    }

    /// Runs one statement as a transaction of its own, in the one round trip that takes; `None` on
    /// SQLite, where a round trip costs nothing.
    ///
    /// It is planned once per connection, whatever its values, and so that it looks up rows by index
    /// alone. A conflict is not retried.
    ///
    /// # Errors
    ///
    /// What `statement` returns; [`StoreError::Unavailable`] without a connection, or when it was lost:
    /// then nobody knows whether the statement was carried out.
    pub async fn run_statement<I, T>(
        &self,
        name: &'static str,
        input: &I,
        statement: Statement<I, T>,
    ) -> Option<Result<T, StoreError>> {
        let result = self.read_statement(name, input, statement).await?;
        if result.is_ok() {
            self.committed();
        }
        Some(result)
    }

    /// As [`Db::run_statement`], of a statement that writes nothing.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn read_statement<I, T>(
        &self,
        name: &'static str,
        input: &I,
        statement: Statement<I, T>,
    ) -> Option<Result<T, StoreError>> {
        let Engine::Postgres(postgres) = &self.engine else {
            return None;
        };
        let begin = Instant::now();
        let result = postgres.run_statement(name, input, statement).await;
        TRANSACTION_DURATION.record(begin.elapsed(), [self.service, name]);
        Some(result)
    }

    fn committed(&self) {
        self.own_commits.send_replace(());
        self.wake_readers();
    }

    /// Moves all that was written into the database file and empties the log beside it, so that what
    /// was erased stays in neither (SPEC 55).
    ///
    /// On PostgreSQL it does nothing: when the rows of before go is for `VACUUM` to say, and when its
    /// log does, for whoever archives it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when a reader or the writer was in the way; try again.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Postgres(_) => Ok(()),
            Engine::Sqlite(sqlite) => sqlite.empty_log().await,
        }
    }

    /// Returns whether each query costs a round trip, and other processes write at the same time.
    pub fn is_postgres(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// Returns whose database it is, as metrics call it.
    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    /// Returns a signal that changes after each write committed through this handle, and after those of
    /// other replicas that it is told of.
    pub fn commits(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }

    /// Returns a signal that changes after each write committed through this handle.
    pub(crate) fn own_commits(&self) -> watch::Receiver<()> {
        self.own_commits.subscribe()
    }

    /// Has those who wait for a commit look: another replica has told of one.
    pub(crate) fn wake_readers(&self) {
        self.commits.send_replace(());
    }
}

/// Runs one query, written once, on either engine: `query!(connection, |c| q.load::<Row>(c).await)`.
///
/// The body is expanded for each engine, so it must be valid for both; its value is the body's,
/// with diesel's error turned into a [`StoreError`].
#[macro_export]
macro_rules! query {
    ($connection:expr, |$c:ident| $body:expr) => {
        match $connection {
            $crate::db::Connection::Postgres(connection) => {
                let $c: &mut ::diesel_async::AsyncPgConnection = &mut **connection;
                $body
            }
            $crate::db::Connection::Sqlite(connection) => {
                let $c: &mut $crate::db::SqliteConnection = &mut *connection;
                $body
            }
        }
        .map_err($crate::db::StoreError::from)
    };
}
