//! A PostgreSQL of a test's own, which archives its log, is killed, and is put back from a backup.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use kit::db::DatabaseUrl;
use rapport::client::wait_until;
use tempfile::TempDir;

/// Whom the server runs as when this runs as root, as whom it refuses to.
const ACCOUNT: &str = "postgres";

/// A server that listens on a socket in a temporary folder alone; both are gone with this value.
pub(super) struct Cluster {
    server: Child,
    folder: TempDir,
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
        give_to_owner(folder.path())?;
        Ok(Self { folder })
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Cluster {
    /// Makes one that archives its log to `backup`.
    pub(super) async fn start(backup: &Backup) -> anyhow::Result<Self> {
        let folder = own_folder()?;
        let data = folder.path().join("data");
        let arguments = "--username postgres --auth trust --encoding UTF8 --no-locale --no-sync";
        let mut initdb = as_owner("initdb");
        initdb.args(arguments.split(' ')).arg("--pgdata").arg(&data);
        run(&mut initdb)?;
        Self::serve(folder, backup).await
    }

    /// Puts a backup back: the copy of the files, then all of the log that was archived. The server
    /// begins another timeline, so that its logs of events are another incarnation.
    pub(super) async fn restore(backup: &Backup) -> anyhow::Result<Self> {
        let folder = own_folder()?;
        let data = folder.path().join("data");
        run(Command::new("cp")
            .arg("--archive")
            .arg(backup.base())
            .arg(&data))?;
        let settings = format!("restore_command = 'cp {}/%f %p'\n", backup.log().display());
        let file = data.join("postgresql.auto.conf");
        let kept = fs::read_to_string(&file)?;
        fs::write(file, kept + &settings)?;
        File::create(data.join("recovery.signal"))?;
        give_to_owner(&data)?;
        Self::serve(folder, backup).await
    }

    async fn serve(folder: TempDir, backup: &Backup) -> anyhow::Result<Self> {
        let log = File::create(folder.path().join("server.log"))?;
        let archive = format!("archive_command=cp %p {}/%f", backup.log().display());
        let server = as_owner("postgres")
            .arg("-D")
            .arg(folder.path().join("data"))
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "archive_mode=on"])
            .args(["-c", &archive])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let cluster = Self { server, folder };
        wait_until("the server has recovered", async || {
            let asked = cluster.query("postgres", "SELECT pg_is_in_recovery()");
            Ok(asked.is_ok_and(|answer| answer == "f").then_some(()))
        })
        .await
        .with_context(|| {
            fs::read_to_string(cluster.folder.path().join("server.log")).unwrap_or_default()
        })?;
        Ok(cluster)
    }

    /// Makes a database, and returns where it is.
    pub(super) fn create_database(&self, name: &str) -> anyhow::Result<DatabaseUrl> {
        self.query("postgres", &format!("CREATE DATABASE {name}"))?;
        self.url(name)
    }

    pub(super) fn url(&self, database: &str) -> anyhow::Result<DatabaseUrl> {
        Ok(self.uri(database).parse()?)
    }

    pub(super) fn uri(&self, database: &str) -> String {
        let host = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/{database}")
    }

    /// Returns what a statement answers in one of the databases.
    pub(super) fn query(&self, database: &str, statement: &str) -> anyhow::Result<String> {
        query(&self.uri(database), statement)
    }

    /// Copies the files of the running server.
    pub(super) fn back_up(&self, backup: &Backup) -> anyhow::Result<()> {
        let mut pg_basebackup = as_owner("pg_basebackup");
        pg_basebackup
            .args(["--checkpoint", "fast", "--pgdata"])
            .arg(backup.base());
        run(pg_basebackup.arg("--dbname").arg(self.uri("postgres")))?;
        Ok(())
    }

    /// Has the log archived up to now, as `archive_timeout` does once a minute.
    pub(super) async fn archive(&self) -> anyhow::Result<()> {
        let last = self.query("postgres", "SELECT pg_walfile_name(pg_switch_wal())")?;
        wait_until("the log is archived", async || {
            let archived = "SELECT last_archived_wal FROM pg_stat_archiver";
            Ok((self.query("postgres", archived)? >= last).then_some(()))
        })
        .await
    }
}

impl Drop for Cluster {
    /// As a lost machine: what was not archived is gone.
    fn drop(&mut self) {
        let pid = self.server.id().to_string();
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.server.wait();
    }
}

/// Returns what a statement answers, a line for each row.
pub(super) fn query(uri: &str, statement: &str) -> anyhow::Result<String> {
    let mut psql = program("psql");
    psql.args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--command",
        statement,
    ]);
    Ok(run(psql.arg(uri))?.trim().to_owned())
}

/// Writes a database down, as `pg_dump` does.
pub(super) fn dump(uri: &str, file: &Path) -> anyhow::Result<()> {
    let mut pg_dump = program("pg_dump");
    pg_dump.args(["--format", "custom", "--file"]).arg(file);
    run(pg_dump.arg("--dbname").arg(uri))?;
    Ok(())
}

/// Writes what was dumped into an empty database.
pub(super) fn put_back(file: &Path, uri: &str) -> anyhow::Result<()> {
    let mut pg_restore = program("pg_restore");
    pg_restore.args(["--exit-on-error", "--single-transaction", "--dbname", uri]);
    run(pg_restore.arg(file))?;
    Ok(())
}

fn own_folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("rapport-restore")
        .tempdir()?;
    give_to_owner(folder.path())?;
    Ok(folder)
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").expect("Linux")) == 0
}

fn give_to_owner(path: &Path) -> anyhow::Result<()> {
    if is_root() {
        run(Command::new("chown")
            .args(["--recursive", ACCOUNT])
            .arg(path))?;
    }
    Ok(())
}

fn program(name: &str) -> Command {
    const FOLDER: &str = "RAPPORT_TEST_PG_BIN";
    let folder = std::env::var(FOLDER)
        .unwrap_or_else(|_| panic!("{FOLDER} is not set: run the tests with scripts/test"));
    Command::new(Path::new(&folder).join(name))
}

/// Returns the command of a program that must not be root, and that ends with this process.
fn as_owner(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]);
    }
    command
        .args(["--pdeathsig", "QUIT", "--"])
        .arg(program(name).get_program())
        .current_dir("/");
    command
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
