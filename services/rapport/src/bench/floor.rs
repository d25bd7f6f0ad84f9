//! What PostgreSQL does by itself: pgbench with an INSERT and an UPDATE in one transaction.
//!
//! That is the least that keeping a fact and its effect costs, without a service around it.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use kit::db::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::process::Command;

use super::{latencies::Latencies, programs::Programs, report::progress};

/// Enough that clients seldom wait for each other's row.
const COUNTERS: u32 = 10_000;
const SCRIPT: &str = "transaction.sql";

/// pgbench, with its tables and its script.
pub(super) struct Floor {
    pgbench: PathBuf,
    database: SecretString,
    /// Its script, and its logs.
    folder: TempDir,
    payload: String,
}

impl Floor {
    /// Makes the tables in `database`, an empty one; each transaction inserts `payload_bytes`.
    ///
    /// # Errors
    ///
    /// When pgbench is missing or the database does not answer.
    pub(super) async fn lay(
        programs: &Programs,
        database: DatabaseUrl,
        payload_bytes: usize,
    ) -> anyhow::Result<Self> {
        let DatabaseUrl::Postgres(database) = database else {
            anyhow::bail!("pgbench measures PostgreSQL");
        };
        let mut connection = AsyncPgConnection::establish(database.expose_secret()).await?;
        let tables = format!(
            "CREATE TABLE counter (counter_id integer PRIMARY KEY, total bigint NOT NULL); \
             CREATE TABLE entry (entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
             counter_id integer NOT NULL, payload text NOT NULL); \
             INSERT INTO counter SELECT number, 0 FROM generate_series(1, {COUNTERS}) AS number; \
             ANALYZE counter"
        );
        connection.batch_execute(&tables).await?;
        let folder = tempfile::Builder::new().prefix("rapport-bench").tempdir()?;
        let text = format!(
            "\\set counter random(1, {COUNTERS})\n\
             BEGIN;\n\
             INSERT INTO entry (counter_id, payload) VALUES (:counter, :payload);\n\
             UPDATE counter SET total = total + 1 WHERE counter_id = :counter;\n\
             COMMIT;\n"
        );
        std::fs::write(folder.path().join(SCRIPT), text)?;
        Ok(Self {
            pgbench: programs.get("pgbench")?,
            database,
            folder,
            payload: "x".repeat(payload_bytes),
        })
    }

    /// Returns the transactions a second of so many clients, the time to connect left out.
    ///
    /// # Errors
    ///
    /// When pgbench fails; what it said is in the message.
    pub(super) async fn rate(&self, clients: usize, seconds: u32) -> anyhow::Result<f64> {
        let output = self.run(clients, seconds, &[]).await?;
        rate_of(&output).context("pgbench does not say how many transactions a second there were")
    }

    /// Returns how long each transaction took, with so many clients; with a `rate` so many are begun a
    /// second, and each counts from when it was to begin.
    ///
    /// # Errors
    ///
    /// When pgbench fails; what it said is in the message.
    pub(super) async fn latencies(
        &self,
        clients: usize,
        seconds: u32,
        rate: Option<f64>,
    ) -> anyhow::Result<Latencies> {
        let logs = tempfile::tempdir_in(&self.folder)?;
        let prefix = logs.path().join("log");
        let prefix = prefix
            .to_str()
            .context("a temporary folder has a plain name")?;
        let mut arguments = vec!["--log".to_owned(), format!("--log-prefix={prefix}")];
        arguments.extend(rate.map(|rate| format!("--rate={rate}")));
        self.run(clients, seconds, &arguments).await?;
        let mut latencies = Latencies::default();
        for log in std::fs::read_dir(logs.path())? {
            for line in std::fs::read_to_string(log?.path())?.lines() {
                latencies.record(latency_of(line).context("pgbench logs another form")?);
            }
        }
        Ok(latencies)
    }

    /// Returns the number of clients with the most transactions a second.
    ///
    /// # Errors
    ///
    /// When pgbench fails; what it said is in the message.
    pub(super) async fn best_clients(&self, among: &[usize]) -> anyhow::Result<usize> {
        let mut best = (1, 0.0);
        for &clients in among {
            let rate = self.rate(clients, 1).await?;
            progress(&format!(
                "{clients} clients: {rate:.0} transactions a second"
            ));
            if rate > best.1 {
                best = (clients, rate);
            }
        }
        Ok(best.0)
    }

    async fn run(
        &self,
        clients: usize,
        seconds: u32,
        arguments: &[String],
    ) -> anyhow::Result<String> {
        let threads = std::thread::available_parallelism()?.get().min(clients);
        let output = Command::new(&self.pgbench)
            .args(["--no-vacuum", "--protocol", "prepared"])
            .args(["--client", &clients.to_string()])
            .args(["--jobs", &threads.to_string()])
            .args(["--time", &seconds.to_string()])
            .args(["--define", &format!("payload={}", self.payload)])
            .args(arguments)
            .arg("--file")
            .arg(self.folder.path().join(SCRIPT))
            .arg(self.database.expose_secret())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "pgbench failed: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Reads the third of `client transaction microseconds script …`.
fn latency_of(line: &str) -> Option<Duration> {
    let micros = line.split_whitespace().nth(2)?.parse().ok()?;
    Some(Duration::from_micros(micros))
}

/// Reads `tps = 1234.5 (without initial connection time)`.
fn rate_of(output: &str) -> Option<f64> {
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_pgbench_prints() {
        let output = "latency average = 8.123 ms\ninitial connection time = 3.2 ms\n\
                      tps = 2461.125 (without initial connection time)\n";
        assert_eq!(rate_of(output), Some(2461.125));
        assert_eq!(rate_of("pgbench: error"), None);
    }

    #[test]
    fn a_latency_is_read_from_a_line_of_the_log() {
        let line = "0 199 2241 0 1175850568 995598 13";
        assert_eq!(latency_of(line), Some(Duration::from_micros(2_241)));
        assert_eq!(latency_of("0 199"), None);
    }
}
