//! What `deploy/` and `k8s/` say of the program is true of the program, and their own tools take it.
//! Nothing is deployed: there is no cluster here and no image.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alerts;
mod compose;
mod kubernetes;
mod manifests;
mod nats;
mod recipes;
mod started;

use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

/// Returns a path of the repository.
fn repository(path: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    PathBuf::from(root).canonicalize().unwrap().join(path)
}

/// Runs a command, and returns what it printed; one that fails ends the test with what it said.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}\n{printed}\n{said}");
    printed
}

/// Returns the documents of a YAML text, as the reader of Python's that the tools have makes them of it.
fn yaml(text: &str) -> Vec<Value> {
    const READ: &str = "import json, sys, yaml; \
         json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)";
    let mut child = Command::new(setting("RAPPORT_TEST_PYTHON"))
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "no YAML:\n{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the program says of a flag's environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    /// Its value may be shown.
    Open,
    /// Its value is not shown.
    Secret,
}

/// Returns every environment variable that the program reads, from its own help.
fn flags() -> BTreeMap<String, Flag> {
    let help = output(Command::new(env!("CARGO_BIN_EXE_rapport")).arg("--help"));
    let flags: BTreeMap<String, Flag> = help
        .split("[env: ")
        .skip(1)
        .map(|rest| rest.split_once(']').unwrap().0)
        .map(|flag| match flag.split_once('=') {
            Some((name, _)) => (name.to_owned(), Flag::Open),
            None => (flag.to_owned(), Flag::Secret),
        })
        .collect();
    assert_eq!(flags["RAPPORT_SUITE_SECRET"], Flag::Secret);
    flags
}
