//! The manifests keep what they promise: pods that can do little, and no edge but those that there are.

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

use crate::{
    Flag, flags,
    manifests::{Overlay, Pods, Source, list, overlays, render, text},
    output, repository, setting,
};

pub(crate) const SERVICES: [&str; 3] = ["identity", "chat", "attribution"];
pub(crate) const GRPC_PORT: u64 = 50051;
pub(crate) const HEALTH_PORT: u64 = 50050;
pub(crate) const METRICS_PORT: u64 = 9464;

#[test]
fn every_overlay_is_what_the_api_of_kubernetes_takes() {
    for overlay in overlays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rendered.yaml");
        std::fs::write(&file, &overlay.text).unwrap();
        let validated = output(
            Command::new(setting("RAPPORT_TEST_KUBERNETES_VALIDATE"))
                .arg("--strict")
                .arg(file),
        );
        let passed = validated.matches(" passed for resource ").count();
        assert_eq!(passed, overlay.all().len(), "{validated}");
    }
}

#[test]
fn everything_is_in_one_namespace_that_takes_restricted_pods_alone() {
    for overlay in overlays() {
        let namespaces = overlay.of_kind("Namespace");
        let [namespace] = namespaces[..] else {
            panic!("{} has one Namespace", overlay.name);
        };
        let enforced = "pod-security.kubernetes.io/enforce";
        assert_eq!(namespace["metadata"]["labels"][enforced], "restricted");
        let name = &namespace["metadata"]["name"];
        let others = overlay
            .all()
            .iter()
            .filter(|one| one["kind"] != "Namespace");
        for other in others {
            assert_eq!(other["metadata"]["namespace"], *name, "{other}");
        }
    }
}

/// The standard "restricted" of Kubernetes, and beyond it: nothing to write to, no account of the
/// API, bounds of memory, an image that stays what it is.
#[test]
fn every_pod_is_restricted() {
    for overlay in overlays() {
        let all = overlay.pods();
        assert!(all.len() >= 4, "{}", overlay.name);
        for pods in all {
            let name = pods.name();
            let spec = pods.spec;
            let security = &spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{name}");
            assert!(security["runAsUser"].as_u64().unwrap() > 0, "{name}");
            assert_eq!(
                security["seccompProfile"],
                json!({"type": "RuntimeDefault"}),
                "{name}"
            );
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            for shared in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[shared].is_null(), "{name}");
            }
            for volume in list(&spec["volumes"]) {
                let kinds: Vec<&String> = volume.as_object().unwrap().keys().collect();
                let is_own = |kind: &&String| {
                    ["name", "configMap", "emptyDir", "projected", "secret"]
                        .contains(&kind.as_str())
                };
                assert!(kinds.iter().all(is_own), "{name}: {volume}");
            }
            for container in pods.containers() {
                check_container(&name, container);
            }
        }
    }
}

fn check_container(name: &str, container: &Value) {
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
    assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{name}");
    assert!(security["privileged"].is_null(), "{name}");
    for resource in ["cpu", "memory"] {
        assert!(
            container["resources"]["requests"][resource].is_string(),
            "{name}"
        );
    }
    assert!(
        container["resources"]["limits"]["memory"].is_string(),
        "{name}"
    );
    let image = text(&container["image"]);
    let (_, tag) = image.rsplit_once(':').expect("the image has a tag");
    assert!(tag.starts_with(|c: char| c.is_ascii_digit()), "{image}");
}

#[test]
fn every_variable_is_one_that_the_program_reads_and_no_secret_stands_in_a_manifest() {
    let flags = flags();
    // What the client of S3 reads.
    let of_storage = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    for overlay in overlays() {
        for pods in overlay.pods_of_rapport() {
            for container in pods.containers() {
                for (name, source) in overlay.environment(container) {
                    if of_storage.contains(&name.as_str()) {
                        assert!(matches!(source, Source::Secret { .. }), "{name}");
                        continue;
                    }
                    let flag = flags.get(&name);
                    let flag = flag.unwrap_or_else(|| panic!("the program does not read {name}"));
                    // With a password it would be one; here a certificate opens.
                    let is_open = name == "RAPPORT_EVENTS_URL"
                        && matches!(&source, Source::Text(url) if !url.contains('@'));
                    if *flag == Flag::Secret && !is_open {
                        assert!(matches!(source, Source::Secret { .. }), "{name}");
                    }
                }
            }
        }
        assert_eq!(overlay.of_kind("Secret"), Vec::<&Value>::new());
    }
}

