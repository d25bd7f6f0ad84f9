//! The program, started as the manifests start it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    kubernetes::{GRPC_PORT, METRICS_PORT, deployments},
    manifests::{Overlay, Pods, Source, list, overlays, text},
    output, setting,
};

const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];

/// A container that runs the program, in words of Kubernetes or of Compose.
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Container {
    /// Secrets stand for those that an operator makes.
    fn of_pods(overlay: &Overlay, pods: &Pods<'_>) -> Self {
        let [container] = pods.containers()[..] else {
            panic!("{} is one container", pods.name());
        };
        let environment = overlay.environment(container).into_iter();
        let environment = environment.map(|(name, source)| match source {
            Source::Text(text) => (name, text),
            Source::Secret { key, .. } => (name, secret(&key)),
        });
        Self {
            name: pods.component(),
            arguments: list(&container["args"]).iter().map(text).collect(),
            environment: environment.collect(),
        }
    }

    /// Returns its command, with addresses of this machine, and with `folder` for each folder.
    pub(crate) fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rapport"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RAPPORT_")) {
            command.env_remove(name);
        }
        command.args(&self.arguments).current_dir(folder);
        let own = format!("RAPPORT_{}_ADDR", self.name.to_uppercase());
        for (name, value) in &self.environment {
            let value = if *name == own || name == "RAPPORT_METRICS_ADDR" {
                "127.0.0.1:0".to_owned()
            } else if name.ends_with("_ADDR") {
                // Nobody answers there, and no service needs another to start.
                "127.0.0.1:1".to_owned()
            } else if value.starts_with("file:///") {
                format!("file://{}", folder.display())
            } else {
                value.clone()
            };
            command.env(name, value);
        }
        command
    }
}

/// A service with the environment of its container.
pub(crate) struct Started {
    child: Child,
    addr: String,
}

impl Started {
    pub(crate) fn new(container: &Container, folder: &Path) -> Self {
        let mut command = container.command(folder);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let mut addr = |name: &str| {
            let line = lines.next();
            let line = line.unwrap_or_else(|| panic!("{} did not start", container.name));
            let (printed, addr) = line.split_once(char::is_whitespace).unwrap();
            assert_eq!(printed, name);
            addr.trim().to_owned()
        };
        addr("metrics");
        let addr = addr(&container.name);
        Self { child, addr }
    }

    /// Returns what it says of itself under the name of a service.
    pub(crate) async fn health(&self, service: &str) -> ServingStatus {
        let uri = format!("http://{}", self.addr);
        let channel = Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = HealthClient::new(channel).check(request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{service:?}: {error}"));
        answer.into_inner().status()
    }

    pub(crate) fn terminate(mut self) {
        let pid = self.child.id().to_string();
        output(Command::new("kill").args(["-TERM", &pid]));
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a value such as the READMEs have an operator make.
fn secret(key: &str) -> String {
    match key {
        "RAPPORT_ENCRYPTION_KEY" | "RAPPORT_EMAIL_DIGEST_KEY" => "A".repeat(43),
        "identity" | "chat" | "attribution" => database(),
        "url" => "s3://bucket/images".to_owned(),
        _ => format!("{key}-of-this-test"),
    }
}

/// Makes a database, and returns its URL.
pub(crate) fn database() -> String {
    let server = setting("RAPPORT_TEST_POSTGRES_URL");
    let psql = Path::new(&setting("RAPPORT_TEST_PG_BIN")).join("psql");
    let name = format!("deployment_{}", uuid::Uuid::new_v4().simple());
    let statement = format!("CREATE DATABASE {name}");
    output(Command::new(psql).args([&server, "--no-psqlrc", "--command", &statement]));
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_starts_as_its_manifest_says_and_answers_its_probes() {
    for overlay in overlays() {
        for deployment in deployments(&overlay) {
            let folder = tempfile::tempdir().unwrap();
            let container = Container::of_pods(&overlay, &deployment);
            let started = Started::new(&container, folder.path());
            for probe in PROBES {
                let grpc = &deployment.containers()[0][probe]["grpc"];
                assert_eq!(grpc["port"], GRPC_PORT, "{probe}");
                let service = grpc["service"].as_str().unwrap_or_default();
                let status = started.health(service).await;
                assert_eq!(status, ServingStatus::Serving, "{service:?}");
            }
            started.terminate();
        }
    }
}

#[test]
fn the_databases_are_migrated_as_the_manifest_says() {
    for overlay in overlays() {
        let jobs = overlay.pods_of_rapport().into_iter();
        let mut jobs = jobs.filter(|pods| pods.maker["kind"] == "Job");
        let migration = jobs.next().expect("there is a Job");
        let folder = tempfile::tempdir().unwrap();
        let container = Container::of_pods(&overlay, &migration);
        let printed = output(&mut container.command(folder.path()));
        assert_eq!(printed.matches("up to date").count(), 3, "{printed}");
    }
}

#[test]
fn the_services_listen_where_the_others_look_for_them() {
    for overlay in overlays() {
        for deployment in deployments(&overlay) {
            let container = deployment.containers()[0];
            let ports = json!([
                {"name": "grpc", "containerPort": GRPC_PORT},
                {"name": "metrics", "containerPort": METRICS_PORT},
            ]);
            assert_eq!(container["ports"], ports);
            for (name, source) in overlay.environment(container) {
                if name == "RAPPORT_METRICS_ADDR" {
                    assert_eq!(source, Source::Text(format!("0.0.0.0:{METRICS_PORT}")));
                    continue;
                }
                let Some(service) = name.strip_suffix("_ADDR") else {
                    continue;
                };
                let service = service.trim_start_matches("RAPPORT_").to_lowercase();
                let peer = Source::Text(format!("rapport-{service}:{GRPC_PORT}"));
                let own = Source::Text(format!("0.0.0.0:{GRPC_PORT}"));
                let is_own = service == deployment.component();
                assert!(
                    source == peer || is_own && source == own,
                    "{name}: {source:?}"
                );
            }
        }
        for addresses in overlay.of_kind("Service") {
            let is_ours = addresses["spec"]["selector"]["app.kubernetes.io/name"] == "rapport";
            assert!(!is_ours || addresses["spec"]["ports"][0]["port"] == GRPC_PORT);
        }
    }
}
