//! A PostgreSQL of the benchmark's own, which keeps what it has committed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::time::Instant;

use super::programs::Programs;

/// Whom the server runs as when this runs as root, as whom it refuses to.
const ACCOUNT: &str = "postgres";
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A server that listens on a socket in a temporary folder alone; it ends, and the folder with it,
/// when this is dropped.
pub(super) struct Cluster {
    server: Child,
    folder: TempDir,
}

impl Cluster {
    /// Makes the cluster and starts its server, with the settings that a fresh installation has, and commit times that are kept:
    /// `fsync` and `synchronous_commit` are on.
    ///
    /// # Errors
    ///
    /// When a program is missing or fails; the server's log is in the message.
    pub(super) async fn start(programs: &Programs) -> anyhow::Result<Self> {
        let (initdb, postgres) = (programs.get("initdb")?, programs.get("postgres")?);
        let folder = tempfile::Builder::new().prefix("rapport-bench").tempdir()?;
        if geteuid().is_root() {
            let owned = Command::new("chown")
                .arg(ACCOUNT)
                .arg(folder.path())
                .status()?;
            anyhow::ensure!(
                owned.success(),
                "PostgreSQL does not run as root, and there is no account {ACCOUNT} to run it as"
            );
        }
        let data = folder.path().join("data");
        let made = as_owner(&initdb)
            .args([
                "--username",
                "postgres",
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
            ])
            .args(["--no-locale", "--no-instructions", "--pgdata"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .context("PostgreSQL's initdb cannot be started")?;
        let said = String::from_utf8_lossy(&made.stderr);
        anyhow::ensure!(made.status.success(), "PostgreSQL's initdb failed: {said}");
        let server = serve(&postgres, &data, folder.path())?;
        let mut cluster = Self { server, folder };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// Returns where it is.
    pub(super) fn url(&self) -> SecretString {
        let host = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/postgres").into()
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let url = self.url();
        while AsyncPgConnection::establish(url.expose_secret())
            .await
            .is_err()
        {
            let ended = self.server.try_wait()?.is_some();
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(log_of(self.folder.path()))?;
                anyhow::bail!("the private PostgreSQL did not start: {log}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    /// Ends the server at once: what it holds is thrown away.
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to end or to wait for.
        let _ = kill_process(Pid::from_child(&self.server), Signal::QUIT);
        let _ = self.server.wait();
    }
}

fn serve(postgres: &Path, data: &Path, folder: &Path) -> anyhow::Result<Child> {
    use std::os::unix::process::CommandExt;

    let log = File::create(log_of(folder))?;
    as_owner(postgres)
        .arg("-D")
        .arg(data)
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
        .args(["-c", "fsync=on", "-c", "synchronous_commit=on"])
        .args(["-c", "track_commit_timestamp=on"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is for the benchmark, which needs the server until it has ended.
        .process_group(0)
        .spawn()
        .context("the private PostgreSQL cannot be started")
}

/// Returns the command of a program that must not be root, and that ends with this process even
/// where it is killed.
fn as_owner(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}
