//! A PostgreSQL of a test's own, which archives its log, is lost, and is put back from a backup.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use kit::{
    db::DatabaseUrl,
    testing::{TestPostgres, give_to_owner, postgres_program},
};
use rapport::client::wait_until;
use tempfile::TempDir;

/// A server, and where it archives to; it is gone with this value.
pub(super) struct Cluster {
    server: TestPostgres,
}

/// What is kept elsewhere than the server: a copy of its files, and the log that it has written since.
pub(super) struct Backup {
    folder: TempDir,
}

impl Backup {
    /// Returns an empty one, which a server may archive to.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("rapport-backup")
            .tempdir()?;
        fs::create_dir(folder.path().join("log"))?;
        give_to_owner(folder.path());
        Ok(Self { folder })
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn archive_command(&self) -> String {
        format!("archive_command=cp %p {}/%f", self.log().display())
    }
}

impl Cluster {
    /// Makes one that archives its log to `backup`.
    pub(super) async fn start(backup: &Backup) -> Self {
        let settings = ["archive_mode=on", &backup.archive_command()];
        let server = TestPostgres::start(&settings).await;
        Self { server }
    }

    /// Puts a backup back: the copy of the files, then all of the log that was archived. The server
    /// begins another timeline, so that its logs of events are another incarnation.
    pub(super) async fn restore(backup: &Backup) -> Self {
        let settings = ["archive_mode=on", &backup.archive_command()];
        let server = TestPostgres::start_on(&settings, |data| {
            put_back_files(backup, data).expect("the backup is there");
        });
        Self {
            server: server.await,
        }
    }

    /// Makes a database, and returns where it is.
    pub(super) fn create_database(&self, name: &str) -> anyhow::Result<DatabaseUrl> {
        Ok(self.server.create_database(name).parse()?)
    }

    pub(super) fn url(&self, database: &str) -> anyhow::Result<DatabaseUrl> {
        Ok(self.uri(database).parse()?)
    }

    pub(super) fn uri(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// Returns what a statement answers in one of the databases.
    pub(super) fn query(&self, database: &str, statement: &str) -> String {
        self.server.query(database, statement)
    }

    /// Copies the files of the running server.
    pub(super) fn back_up(&self, backup: &Backup) -> anyhow::Result<()> {
        let mut pg_basebackup = postgres_program("pg_basebackup");
        pg_basebackup
            .args(["--checkpoint", "fast", "--pgdata"])
            .arg(backup.base());
        run(pg_basebackup.arg("--dbname").arg(self.uri("postgres")))
    }

    /// Has the log archived up to now, as `archive_timeout` does once a minute.
    pub(super) async fn archive(&self) -> anyhow::Result<()> {
        let last = self.query("postgres", "SELECT pg_walfile_name(pg_switch_wal())");
        wait_until("the log is archived", async || {
            let archived = "SELECT last_archived_wal FROM pg_stat_archiver";
            Ok((self.query("postgres", archived) >= last).then_some(()))
        })
        .await
    }
}

fn put_back_files(backup: &Backup, data: &Path) -> anyhow::Result<()> {
    run(Command::new("cp")
        .arg("--archive")
        .arg(backup.base())
        .arg(data))?;
    let settings = format!("restore_command = 'cp {}/%f %p'\n", backup.log().display());
    let file = data.join("postgresql.auto.conf");
    let kept = fs::read_to_string(&file)?;
    fs::write(file, kept + &settings)?;
    File::create(data.join("recovery.signal"))?;
    Ok(())
}

/// Writes a database down, as `pg_dump` does.
pub(super) fn dump(uri: &str, file: &Path) -> anyhow::Result<()> {
    let mut pg_dump = postgres_program("pg_dump");
    pg_dump.args(["--format", "custom", "--file"]).arg(file);
    run(pg_dump.arg("--dbname").arg(uri))
}

/// Writes what was dumped into an empty database.
pub(super) fn put_back(file: &Path, uri: &str) -> anyhow::Result<()> {
    let mut pg_restore = postgres_program("pg_restore");
    pg_restore.args(["--exit-on-error", "--single-transaction", "--dbname", uri]);
    run(pg_restore.arg(file))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
