//! The image and the set-up of Docker Compose.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    flags,
    kubernetes::SERVICES,
    manifests::{list, text},
    output, repository, setting,
    started::{Container, Started, database},
    yaml,
};

/// `deploy/compose.yaml` as Compose reads it, with secrets that `deploy/prepare` has made.
struct Project {
    content: Value,
    secrets: TempDir,
}

impl Project {
    fn read() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        output(Command::new(repository("deploy/prepare")).arg(secrets.path()));
        let content = output(
            Command::new(setting("RAPPORT_TEST_COMPOSE"))
                .arg("--env-file")
                .arg(secrets.path().join(".env"))
                .arg("--file")
                .arg(repository("deploy/compose.yaml"))
                .args(["config", "--format", "json"]),
        );
        Self {
            content: serde_json::from_str(&content).unwrap(),
            secrets,
        }
    }

    fn services(&self) -> Vec<(&str, &Value)> {
        let services = self.content["services"].as_object().unwrap();
        services
            .iter()
            .map(|(name, service)| (name.as_str(), service))
            .collect()
    }

    /// Tells whether a file or folder is in the repository, or is made by `deploy/prepare`.
    fn exists(&self, path: &Value) -> bool {
        let path = PathBuf::from(text(path));
        let made = path.strip_prefix(repository("deploy"));
        path.exists() || made.is_ok_and(|made| self.secrets.path().join(made).exists())
    }

    /// Returns the services that run the program.
    fn of_rapport(&self) -> Vec<(&str, &Value)> {
        let services = self.services().into_iter();
        services
            .filter(|(_, service)| text(&service["image"]).starts_with("rapport:"))
            .collect()
    }
}

#[test]
fn the_dockerfile_is_linted() {
    let file = repository("deploy/Dockerfile");
    output(Command::new(setting("RAPPORT_TEST_HADOLINT")).arg(&file));
    let content = fs::read_to_string(file).unwrap();
    let bases: Vec<&str> = content
        .lines()
        .filter(|line| line.starts_with("FROM "))
        .collect();
    assert_eq!(bases.len(), 2);
    assert!(
        bases.iter().all(|base| base.contains("@sha256:")),
        "{bases:?}"
    );
    let toolchain = fs::read_to_string(repository("rust-toolchain.toml")).unwrap();
    let (_, version) = toolchain.split_once("channel = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    assert!(
        bases[0].starts_with(&format!("FROM rust:{version}-")),
        "{}",
        bases[0]
    );
    assert!(content.contains("\nUSER 65532:65532\n"));
}

/// What the Dockerfile copies is a whole workspace, as cargo sees it.
#[test]
fn the_context_of_the_image_is_all_that_a_build_needs() {
    let folder = tempfile::tempdir().unwrap();
    let ignored = fs::read_to_string(repository("deploy/Dockerfile.dockerignore")).unwrap();
    assert!(ignored.contains("\n*\n"), "only what is named is copied");
    for path in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        let target = folder.path().join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        output(
            Command::new("cp")
                .arg("--recursive")
                .arg(repository(path))
                .arg(target),
        );
    }
    let metadata = ["metadata", "--locked", "--offline", "--format-version", "1"];
    output(
        Command::new(env!("CARGO"))
            .args(metadata)
            .current_dir(folder.path()),
    );
}

