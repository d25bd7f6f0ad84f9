//! PostgreSQL: a pool, transactions that retry, migrations under a lock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::managed::{Hook, HookError, QueueMode};
use diesel::{
    QueryableByName,
    connection::{TransactionDepthChange, TransactionManagerStatus},
    result::Error,
    sql_types::{Bool, Nullable, Text},
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection, TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod, deadpool::Pool,
    },
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use futures_util::FutureExt;
use rand::RngExt;
use tracing::Instrument;

use super::{
    Connection, Isolation, Statement, StoreError, TxBody, body,
    error::{TxError, is_conflict},
    pool,
};
use crate::{event_log::POSTGRES_INCARNATION, telemetry::Count};

const POOL_SIZE: usize = 16;
/// For statements that stand alone; they last a millisecond, and two are under way at most.
const STATEMENT_POOL_SIZE: usize = 2;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// With [`MAX_BACKOFF`] more than a second of waiting alone, more than any burst of equal calls needs.
const MAX_RETRIES: u32 = 39;
/// How many connections may be lost in the middle of a transaction before its call fails.
const MAX_LOSSES: u32 = 3;
const MAX_BACKOFF: Duration = Duration::from_millis(50);
/// Replicas that start together take this advisory lock in turn.
const MIGRATION_LOCK: i64 = 0x5261_7070_6f72_7401;
const MIGRATION_LOCK_POLL: Duration = Duration::from_millis(50);
/// A transaction that writes the event log holds back its readers, so none may stay open for long.
///
/// To plan a statement for its values takes longer than to run it where it finds a row or a few, so it
/// is planned once per connection; and so would it to start other processes that look along.
///
/// A serializable transaction that reads a whole table conflicts with all that write it, and a small
/// table is read whole even where one row is asked for; so an index is used wherever there is one.
/// Where there is none the planner thinks a query dear, for which it would then compile code.
/// Source: PostgreSQL, Transaction Isolation, Serializable Isolation Level.
///
/// Where a table is small, to collect the rows and sort them looks as good as to take them in the order
/// of their index; where it has grown, that reads all for a page of it.
pub(crate) const SESSION_SETTINGS: &str = "SET statement_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '1s'; SET application_name = 'rapport'; \
     SET plan_cache_mode = force_generic_plan; SET max_parallel_workers_per_gather = 0; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off";

/// A plan that was made while a table was empty must serve when it is large: rows are looked up by index
/// alone.
const STATEMENT_SETTINGS: &str =
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off";

static RETRIES: Count<2> = Count::new(
    "rapport.transaction.retries",
    "{retry}",
    "How often a transaction was run again after a conflict",
    ["service", "transaction"],
);

#[derive(Clone)]
pub(super) struct Postgres {
    service: &'static str,
    pool: Pool<AsyncPgConnection>,
    /// Of those whose plans are made once.
    statements: Pool<AsyncPgConnection>,
}

impl Postgres {
    pub(super) async fn open(
        service: &'static str,
        url: &str,
        migrations: Vec<EmbeddedMigrations>,
    ) -> Result<Self, StoreError> {
        migrate(url, migrations).await?;
        let pool = connect(url, POOL_SIZE, "")?;
        let statements = connect(url, STATEMENT_POOL_SIZE, STATEMENT_SETTINGS)?;
        let weak = Arc::new(pool.weak());
        pool::observe(service, move || Some(weak.upgrade()?.status()));
        Ok(Self {
            service,
            pool,
            statements,
        })
    }

    pub(super) async fn get(&self) -> Result<Connection, StoreError> {
        let begin = Instant::now();
        let connection = self.pool.get().await;
        pool::WAIT_TIME.record(begin.elapsed(), [self.service]);
        connection
            .map(|connection| Connection::Postgres(Box::new(connection)))
            .map_err(|error| StoreError::Unavailable(error.into()))
    }

