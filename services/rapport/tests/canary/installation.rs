//! The suite as a process that logs all it can, and what it has written down.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use rapport::client::{Channels, wait_until};
use tempfile::TempDir;

use crate::collector::Collector;

const POSTGRES_URL: &str = "RAPPORT_TEST_POSTGRES_URL";
const PG_BIN: &str = "RAPPORT_TEST_PG_BIN";
const SERVICES: [&str; 3] = ["identity", "chat", "attribution"];

/// What keeps the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A running suite with its folder; both are gone with this value.
pub(crate) struct Installation {
    engine: Engine,
    folder: TempDir,
    /// On PostgreSQL, in the order of [`SERVICES`].
    urls: Vec<String>,
    child: Child,
    pub(crate) channels: Channels,
    /// To whom it tells its spans and metrics.
    pub(crate) collector: Collector,
}

fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

impl Installation {
    pub(crate) async fn start(engine: Engine) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let urls: Vec<String> = match engine {
            Engine::Sqlite => Vec::new(),
            Engine::Postgres => SERVICES.iter().map(|_| create_database()).collect(),
        };
        let collector = Collector::start().await?;
        let child = spawn(&folder, &urls, &collector)?;
        let channels = channels(&folder).await?;
        Ok(Self {
            engine,
            folder,
            urls,
            child,
            channels,
            collector,
        })
    }

    /// Kills the suite as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the suite again, on the same databases.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.folder, &self.urls, &self.collector)?;
        self.channels = channels(&self.folder).await?;
        Ok(())
    }

    /// Returns a secret that development mode has made.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let json = fs::read(self.folder.path().join("data/development-secrets.json"))?;
        let secrets: serde_json::Value = serde_json::from_slice(&json)?;
        let secret = secrets[name].as_str();
        Ok(secret.context("development mode has made it")?.to_owned())
    }

    /// Returns all that the databases hold, service by service: each file of SQLite, its write-ahead
    /// log and index with it; a dump of PostgreSQL.
    pub(crate) fn databases(&self) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let content = |(number, service): (usize, &'static str)| {
            let content = match self.engine {
                Engine::Sqlite => self.files_of(service)?,
                Engine::Postgres => dump(&self.urls[number]),
            };
            Ok((service, content))
        };
        SERVICES.into_iter().enumerate().map(content).collect()
    }

    /// Returns the bytes of all images, one after the other.
    pub(crate) fn images(&self) -> anyhow::Result<Vec<u8>> {
        let mut content = Vec::new();
        for brand in fs::read_dir(self.folder.path().join("data/images"))? {
            for file in fs::read_dir(brand?.path())? {
                content.extend(fs::read(file?.path())?);
            }
        }
        Ok(content)
    }

    fn files_of(&self, service: &str) -> anyhow::Result<Vec<u8>> {
        let mut content = Vec::new();
        for entry in fs::read_dir(self.folder.path().join("data"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(service) {
                content.extend(fs::read(entry.path())?);
            }
        }
        Ok(content)
    }

    /// Returns all that has been logged and printed so far.
    pub(crate) fn log(&self) -> anyhow::Result<Vec<u8>> {
        let mut log = fs::read(self.folder.path().join("stderr"))?;
        log.extend(fs::read(self.folder.path().join("stdout"))?);
        Ok(log)
    }

    /// Has the suite stop, as an operator does.
    pub(crate) fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, urls: &[String], collector: &Collector) -> anyhow::Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapport"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RAPPORT_")) {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(folder.path().join("data"));
    for service in SERVICES {
        command.arg(format!("--{service}-addr")).arg("127.0.0.1:0");
    }
    for (service, url) in SERVICES.iter().zip(urls) {
        command.arg(format!("--{service}-database-url")).arg(url);
    }
    let child = command
        .env("RAPPORT_LOG", "trace")
        .env("RAPPORT_OTLP_ENDPOINT", &collector.endpoint)
        .env("RUST_BACKTRACE", "full")
        .stdout(Stdio::from(File::create(folder.path().join("stdout"))?))
        .stderr(Stdio::from(File::create(folder.path().join("stderr"))?))
        .spawn()?;
    Ok(child)
}

/// Returns connections to the suite that was spawned last, once it listens.
async fn channels(folder: &TempDir) -> anyhow::Result<Channels> {
    let stdout = folder.path().join("stdout");
    let addrs = wait_until("the suite listens", async || {
        Ok(addrs(&fs::read_to_string(&stdout)?))
    });
    let [identity, chat, attribution] = addrs.await?;
    Channels::new(identity, chat, attribution)
}

/// Returns the addresses that a start prints, once they are all there.
fn addrs(stdout: &str) -> Option<[SocketAddr; 3]> {
    let addr = |service: &str| -> Option<SocketAddr> {
        let line = stdout.lines().find(|line| line.starts_with(service))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some([addr("identity")?, addr("chat")?, addr("attribution")?])
}

fn create_database() -> String {
    let server = setting(POSTGRES_URL);
    let name = format!("canary_{}", uuid::Uuid::new_v4().simple());
    let statement = format!("CREATE DATABASE {name}");
    run("psql", &[&server, "--command", &statement]);
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

fn dump(url: &str) -> Vec<u8> {
    run("pg_dump", &["--dbname", url])
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let path = PathBuf::from(setting(PG_BIN)).join(program);
    let output = Command::new(&path).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    output.stdout
}
