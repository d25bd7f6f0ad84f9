//! SQLite: one writer thread whose callers share commits, and a few query-only readers.
//!
//! SQLite answers in microseconds, so connections are used where they are asked for, without a hop
//! to another thread. The writer takes the jobs that have gathered, runs each in a savepoint of one
//! `BEGIN IMMEDIATE`, and answers all of them after the one commit: an idle caller waits for nobody,
//! busy ones share the sync to disk.
//!
//! A job that fails, also by a panic, is rolled back alone. Where the transaction around the batch is
//! lost (disk full, a trigger that rolls back), every job of it fails, and the writer goes on with a
//! new connection, whose state is known.

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use deadpool::unmanaged;
use diesel::{
    Connection as _, connection::AnsiTransactionManager, connection::SimpleConnection,
    connection::TransactionManager,
};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};

use super::{Connection, StoreError, TxBody, body, error::TxError, pool};
use crate::config;

const READERS: usize = 4;
/// How long a caller waits for one of the readers.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often, and after what pause, settings are tried while others change theirs: five seconds.
const SETTING_TRIES: u32 = 500;
const SETTING_PAUSE: Duration = Duration::from_millis(10);
const QUEUE_LENGTH: usize = 1_024;
/// Bounds how long the first caller of a batch waits for the last.
const BATCH_LENGTH: usize = 128;

/// Runs a query in the calling thread.
pub struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        std::future::ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// A connection to SQLite with the interface of the asynchronous ones.
pub type SqliteConnection = SyncConnectionWrapper<diesel::SqliteConnection, Inline>;

/// Tells the caller of a job what became of it, once the batch has been committed or not.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a job left behind.
struct Done {
    answer: Answer,
    /// The outer transaction is gone, and with it every job of the batch.
    batch_lost: bool,
}

type Job = Box<dyn FnOnce(&mut Connection) -> Done + Send>;

#[derive(Clone)]
pub(super) struct Sqlite {
    path: PathBuf,
    writer: mpsc::Sender<Job>,
    readers: Arc<unmanaged::Pool<Connection>>,
}

impl Sqlite {
    pub(super) fn open(
        service: &'static str,
        path: &Path,
        migrations: Vec<EmbeddedMigrations>,
    ) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            config::create_private_folder(folder)
                .map_err(|error| StoreError::Unavailable(error.into()))?;
        }
        let mut connection = establish(path, "")?;
        migrate(&mut connection, migrations)?;
        let readers = Arc::new(open_readers(path)?);
        let weak = Arc::downgrade(&readers);
        pool::observe(service, move || Some(weak.upgrade()?.status()));
        let writer = Writer {
            path: path.to_owned(),
            connection: Some(wrap(connection)),
        };
        let (sender, jobs) = mpsc::channel(QUEUE_LENGTH);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || writer.write_batches(jobs))
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            writer: sender,
            readers,
        })
    }

    pub(super) async fn read(&self) -> Result<unmanaged::Object<Connection>, StoreError> {
        self.readers
            .get()
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))
    }

    /// Checkpoints on a connection of its own, for which the writer waits like for any other.
    pub(super) async fn empty_log(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || checkpoint(&path))
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))?
    }

    pub(super) async fn run<I, T, E>(
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
        let (sender, receiver) = oneshot::channel();
        let span = tracing::debug_span!("transaction", otel.name = name);
        let job: Job = Box::new(move |connection| {
            let _entered = span.entered();
            let (result, batch_lost) = in_savepoint(connection, &input, body);
            let answer: Answer = Box::new(move |committed| {
                // The caller may have gone away; its work is committed all the same.
                let _ = sender.send(committed.map_err(E::from).and(result));
            });
            Done { answer, batch_lost }
        });
        if self.writer.send(job).await.is_err() {
            return Err(writer_gone().into());
        }
        receiver.await.unwrap_or_else(|_| Err(writer_gone().into()))
    }
}

fn writer_gone() -> StoreError {
    StoreError::Unavailable("the writer did not get to it".into())
}

fn open_readers(path: &Path) -> Result<unmanaged::Pool<Connection>, StoreError> {
    let pool = unmanaged::Pool::from_config(&unmanaged::PoolConfig {
        max_size: READERS,
        timeout: Some(ACQUIRE_TIMEOUT),
        runtime: Some(deadpool::Runtime::Tokio1),
    });
    for _ in 0..READERS {
        let reader = wrap(establish(path, "PRAGMA query_only = ON;")?);
        pool.try_add(reader)
            .map_err(|(_, error)| StoreError::Unavailable(error.into()))?;
    }
    Ok(pool)
}

/// One transaction, so that of two processes that start together the second finds all done.
fn migrate(
    connection: &mut diesel::SqliteConnection,
    migrations: Vec<EmbeddedMigrations>,
) -> Result<(), StoreError> {
    connection.immediate_transaction(|connection| {
        for source in migrations {
            connection
                .run_pending_migrations(source)
                .map_err(StoreError::Migration)?;
        }
        Ok(())
    })
}

fn wrap(connection: diesel::SqliteConnection) -> Connection {
    Connection::Sqlite(SqliteConnection::new(connection))
}

