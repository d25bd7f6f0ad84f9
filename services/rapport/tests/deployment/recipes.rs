//! The commands that `deploy/README.md` and `k8s/README.md` show, run as an operator pastes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{
    kubernetes::{GRPC_PORT, SERVICES},
    manifests::{Pods, Source, list, render, text},
    output, repository, setting, yaml,
};

/// The ports at which the services are on a host's loopback, in the order of [`SERVICES`].
const PORTS: [u16; 3] = [50051, 50052, 50053];

/// The suite in one process, in production, with the secrets of `deploy/prepare`; ended with this value.
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
        command.env("RAPPORT_MODE", "production");
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

/// Returns the commands below a heading of a README, block by block.
fn commands(readme: &str, heading: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository(readme)).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// Runs commands in a shell that ends at the first that fails, and returns what all of them said.
fn run(script: &str, folder: &Path) -> String {
    let script = format!("exec 2>&1\n{script}");
    output(
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env("GRPCURL", setting("RAPPORT_TEST_GRPCURL"))
            .env("KUBECTL", setting("RAPPORT_TEST_KUBECTL"))
            .current_dir(folder),
    )
}

#[test]
fn the_first_calls_of_the_readme_work_as_they_are_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let suite = Suite::start(folder.path());
    let calls = commands("deploy/README.md", "First calls").concat();
    let mut script = format!("grpcurl() {{ command \"$GRPCURL\" \"$@\"; }}\n{calls}");
    for (port, addr) in PORTS.into_iter().zip(&suite.addrs) {
        let shown = format!("127.0.0.1:{port}");
        assert_eq!(script.matches(&shown).count(), 1);
        script = script.replace(&shown, addr);
    }
    let printed = run(&script, folder.path());
    assert_eq!(printed.matches("\"SERVING\"").count(), 3, "{printed}");
    for said in [
        "\"displayName\": \"A shop\"",
        "\"text\": \"In blue?\"",
        "\"text\": \"It comes in blue.\"",
        "\"orderId\": \"A-1\"",
        "\"explanation\"",
        // Of identity's log, of chat's, and of both.
        "\"memberChanged\"",
        "\"messageSent\"",
        "\"heartbeat\"",
    ] {
        assert!(printed.contains(said), "{said} is not in {printed}");
    }
    // Both logs went on until the two seconds were over, and nothing else was refused.
    let codes: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Code: "))
        .collect();
    assert_eq!(codes, ["DeadlineExceeded"; 2], "{printed}");
}

/// Returns the Secrets that the commands of `k8s/README.md` make, with their keys.
fn secrets_of_the_readme(namespace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    let deploy = folder.path().join("deploy");
    fs::create_dir(&deploy).unwrap();
    fs::copy(repository("deploy/prepare"), deploy.join("prepare")).unwrap();
    let commands = &commands("k8s/README.md", "What an operator makes")[0];
    let dry = "kubectl() { \"$KUBECTL\" \"$@\" --dry-run=client --output yaml; echo ---; }";
    let printed = run(&format!("{dry}\n{commands}"), folder.path());
    let (_, printed) = printed.split_once("apiVersion:").unwrap();
    let mut secrets = BTreeMap::new();
    for made in yaml(&format!("apiVersion:{printed}")) {
        if made["kind"] == "Namespace" {
            assert_eq!(made["metadata"]["name"], namespace);
            continue;
        }
        assert_eq!(made["metadata"]["namespace"], namespace);
        let keys = made["data"].as_object().unwrap().keys().cloned().collect();
        secrets.insert(text(&made["metadata"]["name"]), keys);
    }
    secrets
}

#[test]
fn the_secrets_that_the_readme_makes_are_those_that_a_trial_reads() {
    let overlay = render("dev");
    let namespace = text(&overlay.of_kind("Namespace")[0]["metadata"]["name"]);
    let made = secrets_of_the_readme(&namespace);
    let mut read = BTreeMap::<String, BTreeSet<String>>::new();
    for container in overlay.pods().iter().flat_map(Pods::containers) {
        for (_, source) in overlay.environment(container) {
            if let Source::Secret { name, key } = source {
                read.entry(name).or_default().insert(key);
            }
        }
    }
    for pods in overlay.pods() {
        for volume in list(&pods.spec["volumes"]) {
            if let Some(name) = volume["secret"]["secretName"].as_str() {
                let files = ["ca.crt", "tls.crt", "tls.key"].map(str::to_owned);
                read.entry(name.to_owned()).or_default().extend(files);
            }
        }
    }
    assert_eq!(
        made.keys().collect::<Vec<_>>(),
        read.keys().collect::<Vec<_>>()
    );
    for (name, keys) in read {
        assert!(keys.is_subset(&made[&name]), "{name}: {keys:?}");
    }
}

/// Returns what `kubectl` is told by the commands below "Start a trial" of `k8s/README.md`.
fn told_to_kubectl() -> Vec<String> {
    let commands = commands("k8s/README.md", "Start a trial").concat();
    let folder = tempfile::tempdir().unwrap();
    let said = run(
        &format!("kubectl() {{ echo \"$*\"; }}\n{commands}wait"),
        folder.path(),
    );
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_trial_is_started_and_reached_by_names_that_there_are() {
    let overlay = render("dev");
    let namespace = &overlay.of_kind("Namespace")[0]["metadata"]["name"];
    let names: BTreeSet<String> = overlay
        .all()
        .iter()
        .map(|one: &Value| format!("{}/{}", text(&one["kind"]), text(&one["metadata"]["name"])))
        .map(|name| name.to_lowercase())
        .collect();
    let told = told_to_kubectl();
    assert!(
        told.contains(&"apply -k k8s/overlays/dev".to_owned()),
        "{told:?}"
    );
    let in_namespace = format!("--namespace {} ", text(namespace));
    for command in told.iter().filter(|command| !command.starts_with("apply ")) {
        assert!(command.starts_with(&in_namespace), "{command}");
        let mut named = command.split_whitespace().filter(|word| word.contains('/'));
        assert!(
            named.next().is_some_and(|name| names.contains(name)),
            "{command}"
        );
    }
    for (service, port) in SERVICES.into_iter().zip(PORTS) {
        let reached = format!("port-forward deployment/rapport-{service} {port}:{GRPC_PORT}");
        assert!(
            told.contains(&format!("{in_namespace}{reached}")),
            "{reached}"
        );
    }
}