/// A pod that is told to stop still gets calls for a moment, then drains, and must not be killed.
#[test]
fn a_pod_has_the_time_that_its_end_takes() {
    for overlay in overlays() {
        for deployment in deployments(&overlay) {
            let [container] = deployment.containers()[..] else {
                panic!("a service is one container");
            };
            let pause = &container["lifecycle"]["preStop"]["sleep"]["seconds"];
            let needed = pause.as_u64().unwrap() + kit::server::DRAIN_LIMIT.as_secs();
            let granted = deployment.spec["terminationGracePeriodSeconds"].as_u64();
            assert!(granted.unwrap() >= needed + 5, "{}", deployment.name());
        }
    }
}

#[test]
fn every_service_is_a_deployment_with_an_address_for_each_replica_and_a_disruption_budget() {
    for overlay in overlays() {
        let deployments = deployments(&overlay);
        let components: Vec<String> = deployments.iter().map(Pods::component).collect();
        assert_eq!(components.len(), SERVICES.len());
        for service in SERVICES {
            let labels = json!({
                "app.kubernetes.io/name": "rapport",
                "app.kubernetes.io/component": service,
            });
            let name = json!(format!("rapport-{service}"));
            let find = |kind: &str| {
                let found = overlay.of_kind(kind).into_iter();
                let mut found = found.filter(|one| one["metadata"]["name"] == name);
                found
                    .next()
                    .unwrap_or_else(|| panic!("there is no {kind} {name}"))
            };
            let deployment = find("Deployment");
            assert_eq!(deployment["spec"]["selector"]["matchLabels"], labels);
            assert_eq!(
                deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"],
                0
            );
            let spread = list(&deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]);
            assert_eq!(spread.len(), 2, "over zones and over nodes");
            for constraint in spread {
                assert_eq!(constraint["labelSelector"]["matchLabels"], labels);
            }
            let addresses = find("Service");
            assert_eq!(addresses["spec"]["clusterIP"], "None");
            assert_eq!(addresses["spec"]["selector"], labels);
            let budget = find("PodDisruptionBudget");
            assert_eq!(budget["spec"]["selector"]["matchLabels"], labels);
            assert_eq!(budget["spec"]["maxUnavailable"], 1);
        }
    }
}

#[test]
fn every_service_scales_in_production() {
    let overlay = render("prod");
    let autoscalers = overlay.of_kind("HorizontalPodAutoscaler");
    let targets: BTreeSet<String> = autoscalers
        .iter()
        .map(|autoscaler| {
            assert!(autoscaler["spec"]["minReplicas"].as_u64().unwrap() >= 2);
            text(&autoscaler["spec"]["scaleTargetRef"]["name"])
        })
        .collect();
    let names = SERVICES.map(|service| format!("rapport-{service}"));
    assert_eq!(targets, BTreeSet::from(names));
    for deployment in deployments(&overlay) {
        // Else each `kubectl apply` would undo what the autoscaler did.
        assert!(deployment.maker["spec"]["replicas"].is_null());
    }
}

pub(crate) fn deployments(overlay: &Overlay) -> Vec<Pods<'_>> {
    let pods = overlay.pods_of_rapport().into_iter();
    pods.filter(|pods| pods.maker["kind"] == "Deployment")
        .collect()
}

#[test]
fn nothing_may_talk_that_no_policy_lets() {
    for overlay in overlays() {
        let policies = overlay.of_kind("NetworkPolicy");
        let denies_all = policies.iter().any(|policy| {
            policy["spec"] == json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        });
        assert!(denies_all, "{}", overlay.name);
    }
}

