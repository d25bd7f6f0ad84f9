//! Tells the program of which commit it is, for the report of a benchmark.

use std::process::Command;

fn main() {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=RAPPORT_COMMIT={commit}");
    // The log of HEAD grows with each commit and checkout; without one there is nothing to look at.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    let watched = log.unwrap_or_else(|| "build.rs".to_owned());
    println!("cargo::rerun-if-changed={watched}");
}

/// Returns what git answers; nothing where there is no git, or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
