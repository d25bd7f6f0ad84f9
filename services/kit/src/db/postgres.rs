//! PostgreSQL: a pool, transactions that retry, migrations under a lock.

use std::time::Duration;

use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection, TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool::Pool,
    },
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use futures_util::FutureExt;
use rand::RngExt;
use tracing::Instrument;

use super::{
    Connection, Isolation, StoreError, TxBody,
    error::{TxError, is_conflict},
};

const POOL_SIZE: usize = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// With [`MAX_BACKOFF`] about two seconds of trying, more than any burst of equal calls needs.
const MAX_ATTEMPTS: u32 = 40;
const MAX_BACKOFF: Duration = Duration::from_millis(50);
/// Replicas that start together take this advisory lock in turn.
const MIGRATION_LOCK: i64 = 0x5261_7070_6f72_7401;
/// A transaction that writes the event log holds back its readers, so none may stay open for long.
const SESSION_LIMITS: &str = "SET statement_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '1s'; SET application_name = 'rapport'";

#[derive(Clone)]
pub(super) struct Postgres {
    pool: Pool<AsyncPgConnection>,
}

impl Postgres {
    pub(super) async fn open(
        url: &str,
        migrations: Vec<EmbeddedMigrations>,
    ) -> Result<Self, StoreError> {
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        // A check of each connection before its use would be a round trip for every call.
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(|url| {
            async move {
                let mut connection = AsyncPgConnection::establish(url).await?;
                connection
                    .batch_execute(SESSION_LIMITS)
                    .await
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(connection)
            }
            .boxed()
        });
        migrate(url, migrations).await?;
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .wait_timeout(Some(ACQUIRE_TIMEOUT))
            .create_timeout(Some(ACQUIRE_TIMEOUT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self { pool })
    }

    pub(super) async fn get(&self) -> Result<Connection, StoreError> {
        self.pool
            .get()
            .await
            .map(|connection| Connection::Postgres(Box::new(connection)))
            .map_err(|error| StoreError::Unavailable(error.into()))
    }

    /// Runs the transaction in a task of its own, so that it ends whatever becomes of the caller,
    /// and no connection is ever dropped half-way through one.
    pub(super) async fn run<I, T, E>(
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
        let this = self.clone();
        let work = async move {
            let mut attempt = 0;
            loop {
                let result = this.attempt(isolation, &input, body).await;
                attempt += 1;
                match result {
                    Err(error) if is_conflict(&error) && attempt < MAX_ATTEMPTS => {
                        tokio::time::sleep(backoff(attempt)).await;
                    }
                    result => return result,
                }
            }
        };
        let span = tracing::debug_span!("transaction", name);
        tokio::spawn(work.instrument(span))
            .await
            .unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.into()).into()))
    }

    async fn attempt<I, T, E: TxError>(
        &self,
        isolation: Isolation,
        input: &I,
        body: TxBody<I, T, E>,
    ) -> Result<T, E> {
        let mut connection = self.get().await?;
        let begin = match isolation {
            Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        AnsiTransactionManager::begin_transaction_sql(inner(&mut connection), begin)
            .await
            .map_err(StoreError::from)?;
        match body(&mut connection, input).await {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(inner(&mut connection))
                    .await
                    .map_err(StoreError::from)?;
                Ok(value)
            }
            Err(error) => {
                if let Err(rollback) =
                    AnsiTransactionManager::rollback_transaction(inner(&mut connection)).await
                {
                    tracing::warn!(error = %rollback, "rollback failed, the connection is dropped");
                }
                Err(error)
            }
        }
    }
}

fn inner(connection: &mut Connection) -> &mut AsyncPgConnection {
    match connection {
        Connection::Postgres(connection) => connection,
        Connection::Sqlite(_) => unreachable!("PostgreSQL's pool holds its own connections alone"),
    }
}

/// Returns a random wait that grows with the attempts, so that rivals do not meet again.
fn backoff(attempt: u32) -> Duration {
    let longest = Duration::from_millis(1 << attempt.min(6)).min(MAX_BACKOFF);
    longest.mul_f64(rand::rng().random_range(0.1..1.0))
}

async fn migrate(url: &str, migrations: Vec<EmbeddedMigrations>) -> Result<(), StoreError> {
    let mut connection = AsyncPgConnection::establish(url)
        .await
        .map_err(|error| StoreError::Unavailable(error.into()))?;
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<diesel::sql_types::BigInt, _>(MIGRATION_LOCK)
        .execute(&mut connection)
        .await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    for source in migrations {
        tokio::task::block_in_place(|| harness.run_pending_migrations(source))
            .map_err(StoreError::Migration)?;
    }
    Ok(())
}
