//! A server of S3's protocol of a test's own: nanio, over a folder, in the Python that `RAPPORT_TEST_PYTHON`
//! names and `scripts/test` installs; a test that finds none fails and says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use super::{server::Server, wait_until};

const PYTHON: &str = "RAPPORT_TEST_PYTHON";
const REGION: &str = "eu-central-1";
const LONG: Duration = Duration::from_secs(30);

/// A running server, on a port that the system chose, with one bucket and one key that may use it; it
/// and its folder go with this value.
pub struct TestS3 {
    addr: String,
    server: Server,
}

impl TestS3 {
    /// Where chat keeps images in its bucket.
    pub const IMAGES_URL: &str = "s3://images/chat";
    /// Names the key.
    pub const ACCESS_KEY_ID: &str = "access-key-id-of-this-test";
    /// What requests are signed with.
    pub const SECRET_ACCESS_KEY: &str = "secret-access-key-of-this-test";

    /// Starts one whose bucket is empty.
    ///
    /// # Panics
    ///
    /// When there is none, or it does not start.
    pub async fn start() -> Self {
        let folder = Server::folder_of("s3");
        fs::create_dir_all(folder.join("buckets/images"))
            .expect("the server's folder can be written");
        let (process, addr) = run(&folder, "127.0.0.1:0").await;
        Self {
            addr,
            server: Server::new(folder, process),
        }
    }

    /// Ends it as a power failure would end the process.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, where it was and with what its folder holds.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        let (process, addr) = run(self.server.folder(), &self.addr).await;
        self.server.restarted(process);
        self.addr = addr;
    }

    /// Returns the bucket's folder, whose files are the objects, but for folders with a dot, where the server
    /// keeps what it knows of them; an object of which it knows nothing is as old as its file.
    pub fn bucket(&self) -> PathBuf {
        self.server.folder().join("buckets/images")
    }

    /// Returns what clients read in their environment.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.addr)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET_ACCESS_KEY.to_owned()),
        ]
    }
}

/// Runs a server at `addr`, and returns it with the address that it says.
async fn run(folder: &Path, addr: &str) -> (Child, String) {
    let python = std::env::var(PYTHON)
        .unwrap_or_else(|_| panic!("{PYTHON} is not set: run the tests with scripts/test"));
    let (host, port) = addr.rsplit_once(':').expect("an address has a port");
    let log = folder.join("log");
    let process = Server::spawn(&python, &log, |command| {
        // Not by nanio's own program, which takes no port that the system chooses.
        command
            .args(["-m", "uvicorn", "--factory", "nanio.app:build_app"])
            .args(["--host", host, "--port", port])
            .env("NANIO_DATA_DIR", folder.join("buckets"))
            .env("NANIO_REGION", REGION)
            .env("NANIO_ACCESS_KEY", TestS3::ACCESS_KEY_ID)
            .env("NANIO_SECRET_KEY", TestS3::SECRET_ACCESS_KEY);
    });
    let read = || {
        let said = fs::read_to_string(&log).ok()?;
        let (_, rest) = said.split_once("running on http://")?;
        let (addr, _) = rest.split_once(' ')?;
        Some(addr.to_owned())
    };
    wait_until(LONG, async || read().is_some()).await;
    (process, read().expect("the server has just said it"))
}
