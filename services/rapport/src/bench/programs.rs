//! PostgreSQL's programs on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where Debian keeps each version's programs, of which only some are on the PATH.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The folder that holds them.
#[derive(Clone)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// Finds them: in `named`, else in Debian's folder of the newest version, else on the PATH.
    ///
    /// # Errors
    ///
    /// When they are nowhere.
    pub(super) fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(folder) = named {
            return Ok(Self(folder.to_owned()));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        debian_folders()
            .into_iter()
            .chain(std::env::split_paths(&path))
            .find(|folder| folder.join("pgbench").is_file())
            .map(Self)
            .context(
                "PostgreSQL's pgbench is nowhere to be found: install PostgreSQL's server, or name the \
                 folder of its programs with --postgres-bin",
            )
    }

    /// Returns one of them.
    ///
    /// # Errors
    ///
    /// When the folder has none of this name.
    pub(super) fn get(&self, name: &str) -> anyhow::Result<PathBuf> {
        let program = self.0.join(name);
        anyhow::ensure!(
            program.is_file(),
            "there is no {name} in {}: --postgres-bin names another folder",
            self.0.display()
        );
        Ok(program)
    }
}

/// Returns the folders of the versions that are installed, newest first.
fn debian_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, folder)| folder).collect()
}