#[test]
fn every_image_is_pinned_and_every_port_is_on_loopback() {
    let project = Project::read();
    for (name, service) in project.services() {
        let image = text(&service["image"]);
        let (_, tag) = image.rsplit_once(':').expect("the image has a tag");
        let version = tag.trim_start_matches('v');
        assert!(
            version.starts_with(|c: char| c.is_ascii_digit()),
            "{name}: {image}"
        );
        for port in list(&service["ports"]) {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
        for volume in list(&service["volumes"]) {
            let is_there = volume["type"] == "volume" || project.exists(&volume["source"]);
            assert!(is_there, "{name}: {volume}");
            let is_written = volume["type"] == "volume" || volume["read_only"] == true;
            assert!(is_written, "{name}: {volume}");
        }
    }
}

#[test]
fn a_container_of_the_suite_can_do_little() {
    let flags = flags();
    let project = Project::read();
    assert_eq!(project.of_rapport().len(), SERVICES.len() + 1);
    for (name, service) in project.of_rapport() {
        assert_eq!(service["user"], "65532:65532", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(
            service["security_opt"],
            json!(["no-new-privileges:true"]),
            "{name}"
        );
        assert_eq!(service["stop_grace_period"], "30s", "{name}");
        for variable in service["environment"].as_object().unwrap().keys() {
            assert!(
                flags.contains_key(variable),
                "the program does not read {variable}"
            );
        }
    }
    // More than a drain.
    assert!(kit::server::DRAIN_LIMIT.as_secs() + 5 <= 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_starts_as_compose_says() {
    let project = Project::read();
    for (name, service) in project.of_rapport() {
        let folder = tempfile::tempdir().unwrap();
        let container = container(name, service);
        if name == "migrate" {
            let printed = output(&mut container.command(folder.path()));
            assert_eq!(
                printed.matches("up to date").count(),
                SERVICES.len(),
                "{printed}"
            );
            continue;
        }
        check_addresses(&project, name, service);
        let started = Started::new(&container, folder.path()).await;
        assert_eq!(started.health("").await, ServingStatus::Serving, "{name}");
        started.terminate();
    }
}

/// Returns a container with databases that there are.
fn container(name: &str, service: &Value) -> Container {
    let environment = service["environment"].as_object().unwrap().iter();
    let environment = environment.map(|(name, value)| {
        let value = if name.ends_with("_DATABASE_URL") {
            check_database(&text(value));
            database()
        } else {
            text(value)
        };
        (name.clone(), value)
    });
    Container {
        name: name.to_owned(),
        arguments: list(&service["command"]).iter().map(text).collect(),
        environment: environment.collect(),
    }
}

/// The first start of PostgreSQL makes the database that a service looks for.
fn check_database(url: &str) {
    let (_, database) = url.rsplit_once('/').unwrap();
    let content = fs::read_to_string(repository("deploy/compose.yaml")).unwrap();
    assert!(
        content.contains(&format!("CREATE DATABASE {database};")),
        "{database}"
    );
}

/// A service listens where the others look for it, and where the port is published.
fn check_addresses(project: &Project, name: &str, service: &Value) {
    let setting = format!("RAPPORT_{}_ADDR", name.to_uppercase());
    let own = text(&service["environment"][&setting]);
    let port = own.strip_prefix("0.0.0.0:").unwrap();
    assert_eq!(service["ports"][0]["target"].to_string(), port, "{name}");
    for other in SERVICES.iter().filter(|other| **other != name) {
        let other = &project.content["services"][other]["environment"];
        assert_eq!(other[&setting], format!("{name}:{port}"), "{name}");
    }
}

/// Prometheus asks each service where it serves metrics, under the name by which the alerts know it.
#[test]
fn every_service_is_scraped() {
    let project = Project::read();
    let file = repository("deploy/prometheus/prometheus.yaml");
    let content = yaml(&fs::read_to_string(file).unwrap());
    let jobs = list(&content[0]["scrape_configs"]);
    for service in SERVICES {
        let job = format!("rapport-{service}");
        let job = jobs.iter().find(|one| one["job_name"] == job).unwrap();
        let addr = &project.content["services"][service]["environment"]["RAPPORT_METRICS_ADDR"];
        let port = text(addr).replace("0.0.0.0", service);
        assert_eq!(job["static_configs"], json!([{"targets": [port]}]));
    }
}

#[test]
fn prepared_secrets_are_the_owners_alone_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let prepare = || output(Command::new(repository("deploy/prepare")).arg(folder.path()));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    prepare();
    let file = folder.path().join(".env");
    let made = read(&file);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    prepare();
    assert_eq!(read(&file), made);
    // One line for each, as in the table of k8s/README.md.
    assert!(
        made.lines()
            .all(|line| line.split_once('=').unwrap().1.len() == 43),
        "{made}"
    );
}

/// Traces go to the collector, which knows all that its pipelines name.
#[test]
fn the_collector_takes_what_the_services_send() {
    let project = Project::read();
    let file = repository("deploy/collector/collector.yaml");
    let documents = yaml(&fs::read_to_string(file).unwrap());
    let collector = &documents[0];
    for service in SERVICES {
        let endpoint =
            &project.content["services"][service]["environment"]["RAPPORT_OTLP_ENDPOINT"];
        let endpoint = text(endpoint);
        let port = endpoint.strip_prefix("http://collector:").unwrap();
        let taken = &collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"];
        assert_eq!(*taken, format!("0.0.0.0:{port}"));
    }
    for pipeline in ["traces", "metrics"] {
        let pipeline = &collector["service"]["pipelines"][pipeline];
        for (kind, names) in pipeline.as_object().unwrap() {
            for name in list(names) {
                assert!(!collector[kind][text(name)].is_null(), "{kind}: {name}");
            }
        }
    }
}
