//! A PostgreSQL server of a test's own, which can be killed: its programs are in the folder named by
//! `RAPPORT_TEST_PG_BIN`, which `scripts/with-postgres` names; a test that finds none fails and says so.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use secrecy::ExposeSecret;
use uuid::Uuid;

use super::wait_until;
use crate::db::{DatabaseUrl, postgres::SESSION_SETTINGS};

const PROGRAMS: &str = "RAPPORT_TEST_PG_BIN";
/// Whom the server runs as when this runs as root, as whom it refuses to.
const ACCOUNT: &str = "postgres";
const LONG: Duration = Duration::from_secs(60);

/// A running server, on a socket in a temporary folder alone; both go with this value. What it commits is
/// on the disk.
pub struct TestPostgres {
    folder: PathBuf,
    settings: Vec<String>,
    server: Child,
}

impl TestPostgres {
    /// Makes an empty cluster and starts its server with these settings, `NAME=VALUE`.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is missing, or does not start.
    pub async fn start(settings: &[&str]) -> Self {
        let arguments = "--username postgres --auth trust --encoding UTF8 --no-locale --no-sync";
        Self::start_on(settings, |data| {
            let mut initdb = as_owner("initdb");
            run(initdb.args(arguments.split(' ')).arg("--pgdata").arg(data));
        })
        .await
    }

    /// Starts a server on the data that `make` puts into a folder.
    ///
    /// # Panics
    ///
    /// As [`TestPostgres::start`].
    pub async fn start_on(settings: &[&str], make: impl FnOnce(&Path)) -> Self {
        let folder = std::env::temp_dir().join(format!("rapport-postgres-{}", Uuid::new_v4()));
        fs::create_dir(&folder).expect("there is a folder for temporary files");
        give_to_owner(&folder);
        make(&folder.join("data"));
        give_to_owner(&folder);
        let settings: Vec<String> = settings.iter().map(|&setting| setting.into()).collect();
        let server = serve(&folder, &settings);
        let mut server = Self {
            folder,
            settings,
            server,
        };
        server.wait_until_ready().await;
        server
    }

    /// Ends all of its processes as a power failure would end them.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub fn kill(&mut self) {
        let ended = self.server.try_wait().expect("the server is our child");
        assert_eq!(ended, None, "the server has ended by itself");
        let pid = self.server.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("Linux tells the children of a process");
        self.server.kill().expect("the server is our child");
        // One that is gone meanwhile, with its parent, is not there to be killed.
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(children.split_whitespace())
            .stderr(Stdio::null())
            .status();
        self.server.wait().expect("the server is our child");
    }

    /// Starts it again on what it kept, and waits until it has recovered.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.server = serve(&self.folder, &self.settings);
        self.wait_until_ready().await;
    }

    /// Returns where one of its databases is.
    pub fn url(&self, database: &str) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/{database}")
    }

    /// Makes a database, and returns where it is.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn create_database(&self, name: &str) -> String {
        self.query("postgres", &format!("CREATE DATABASE {name}"));
        self.url(name)
    }

    /// Returns what a statement answers in one of its databases, a line for each row.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn query(&self, database: &str, statement: &str) -> String {
        query_postgres(&self.url(database), statement).expect("the server answers")
    }

    async fn wait_until_ready(&mut self) {
        let url = self.url("postgres");
        let (server, folder, settings) = (&mut self.server, &self.folder, &self.settings);
        wait_until(LONG, async || {
            // Processes of one that was killed may hold its memory for a moment.
            if server
                .try_wait()
                .expect("the server is our child")
                .is_some()
            {
                *server = serve(folder, settings);
            }
            query_postgres(&url, "SELECT pg_is_in_recovery()").is_ok_and(|answer| answer == "f")
        })
        .await;
    }
}

impl Drop for TestPostgres {
    /// As a lost machine: without a checkpoint.
    fn drop(&mut self) {
        let pid = self.server.id().to_string();
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns what a statement answers in the database at `url`, a line for each row.
///
/// # Errors
///
/// What was said instead.
///
/// # Panics
///
/// When there is no `psql`.
pub fn query_postgres(url: &str, statement: &str) -> Result<String, String> {
    let arguments = ["--no-psqlrc", "--tuples-only", "--no-align", "--command"];
    let output = postgres_program("psql")
        .args(arguments)
        .args([statement, url])
        .output()
        .expect("psql can be started");
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// Asserts that a statement of a service, with 0 for each `?`, takes its rows from an index in their
/// order: one that sorts reads all that there are, whatever its limit.
///
/// # Panics
///
/// When it sorts, or is refused.
pub fn assert_rows_come_in_order(url: &DatabaseUrl, statement: &str) {
    let DatabaseUrl::Postgres(url) = url else {
        panic!("only PostgreSQL shows its plan");
    };
    let statement = statement.replace('?', "'0'");
    let explain = format!("{SESSION_SETTINGS}; EXPLAIN (COSTS off) {statement}");
    let plan = query_postgres(url.expose_secret(), &explain).expect("the statement is planned");
    assert!(plan.contains("Index Scan"), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
}

/// Returns the command of one of PostgreSQL's programs.
///
/// # Panics
///
/// When nobody says where they are.
pub fn postgres_program(name: &str) -> Command {
    let folder = std::env::var(PROGRAMS)
        .unwrap_or_else(|_| panic!("{PROGRAMS} is not set: run the tests with scripts/test"));
    Command::new(Path::new(&folder).join(name))
}

/// Lets the account that servers run as have a file or a folder.
///
/// # Panics
///
/// When this runs as root, and there is no such account.
pub fn give_to_owner(path: &Path) {
    if is_root() {
        run(Command::new("chown")
            .args(["--recursive", ACCOUNT])
            .arg(path));
    }
}

fn serve(folder: &Path, settings: &[String]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("server.log"))
        .expect("the server's folder can be written");
    let both = log.try_clone().expect("a file can be shared");
    as_owner("postgres")
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(both)
        .spawn()
        .expect("setpriv of util-linux starts the server")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("Linux").uid() == 0
}

/// Returns the command of a program that must not be root, and that ends with this process.
fn as_owner(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]);
    }
    command
        .args(["--pdeathsig", "QUIT", "--"])
        .arg(postgres_program(name).get_program())
        .current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program can be started");
    let said = text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