/// The edges are those of the code: which service opens a channel to which.
#[test]
fn the_edges_between_services_are_those_that_there_are() {
    let mut there = BTreeSet::new();
    for from in SERVICES {
        for to in SERVICES {
            if sources(&format!("services/{from}/src")).contains(&format!("peers.{to}")) {
                there.insert((from.to_owned(), to.to_owned()));
            }
        }
    }
    assert!(there.len() >= 3, "{there:?}");
    for overlay in overlays() {
        assert_eq!(edges(&overlay, "egress", "to"), there, "{}", overlay.name);
        let back = edges(&overlay, "ingress", "from").into_iter();
        let ingress: BTreeSet<_> = back.map(|(to, from)| (from, to)).collect();
        assert_eq!(ingress, there, "{}", overlay.name);
    }
}

/// Returns the pairs of a policy's service and one that it lets in or out on the port of gRPC.
fn edges(overlay: &Overlay, direction: &str, peers: &str) -> BTreeSet<(String, String)> {
    let label = "/podSelector/matchLabels/app.kubernetes.io~1component";
    let mut edges = BTreeSet::new();
    for policy in overlay.of_kind("NetworkPolicy") {
        let Some(own) = policy["spec"].pointer(label) else {
            continue;
        };
        for rule in list(&policy["spec"][direction]) {
            for other in list(&rule[peers])
                .iter()
                .filter_map(|peer| peer.pointer(label))
            {
                assert_eq!(
                    rule["ports"],
                    json!([{"protocol": "TCP", "port": GRPC_PORT}])
                );
                edges.insert((text(own), text(other)));
            }
        }
    }
    edges
}

/// Returns the text of all Rust files of a folder.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![repository(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

/// A policy that is about no pod lets through what it should not, or nothing.
#[test]
fn every_policy_is_about_pods_and_ports_that_there_are() {
    for overlay in overlays() {
        let pods = overlay.pods();
        for policy in overlay.of_kind("NetworkPolicy") {
            let spec = &policy["spec"];
            let selected: Vec<&Pods<'_>> = pods
                .iter()
                .filter(|pods| selects(&spec["podSelector"], pods.labels))
                .collect();
            assert!(!selected.is_empty(), "{policy}");
            let ports: BTreeSet<u64> = selected
                .iter()
                .flat_map(|pods| pods.containers())
                .flat_map(|container| list(&container["ports"]))
                .filter_map(|port| port["containerPort"].as_u64())
                .collect();
            for rule in list(&spec["ingress"]) {
                for port in list(&rule["ports"]) {
                    assert!(ports.contains(&port["port"].as_u64().unwrap()), "{policy}");
                }
            }
        }
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |(name, value): (&String, &Value)| labels[name] == *value;
    let is_in = |expression: &Value| {
        assert_eq!(expression["operator"], "In");
        list(&expression["values"]).contains(&labels[text(&expression["key"])])
    };
    let equal = selector["matchLabels"].as_object();
    equal.is_none_or(|equal| equal.iter().all(has))
        && list(&selector["matchExpressions"]).iter().all(is_in)
}

#[test]
fn every_secret_that_is_read_is_one_that_an_operator_is_told_to_make() {
    let told = std::fs::read_to_string(repository("k8s/README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    output(Command::new(repository("deploy/prepare")).arg(folder.path()));
    let made = std::fs::read_to_string(folder.path().join(".env")).unwrap();
    for overlay in overlays() {
        for deployment in deployments(&overlay) {
            let volumes = list(&deployment.spec["volumes"]).iter();
            let secrets: Vec<String> = volumes
                .filter_map(|volume| volume["secret"]["secretName"].as_str())
                .map(|name| format!("create secret generic {name} --from-file deploy/tls/services"))
                .collect();
            assert_eq!(secrets.len(), 1, "{}", deployment.name());
            assert!(told.contains(&secrets[0]), "{secrets:?}");
        }
        for container in overlay.pods().iter().flat_map(Pods::containers) {
            for (_, source) in overlay.environment(container) {
                let Source::Secret { name, key } = source else {
                    continue;
                };
                let is_made = made
                    .lines()
                    .any(|line| line.starts_with(&format!("{key}=")));
                let row = told
                    .lines()
                    .find(|line| line.starts_with(&format!("| `{name}`")));
                let row = row.unwrap_or_else(|| panic!("nobody is told of {name}"));
                let is_told = row.contains(&format!("`{key}`"));
                assert!(
                    if name == "rapport-keys" {
                        is_made
                    } else {
                        is_told
                    },
                    "{name} {key}"
                );
            }
        }
    }
}