    pub(super) async fn run_statement<I, T>(
        &self,
        name: &'static str,
        input: &I,
        statement: Statement<I, T>,
    ) -> Result<T, StoreError> {
        let span = tracing::debug_span!("transaction", otel.name = name);
        let work = async {
            let connection = self.statements.get().await;
            let mut connection =
                connection.map_err(|error| StoreError::Unavailable(error.into()))?;
            statement(&mut connection, input).await
        };
        work.instrument(span).await
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
            let (mut attempts, mut losses) = (0, 0);
            loop {
                match this.attempt(isolation, &input, body).await {
                    Ok(value) => return Ok(value),
                    Err(Ended::Lost(_)) if losses < MAX_LOSSES => losses += 1,
                    Err(Ended::Failed(error)) if is_conflict(&error) && attempts < MAX_RETRIES => {
                        attempts += 1;
                        RETRIES.add(1, [this.service, name]);
                        tracing::debug!(attempts, "transaction conflicts, and is run again");
                        tokio::time::sleep(backoff(attempts)).await;
                    }
                    Err(Ended::Lost(error) | Ended::Failed(error)) => return Err(error),
                }
            }
        };
        let span = tracing::debug_span!("transaction", otel.name = name);
        tokio::spawn(work.instrument(span))
            .await
            .unwrap_or_else(|ended| Err(StoreError::Unavailable(ended.into()).into()))
    }

    async fn attempt<I, T, E: TxError>(
        &self,
        isolation: Isolation,
        input: &I,
        body: TxBody<I, T, E>,
    ) -> Result<T, Ended<E>> {
        let mut connection = self.get().await.map_err(Ended::failed)?;
        begin(inner(&mut connection), isolation).map_err(Ended::lost)?;
        match body::run(&mut connection, input, body).await {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(inner(&mut connection))
                    .await
                    .map_err(|error| Ended::failed(error.into()))?;
                Ok(value)
            }
            Err(error) => {
                match AnsiTransactionManager::rollback_transaction(inner(&mut connection)).await {
                    Ok(()) => Err(Ended::Failed(error)),
                    Err(rollback) => {
                        tracing::warn!(error = %rollback, "rollback failed, the connection is dropped");
                        Err(Ended::Lost(error))
                    }
                }
            }
        }
    }
}

/// Returns a pool whose connections have [`SESSION_SETTINGS`] and some more.
fn connect(
    url: &str,
    size: usize,
    more_settings: &'static str,
) -> Result<Pool<AsyncPgConnection>, StoreError> {
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    // A check of each connection before its use would be a round trip for every call.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url| {
        async move {
            let mut connection = AsyncPgConnection::establish(url).await?;
            connection
                .batch_execute(&format!("{SESSION_SETTINGS}; {more_settings}"))
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Pool::builder(manager)
        .max_size(size)
        // The one used last has its plans and its memory at hand.
        .queue_mode(QueueMode::Lifo)
        .pre_recycle(Hook::async_fn(
            |connection: &mut AsyncPgConnection, used| {
                plan_anew(connection, used.recycle_count).boxed()
            },
        ))
        .wait_timeout(Some(ACQUIRE_TIMEOUT))
        .create_timeout(Some(ACQUIRE_TIMEOUT))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| StoreError::Unavailable(error.into()))
}

/// Has a connection plan its statements anew when it has been used twice as often as the last time.
///
/// A statement is planned once, perhaps while its tables were empty, where one index looks as good as
/// another; and what analyses tables comes too late for those that fill within a minute.
async fn plan_anew(
    connection: &mut AsyncPgConnection,
    use_count: usize,
) -> Result<(), HookError<PoolError>> {
    if use_count.is_power_of_two() {
        let discarded = connection.batch_execute("DISCARD PLANS").await;
        discarded.map_err(|error| HookError::Backend(PoolError::QueryError(error)))?;
    }
    Ok(())
}

/// How an attempt failed.
enum Ended<E> {
    /// The connection was lost before `COMMIT` was sent: nothing has happened.
    Lost(E),
    /// Otherwise.
    Failed(E),
}

impl<E: TxError> Ended<E> {
    fn lost(error: StoreError) -> Self {
        Self::Lost(error.into())
    }

