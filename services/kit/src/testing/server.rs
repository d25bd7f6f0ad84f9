//! What servers of a test's own have in common: a folder, and a process that is killed and started again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use uuid::Uuid;

/// A server that runs; its process and its folder go with this value.
pub(super) struct Server {
    folder: PathBuf,
    process: Child,
}

impl Server {
    /// Makes an empty folder for a server of this name.
    pub(super) fn folder_of(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rapport-{name}-{}", Uuid::new_v4()));
        fs::create_dir(&folder).expect("there is a folder for temporary files");
        folder
    }

    /// Starts a program, whose standard error goes to `log`, and which ends with this process, however that
    /// ends.
    pub(super) fn spawn(program: &str, log: &Path, say: impl FnOnce(&mut Command)) -> Child {
        let written = fs::File::create(log).expect("the server's folder can be written");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", program])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written);
        say(&mut command);
        let started = command.spawn();
        started.expect("setpriv of util-linux starts the server")
    }

    pub(super) fn new(folder: PathBuf, process: Child) -> Self {
        Self { folder, process }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it as a power failure would end the process; panics when it has ended by itself.
    pub(super) fn kill(&mut self) {
        let ended = self.process.try_wait().expect("the server is our child");
        assert_eq!(ended, None, "the server has ended by itself");
        self.process.kill().expect("the server is our child");
        self.process.wait().expect("the server is our child");
    }

    /// Takes the process that was started in the place of the one that was killed.
    pub(super) fn restarted(&mut self, process: Child) {
        self.process = process;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