fn inner(connection: &mut Connection) -> &mut SqliteConnection {
    match connection {
        Connection::Sqlite(connection) => connection,
        Connection::Postgres(_) => unreachable!("SQLite's writer and readers are its own"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "by refusing is all that SQLite tells of a locked file"
)]
fn establish(path: &Path, more: &str) -> Result<diesel::SqliteConnection, StoreError> {
    let text = path
        .to_str()
        .ok_or_else(|| StoreError::Unavailable("the path is not UTF-8".into()))?;
    let mut connection = diesel::SqliteConnection::establish(text)
        .map_err(|error| StoreError::Unavailable(error.into()))?;
    let settings = format!(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; {more}"
    );
    // Of several that turn a new file to WAL at once all but one are refused without having waited.
    for _ in 0..SETTING_TRIES {
        match connection
            .batch_execute(&settings)
            .map_err(StoreError::from)
        {
            Err(StoreError::Unavailable(_)) => std::thread::sleep(SETTING_PAUSE),
            set => return set.map(|()| connection),
        }
    }
    Err(StoreError::Unavailable("the file stays locked".into()))
}

/// What `wal_checkpoint` answers, as far as it matters.
#[derive(diesel::QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    busy: i32,
}

fn checkpoint(path: &Path) -> Result<(), StoreError> {
    // The writer stands still while this waits for readers, so it does not wait for long.
    let mut connection = establish(path, "PRAGMA busy_timeout = 500;")?;
    let answer: Checkpoint = diesel::RunQueryDsl::get_result(
        diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)"),
        &mut connection,
    )?;
    match answer.busy {
        0 => Ok(()),
        _ => Err(StoreError::Unavailable("the log is being read".into())),
    }
}

/// Returns the value of a future that waits for nothing but its [`Inline`] connection.
fn ready<T>(future: impl Future<Output = T>) -> T {
    future
        .now_or_never()
        .expect("the body of a transaction awaits nothing but its connection (convention 17)")
}

/// Runs a step of the connection itself: begin, commit, roll back.
fn step(
    connection: &mut Connection,
    run: fn(&mut diesel::SqliteConnection) -> diesel::QueryResult<()>,
) -> Result<(), StoreError> {
    ready(inner(connection).spawn_blocking(run)).map_err(StoreError::from)
}

/// Runs a job in a savepoint, and tells whether the transaction around it was lost.
fn in_savepoint<I, T, E: TxError>(
    connection: &mut Connection,
    input: &I,
    body: TxBody<I, T, E>,
) -> (Result<T, E>, bool) {
    if let Err(error) = step(connection, AnsiTransactionManager::begin_transaction) {
        return (Err(error.into()), true);
    }
    let result = body::run(connection, input, body)
        .now_or_never()
        .unwrap_or_else(|| {
            let cause = "it awaited something else than its connection".into();
            Err(StoreError::Defect(cause).into())
        });
    match result {
        Ok(value) => match step(connection, AnsiTransactionManager::commit_transaction) {
            Ok(()) => (Ok(value), false),
            Err(error) => (Err(error.into()), true),
        },
        Err(error) => {
            let rolled_back = step(connection, AnsiTransactionManager::rollback_transaction);
            (Err(error), rolled_back.is_err())
        }
    }
}

/// A defect of this module: the bodies of transactions are guarded.
#[derive(Debug, thiserror::Error)]
#[error("the writer panicked")]
struct WriterPanicked;

/// The thread that writes.
struct Writer {
    path: PathBuf,
    /// Absent after a batch was lost: what is left of a transaction then is not worth finding out.
    connection: Option<Connection>,
}

impl Writer {
    fn write_batches(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH_LENGTH);
        while jobs.blocking_recv_many(&mut batch, BATCH_LENGTH) > 0 {
            let written =
                std::panic::catch_unwind(AssertUnwindSafe(|| self.write_batch(&mut batch)));
            let failure: Option<&dyn std::error::Error> = match &written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(&WriterPanicked),
            };
            if let Some(error) = failure {
                tracing::error!(error, "a batch of writes was lost");
                self.connection = None;
            }
            // A dropped job tells its caller that it was not reached.
            batch.clear();
        }
    }

    /// Runs the jobs in one transaction and answers them: all that succeeded are durable, or none is.
    fn write_batch(&mut self, jobs: &mut Vec<Job>) -> Result<(), StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(wrap(establish(&self.path, "")?)),
        };
        step(connection, |c| {
            AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")
        })?;
        let mut answers = Vec::with_capacity(jobs.len());
        let mut lost = false;
        for job in jobs.drain(..) {
            let done = job(connection);
            answers.push(done.answer);
            lost = done.batch_lost;
            if lost {
                break;
            }
        }
        let end = if lost {
            Err(StoreError::Unavailable(
                "the transaction was rolled back".into(),
            ))
        } else {
            step(connection, AnsiTransactionManager::commit_transaction)
        };
        for answer in answers {
            answer(match &end {
                Ok(()) => Ok(()),
                Err(_) => Err(StoreError::Unavailable("the commit failed".into())),
            });
        }
        end
    }
}
