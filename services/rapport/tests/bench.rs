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

/// Runs the benchmark of sign-in, and returns its values by name.
fn sign_in(database_url: &str) -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_rapport"))
        .args([
            "bench",
            "sign-in",
            "--json",
            "--seconds",
            "1",
            "--rows",
            "200",
        ])
        .args(["--rounds", "2", "--callers", "4"])
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

fn check_figures(values: &BTreeMap<String, Value>) {
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
    for figure in [
        "sign_in.p50_10",
        "sign_in.p50_200",
        "sign_in.p50_200_to_10",
        "sign_in.rate",
        "pgbench.rate",
        "sign_in.ratio_to_pgbench",
    ] {
        assert!(
            values[figure].as_f64().unwrap() > 0.0,
            "{figure}: {values:?}"
        );
    }
}

#[test]
fn the_benchmark_of_sign_in_names_its_figures_on_postgresql_and_leaves_no_database() {
    let url = variable("RAPPORT_TEST_POSTGRES_URL");
    check_figures(&sign_in(&url));
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
fn the_benchmark_of_sign_in_names_its_figures_on_sqlite() {
    let values = sign_in("sqlite");
    check_figures(&values);
    assert!(values["engine"].as_str().unwrap().starts_with("SQLite"));
    assert_eq!(values["postgresql.fsync"], "on");
}
