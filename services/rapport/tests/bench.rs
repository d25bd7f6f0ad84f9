//! `rapport bench`, small and on each engine: it runs, and names what it measured. No figure is judged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

fn programs() -> String {
    variable("RAPPORT_TEST_PG_BIN")
}

/// Runs a benchmark, and returns its values by name.
fn bench(name: &str, arguments: &[&str], database_url: &str) -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_rapport"))
        .args(["bench", name, "--json", "--seconds", "1"])
        .args(arguments)
        .args([
            "--postgres-bin",
            &programs(),
            "--database-url",
            database_url,
        ])
        .output()
        .unwrap();
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{progress}");
    assert_eq!(
        progress.contains("debug build"),
        cfg!(debug_assertions),
        "{progress}"
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let values = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["unit"].is_string(), "{line}");
        (
            line["name"].as_str().unwrap().to_owned(),
            line["value"].clone(),
        )
    });
    values.collect()
}

fn sign_in(database_url: &str) -> BTreeMap<String, Value> {
    let arguments = ["--rows", "200", "--rounds", "2", "--callers", "4"];
    let values = bench("sign-in", &arguments, database_url);
    check(
        &values,
        &[
            "sign_in.p50_10",
            "sign_in.p50_200",
            "sign_in.p50_200_to_10",
            "sign_in.rate",
            "pgbench.rate",
            "sign_in.ratio_to_pgbench",
        ],
    );
    values
}

fn chat(database_url: &str) -> BTreeMap<String, Value> {
    let arguments = ["--rows", "20000", "--streams", "50", "--callers", "4"];
    let values = bench("chat", &arguments, database_url);
    check(
        &values,
        &[
            "send_message.rate",
            "send_message.ratio_to_pgbench",
            "send_message.ratio_to_empty_call",
            "send_message.p50_ms",
            "send_message.p99_ms",
            "send_message.p99_9_ms",
            "send_message.p99_ratio_to_pgbench",
            "send_message.idle_ratio_to_pgbench_and_empty_call",
            "watch.delivery_p99_ms",
            "list_messages.p50_large_to_small",
            "list_chatrooms.p50_large_to_small",
        ],
    );
    // A process that has memory to spare need not grow for fifty streams.
    assert!(values["watch.bytes_per_stream"].is_number(), "{values:?}");
    values
}

fn attribution(database_url: &str) -> BTreeMap<String, Value> {
    let arguments = ["--rows", "2000", "--links", "20", "--callers", "4"];
    let values = bench("attribution", &arguments, database_url);
    check(
        &values,
        &[
            "record_order.rate",
            "import_orders.rate",
            "import_orders.ratio_to_pgbench",
            "message_facts.rate",
            "pgbench.rate",
            "record_order.p50_2000",
            "record_order.p50_large_to_small",
            "link_to_credit.p50_ms",
            "link_to_credit.p99_ms",
            "link_to_credit.p99_large_to_small",
        ],
    );
    values
}

fn check(values: &BTreeMap<String, Value>, figures: &[&str]) {
    for fact in [
        "machine.cores",
        "machine.memory",
        "machine.kernel",
        "build.commit",
        "build.profile",
        "engine",
        "postgresql.server_version",
        "postgresql.fsync",
        "postgresql.synchronous_commit",
    ] {
        assert!(values[fact].is_string(), "{fact}: {values:?}");
    }
    for figure in figures {
        assert!(
            values[*figure].as_f64().unwrap() > 0.0,
            "{figure}: {values:?}"
        );
    }
}

#[test]
fn the_benchmarks_name_their_figures_on_postgresql_and_leave_no_database() {
    let url = variable("RAPPORT_TEST_POSTGRES_URL");
    sign_in(&url);
    chat(&url);
    attribution(&url);
    let databases = Command::new(Path::new(&programs()).join("psql"))
        .args([
            &url,
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--command",
        ])
        .arg("SELECT count(*) FROM pg_database WHERE datname LIKE 'rapport_bench%'")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(databases.stdout).unwrap().trim(), "0");
}

/// Here pgbench has a PostgreSQL of its own, which commits to disk.
#[test]
fn the_benchmarks_name_their_figures_on_sqlite() {
    for values in [sign_in("sqlite"), chat("sqlite"), attribution("sqlite")] {
        assert!(values["engine"].as_str().unwrap().starts_with("SQLite"));
        assert_eq!(values["postgresql.fsync"], "on");
    }
}
