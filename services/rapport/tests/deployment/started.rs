//! The program, started as the manifests start it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use kit::{
    server::{channel, channel_by},
    testing::{TestNats, TestS3},
    tls::{Tls, TlsFiles},
};
use serde_json::json;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    kubernetes::{GRPC_PORT, HEALTH_PORT, METRICS_PORT, deployments},
    manifests::{Overlay, Pods, Source, list, overlays, text},
    nats, output, repository, setting,
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
        for (name, _) in std::env::vars() {
            if name.starts_with("RAPPORT_") || name.starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).current_dir(folder);
        let own = format!("RAPPORT_{}_ADDR", self.name.to_uppercase());
        for (name, value) in &self.environment {
            let value = if *name == own {
                // Everywhere, as it says, and on a port that is free.
                let (host, _) = value.rsplit_once(':').unwrap();
                format!("{host}:0")
            } else if matches!(
                name.as_str(),
                "RAPPORT_METRICS_ADDR" | "RAPPORT_HEALTH_ADDR"
            ) {
                "127.0.0.1:0".to_owned()
            } else if let Some(file) = value.strip_prefix("/etc/rapport/tls/") {
                certificates(folder).join(file).display().to_string()
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

/// Returns where `deploy/prepare` puts certificates.
fn certificates(folder: &Path) -> PathBuf {
    folder.join("tls/services")
}

/// A service with the environment of its container, and certificates of `deploy/prepare`.
pub(crate) struct Started {
    child: Child,
    /// Where it tells health without TLS, if anywhere.
    health: Option<String>,
    /// Where it serves.
    uri: String,
    /// Trusts its certificate.
    tls: Tls,
    /// Carries its events.
    _nats: TestNats,
    /// Keeps its images, if the manifest says so.
    _s3: TestS3,
}

impl Started {
    pub(crate) async fn new(container: &Container, folder: &Path) -> Self {
        output(Command::new(repository("deploy/prepare")).arg(folder));
        let nats = nats::start(folder).await;
        let mut command = container.command(folder);
        nats::show(&mut command, &nats);
        let s3 = TestS3::start().await;
        let said = |name: &str| container.environment.iter().any(|(own, _)| own == name);
        command.envs(s3.variables().into_iter().filter(|(name, _)| !said(name)));
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
        let mut variables = container.environment.iter();
        let is_probed = variables.any(|(name, _)| name == "RAPPORT_HEALTH_ADDR");
        let health = is_probed.then(|| addr("health"));
        let addr = addr(&container.name);
        let (host, port) = addr.rsplit_once(':').unwrap();
        assert_eq!(host, "0.0.0.0");
        let files = TlsFiles {
            authority: certificates(folder).join("ca.crt"),
            certificate: None,
        };
        Self {
            child,
            health,
            uri: format!("https://127.0.0.1:{port}"),
            tls: Tls::open(files).await.unwrap(),
            _nats: nats,
            _s3: s3,
        }
    }

    /// Returns what it says to a probe, which does not speak TLS, under the name of a service.
    async fn probed(&self, service: &str) -> ServingStatus {
        let addr = self.health.as_ref().expect("health is told to probes");
        health(channel(&format!("http://{addr}")).unwrap(), service).await
    }

    /// Returns what it says to callers under the name of a service.
    pub(crate) async fn health(&self, service: &str) -> ServingStatus {
        health(channel_by(Some(&self.tls), &self.uri).unwrap(), service).await
    }

    pub(crate) fn terminate(mut self) {
        let pid = self.child.id().to_string();
        output(Command::new("kill").args(["-TERM", &pid]));
        assert!(self.child.wait().unwrap().success());
    }
}

async fn health(channel: Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.unwrap_or_else(|error| panic!("{service:?}: {error}"));
    answer.into_inner().status()
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
        "url" => TestS3::IMAGES_URL.to_owned(),
        "access-key-id" => TestS3::ACCESS_KEY_ID.to_owned(),
        "secret-access-key" => TestS3::SECRET_ACCESS_KEY.to_owned(),
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
            let started = Started::new(&container, folder.path()).await;
            for probe in PROBES {
                let grpc = &deployment.containers()[0][probe]["grpc"];
                assert_eq!(grpc["port"], HEALTH_PORT, "{probe}");
                let service = grpc["service"].as_str().unwrap_or_default();
                let own = format!("rapport.{}.v1.", container.name);
                let is_named = service == "liveness" && probe != "readinessProbe"
                    || service.starts_with(&own) && probe == "readinessProbe";
                assert!(is_named, "{probe}: {service:?}");
                for status in [started.probed(service).await, started.health(service).await] {
                    assert_eq!(status, ServingStatus::Serving, "{service:?}");
                }
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
                {"name": "health", "containerPort": HEALTH_PORT},
                {"name": "metrics", "containerPort": METRICS_PORT},
            ]);
            assert_eq!(container["ports"], ports);
            for (name, source) in overlay.environment(container) {
                let own_ports = [
                    ("RAPPORT_METRICS_ADDR", METRICS_PORT),
                    ("RAPPORT_HEALTH_ADDR", HEALTH_PORT),
                ];
                if let Some((_, port)) = own_ports.iter().find(|(own, _)| *own == name) {
                    assert_eq!(source, Source::Text(format!("0.0.0.0:{port}")));
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