    fn failed(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Begins a transaction without waiting for the answer: `BEGIN` travels with the body's first
/// statement, which saves a round trip. A future of `tokio_postgres` has sent its message once it has been
/// polled, and messages are answered in the order in which they were sent.
fn begin(connection: &mut AsyncPgConnection, isolation: Isolation) -> Result<(), StoreError> {
    let begin = match isolation {
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    let mut shared = &*connection;
    if let Some(sent) = shared.batch_execute(begin).now_or_never() {
        sent?;
    }
    match AnsiTransactionManager::transaction_manager_status_mut(connection) {
        TransactionManagerStatus::Valid(status) => {
            status.change_transaction_depth(TransactionDepthChange::IncreaseDepth)?;
            Ok(())
        }
        TransactionManagerStatus::InError => Err(Error::BrokenTransactionManager.into()),
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

/// Brings the tables up to date, on a connection that is then closed, and with it the lock.
async fn migrate(url: &str, migrations: Vec<EmbeddedMigrations>) -> Result<(), StoreError> {
    let mut connection = AsyncPgConnection::establish(url)
        .await
        .map_err(|error| StoreError::Unavailable(error.into()))?;
    take_migration_lock(&mut connection).await?;
    // The harness blocks its thread, which a worker of the runtime must not do.
    let migrated = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        for source in migrations {
            harness.run_pending_migrations(source)?;
        }
        Ok(harness.into_inner())
    });
    let mut connection = migrated
        .await
        .map_err(|ended| StoreError::Migration(ended.into()))?
        .map_err(StoreError::Migration)?;
    settle_in_another_life(&mut connection).await?;
    warn_of_foreign_messages(&mut connection).await
}

/// Waits for the lock by asking again: a session that waits inside of the statement would hold a
/// snapshot, for which a concurrent index build of the one that has the lock would wait in turn.
async fn take_migration_lock(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    loop {
        let taken = diesel::select(diesel::dsl::sql::<Bool>(&format!(
            "pg_try_advisory_lock({MIGRATION_LOCK})"
        )));
        if taken.get_result(connection).await? {
            return Ok(());
        }
        tokio::time::sleep(MIGRATION_LOCK_POLL).await;
    }
}

/// In which life a database was last opened, and the present one.
#[derive(QueryableByName)]
struct Lives {
    #[diesel(sql_type = Nullable<Text>)]
    kept: Option<String>,
    #[diesel(sql_type = Text)]
    present: String,
}

/// A dump that was put back into another cluster brings the numbers of transactions that are still to
/// come there. What was written in them would not be seen until then, and what is new would come before
/// it: all of them become 0, the number before all others, which costs nothing, since positions are of
/// the life before. Numbers are the columns whose name ends in `transaction_id`.
async fn settle_in_another_life(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let lives = diesel::sql_query(format!(
        "SELECT (SELECT name FROM incarnation) AS kept, {POSTGRES_INCARNATION} AS present"
    ));
    let lives: Lives = lives.get_result(connection).await?;
    if lives.kept.as_ref() == Some(&lives.present) {
        return Ok(());
    }
    let settle = format!(
        "DO $$ DECLARE number record; BEGIN \
         FOR number IN SELECT c.oid::regclass AS place, a.attname AS name \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' \
             AND a.attname LIKE '%transaction\\_id' AND NOT a.attisdropped \
         LOOP EXECUTE format('UPDATE %s SET %I = ''0'' WHERE %2$I::text::bigint \
             >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint', number.place, number.name); \
         END LOOP; END $$; \
         DELETE FROM incarnation; INSERT INTO incarnation SELECT {POSTGRES_INCARNATION}"
    );
    connection.batch_execute(&settle).await?;
    if let Some(kept) = lives.kept {
        let present = lives.present;
        tracing::info!(
            kept,
            present,
            "the database was put back: its logs are read again"
        );
    }
    Ok(())
}

/// Some errors can only be told by their text.
async fn warn_of_foreign_messages(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let language: String =
        diesel::select(diesel::dsl::sql::<Text>("current_setting('lc_messages')"))
            .get_result(connection)
            .await?;
    if !["C", "POSIX", "en", ""]
        .iter()
        .any(|english| language.split(['.', '_']).next() == Some(english))
    {
        tracing::warn!(
            language,
            "PostgreSQL speaks another language than English: deadlocks cannot be told and are not \
             retried; set lc_messages to C"
        );
    }
    Ok(())
}
