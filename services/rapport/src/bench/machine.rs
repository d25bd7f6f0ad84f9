//! What a figure holds for: the machine and the build.

use std::path::Path;

use anyhow::Context;

use super::report::{Report, progress};

const KIB_IN_GIB: f64 = 1_048_576.0;

/// Reports cores, processor, memory, kernel, the temporary folder's file system, commit and profile;
/// warns of a build that is not for measuring.
///
/// # Errors
///
/// When a fact cannot be printed; what the machine does not tell is `unknown`.
pub(super) fn describe(report: &Report) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    report.fact("machine.cores", &cores.to_string())?;
    report.fact("machine.processor", &processor())?;
    report.fact("machine.memory", &memory())?;
    report.fact("machine.kernel", &or_unknown(kernel()))?;
    let folder = std::env::temp_dir();
    report.fact(
        "machine.temporary_folder",
        &or_unknown(file_system(&folder)),
    )?;
    report.fact("build.commit", env!("RAPPORT_COMMIT"))?;
    let is_debug = cfg!(debug_assertions);
    report.fact("build.profile", if is_debug { "debug" } else { "release" })?;
    if is_debug {
        progress(
            "WARNING: this is a debug build; its figures say nothing. Use cargo run --release",
        );
    }
    Ok(())
}

/// Returns how much memory this process holds now, in KiB.
///
/// # Errors
///
/// Where the system does not tell.
pub(super) fn resident_kib() -> anyhow::Result<f64> {
    let resident = value_in("/proc/self/status", "VmRSS");
    let kib = resident.and_then(|value| value.trim_end_matches(" kB").parse().ok());
    kib.context("the system does not tell how much memory a process holds")
}

fn or_unknown(fact: Option<String>) -> String {
    fact.unwrap_or_else(|| "unknown".to_owned())
}

fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(release.trim().to_owned())
}

fn processor() -> String {
    or_unknown(value_in("/proc/cpuinfo", "model name"))
}

fn memory() -> String {
    let kib = value_in("/proc/meminfo", "MemTotal")
        .and_then(|value| value.trim_end_matches(" kB").parse::<f64>().ok());
    or_unknown(kib.map(|kib| format!("{:.1} GiB", kib / KIB_IN_GIB)))
}

/// Returns the first `name: value` of a file.
fn value_in(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// Returns the kind of file system that a folder is on: on a `tmpfs` nothing is durable, and an fsync
/// costs nothing.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let folder = folder.canonicalize().ok()?;
    let mut best: Option<(usize, String)> = None;
    for mut mount in mounts.lines().map(str::split_whitespace) {
        let (Some(place), Some(kind)) = (mount.nth(1), mount.next()) else {
            continue;
        };
        let is_deeper = best
            .as_ref()
            .is_none_or(|(length, _)| place.len() >= *length);
        if folder.starts_with(place) && is_deeper {
            best = Some((place.len(), kind.to_owned()));
        }
    }
    best.map(|(_, kind)| kind)
}
