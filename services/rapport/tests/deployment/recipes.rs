//! The calls that `deploy/README.md` shows, made as an operator pastes them.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{kubernetes::SERVICES, output, repository, setting};

/// The suite in one process, with the secrets of `deploy/prepare`; ended with this value.
struct Suite {
    child: Child,
    /// In the order of [`SERVICES`].
    addrs: Vec<String>,
    /// What it prints after that is read by nobody, and must not fail.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Suite {
    fn start(folder: &Path) -> Self {
        let deploy = folder.join("deploy");
        fs::create_dir(&deploy).unwrap();
        output(Command::new(repository("deploy/prepare")).arg(&deploy));
        let mut command = Command::new(env!("CARGO_BIN_EXE_rapport"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RAPPORT_")) {
            command.env_remove(name);
        }
        let secrets = fs::read_to_string(deploy.join(".env")).unwrap();
        command.envs(secrets.lines().map(|line| line.split_once('=').unwrap()));
        let tls = deploy.join("tls/services");
        command.env("RAPPORT_TLS_CERTIFICATE", tls.join("tls.crt"));
        command.env("RAPPORT_TLS_KEY", tls.join("tls.key"));
        command.env("RAPPORT_TLS_AUTHORITY", tls.join("ca.crt"));
        for service in SERVICES {
            command.arg(format!("--{service}-addr")).arg("127.0.0.1:0");
        }
        let command = command.current_dir(folder).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addrs = lines.by_ref().take(SERVICES.len()).map(|line| {
            let line = line.unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        });
        Self {
            addrs: addrs.collect(),
            child,
            _lines: lines,
        }
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the commands below a heading of `deploy/README.md`.
fn commands(heading: &str) -> String {
    let readme = fs::read_to_string(repository("deploy/README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_first_calls_of_the_readme_work_as_they_are_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let suite = Suite::start(folder.path());
    let mut script = commands("First calls");
    for (port, addr) in [50051, 50052, 50053].into_iter().zip(&suite.addrs) {
        let shown = format!("127.0.0.1:{port}");
        assert_eq!(script.matches(&shown).count(), 1);
        script = script.replace(&shown, addr);
    }
    let grpcurl = setting("RAPPORT_TEST_GRPCURL");
    let tools = Path::new(&grpcurl).parent().unwrap().display();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    let printed = output(
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", path),
    );
    assert_eq!(printed.matches("\"SERVING\"").count(), 3, "{printed}");
    for said in [
        "\"displayName\": \"A shop\"",
        "\"displayName\": \"Mia\"",
        "\"orderId\": \"A-1\"",
        "\"memberChanged\"",
        "\"heartbeat\"",
    ] {
        assert!(printed.contains(said), "{said} is not in {printed}");
    }
}
