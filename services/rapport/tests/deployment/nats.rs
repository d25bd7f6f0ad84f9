//! NATS, as it is deployed: its configuration, its certificates, and where the services look for it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use kit::{
    broker::{Broker, BrokerError},
    config::BrokerConfig,
    testing::{TestAuthority, TestNats},
    tls::{CertificateFiles, TlsFiles},
};
use serde_json::Value;

use crate::{
    kubernetes::deployments,
    manifests::{Overlay, Source, list, overlays, text},
    output, repository, setting,
};

const CONFIG: &str = "k8s/components/nats/nats.conf";
const FOLDER: &str = "/etc/nats/tls";

/// Starts a server with the configuration of `k8s/` and the certificates that `deploy/prepare` has put into
/// `folder`, alone, and on ports that are free.
pub(crate) async fn start(folder: &Path) -> TestNats {
    let config = fs::read_to_string(repository(CONFIG)).unwrap();
    let of_place = ["server_name:", "port:", "http:", "include "];
    let config: Vec<&str> = config
        .lines()
        .filter(|line| !of_place.iter().any(|setting| line.starts_with(setting)))
        .collect();
    TestNats::start_as(&at(folder, &config.join("\n"))).await
}

fn at(folder: &Path, config: &str) -> String {
    let certificates = folder.join("tls/nats").display().to_string();
    config.replace(FOLDER, &certificates)
}

/// Tells a service where `nats` is, which has no other servers beside it.
pub(crate) fn show(command: &mut Command, nats: &TestNats) {
    let config = config(nats, None);
    command
        .env("RAPPORT_EVENTS_URL", url(nats))
        .env("RAPPORT_EVENTS_MONITORS", config.monitors.join(","))
        .env("RAPPORT_EVENTS_REPLICAS", "1");
}

fn url(nats: &TestNats) -> String {
    nats.url().replace("nats://", "tls://")
}

fn config(nats: &TestNats, tls: Option<TlsFiles>) -> BrokerConfig {
    BrokerConfig {
        url: url(nats).parse().unwrap(),
        tls,
        ..nats.config()
    }
}

#[tokio::test]
async fn nats_lets_in_whoever_has_the_suites_certificate_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    output(Command::new(repository("deploy/prepare")).arg(folder.path()));
    let nats = start(folder.path()).await;
    let authority = folder.path().join("tls/services/ca.crt");
    let in_folder = |name: &str| CertificateFiles {
        chain: folder.path().join("tls").join(name).join("tls.crt"),
        key: folder.path().join("tls").join(name).join("tls.key"),
    };
    let open = async |certificate| {
        let authority = authority.clone();
        let files = TlsFiles {
            authority,
            certificate,
        };
        Broker::open(Some(&config(&nats, Some(files))), "chat").await
    };
    assert!(open(Some(in_folder("services"))).await.unwrap().is_some());
    let strangers = TestAuthority::new();
    let stranger = strangers.issue(&["URI:rapport:suite"]);
    for refused in [None, Some(in_folder("nats")), Some(stranger)] {
        let refusal = open(refused).await.err();
        assert!(
            matches!(refusal, Some(BrokerError::Unreachable(_))),
            "{refusal:?}"
        );
    }
}

#[test]
fn nats_takes_its_configuration_alone_and_with_others() {
    let folder = tempfile::tempdir().unwrap();
    output(Command::new(repository("deploy/prepare")).arg(folder.path()));
    for overlay in overlays() {
        let maps = overlay.of_kind("ConfigMap");
        let config = maps.iter().find(|map| !map["data"]["nats.conf"].is_null());
        for (name, content) in config.unwrap()["data"].as_object().unwrap() {
            let content = at(folder.path(), &text(content));
            fs::write(folder.path().join(name), content).unwrap();
        }
        let mut nats = Command::new(setting("RAPPORT_TEST_NATS_SERVER"));
        nats.arg("-t").arg("--config").env("HOSTNAME", "nats-0");
        output(
            nats.arg(folder.path().join("nats.conf"))
                .stdin(Stdio::null()),
        );
    }
}

/// The names of the servers are those of their pods, and of their certificate.
#[test]
fn nats_is_where_the_services_look_for_it() {
    let folder = tempfile::tempdir().unwrap();
    output(Command::new(repository("deploy/prepare")).arg(folder.path()));
    let certificate = folder.path().join("tls/nats/tls.crt");
    for overlay in overlays() {
        let servers = servers(&overlay);
        for host in &servers {
            let mut openssl = Command::new("openssl");
            openssl.args(["x509", "-noout", "-checkhost", host]);
            let said = output(openssl.arg("-in").arg(&certificate));
            assert!(said.contains("does match"), "{said}");
        }
        let told = |prefix: &str, port: u64| -> String {
            let servers = servers.iter();
            let told: Vec<String> = servers
                .map(|host| format!("{prefix}{host}:{port}"))
                .collect();
            told.join(",")
        };
        for deployment in deployments(&overlay) {
            let environment = overlay.environment(deployment.containers()[0]);
            let read = |name: &str| {
                let variable = environment.iter().find(|(key, _)| key == name);
                match variable {
                    Some((_, Source::Text(text))) => text.clone(),
                    _ => String::new(),
                }
            };
            assert_eq!(read("RAPPORT_EVENTS_URL"), told("tls://", 4222));
            assert_eq!(read("RAPPORT_EVENTS_MONITORS"), told("", 8222));
            let replicas = read("RAPPORT_EVENTS_REPLICAS").parse().unwrap_or(1);
            assert_eq!(replicas, servers.len());
        }
    }
}

/// Returns the names of the pods of NATS, as others of their namespace resolve them.
fn servers(overlay: &Overlay) -> Vec<String> {
    let sets = overlay.of_kind("StatefulSet").into_iter();
    let mut nats = sets.filter(|set| set["metadata"]["name"] == "nats");
    let nats = nats.next().expect("there is NATS");
    let service = text(&nats["spec"]["serviceName"]);
    let ports = &nats["spec"]["template"]["spec"]["containers"][0]["ports"];
    let ports: Vec<&Value> = list(ports)
        .iter()
        .map(|one| &one["containerPort"])
        .collect();
    assert!(ports.contains(&&Value::from(4222)) && ports.contains(&&Value::from(8222)));
    let count = nats["spec"]["replicas"].as_u64().unwrap_or(1);
    (0..count)
        .map(|number| format!("nats-{number}.{service}"))
        .collect()
}
