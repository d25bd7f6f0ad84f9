//! What PostgreSQL does by itself: pgbench with an INSERT and an UPDATE in one transaction.
//!
//! That is the least that keeping a fact and its effect costs, without a service around it.

use std::{path::PathBuf, process::Stdio};

use anyhow::Context;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use kit::db::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::programs::Programs;

/// Enough that clients seldom wait for each other's row.
const COUNTERS: u32 = 10_000;

/// pgbench, with its tables and its script.
pub(super) struct Floor {
    pgbench: PathBuf,
    database: SecretString,
    script: NamedTempFile,
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
        let script = NamedTempFile::with_prefix("rapport-bench")?;
        let text = format!(
            "\\set counter random(1, {COUNTERS})\n\
             BEGIN;\n\
             INSERT INTO entry (counter_id, payload) VALUES (:counter, :payload);\n\
             UPDATE counter SET total = total + 1 WHERE counter_id = :counter;\n\
             COMMIT;\n"
        );
        std::fs::write(script.path(), text)?;
        Ok(Self {
            pgbench: programs.get("pgbench")?,
            database,
            script,
            payload: "x".repeat(payload_bytes),
        })
    }

    /// Returns the transactions a second of so many clients, the time to connect left out.
    ///
    /// # Errors
    ///
    /// When pgbench fails; what it said is in the message.
    pub(super) async fn rate(&self, clients: usize, seconds: u32) -> anyhow::Result<f64> {
        let threads = std::thread::available_parallelism()?.get().min(clients);
        let output = Command::new(&self.pgbench)
            .args(["--no-vacuum", "--protocol", "prepared"])
            .args(["--client", &clients.to_string()])
            .args(["--jobs", &threads.to_string()])
            .args(["--time", &seconds.to_string()])
            .args(["--define", &format!("payload={}", self.payload)])
            .arg("--file")
            .arg(self.script.path())
            .arg(self.database.expose_secret())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "pgbench failed: {said}");
        rate_of(&String::from_utf8_lossy(&output.stdout))
            .context("pgbench does not say how many transactions a second there were")
    }
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
}
