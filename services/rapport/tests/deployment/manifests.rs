//! The manifests as `kubectl kustomize` renders them.

use std::process::Command;

use serde_json::Value;

use crate::{output, repository, setting, yaml};

/// The folders of `k8s/overlays`.
pub(crate) const OVERLAYS: [&str; 2] = ["dev", "prod"];

/// Everything that an overlay makes.
pub(crate) struct Overlay {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    documents: Vec<Value>,
}

/// Pods that something makes.
#[derive(Clone, Copy)]
pub(crate) struct Pods<'a> {
    /// What makes them, as `Deployment/NAME`.
    pub(crate) maker: &'a Value,
    pub(crate) labels: &'a Value,
    pub(crate) spec: &'a Value,
}

/// Where a variable's value comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It stands in the manifest.
    Text(String),
    /// It stands in a Secret, which no manifest makes.
    Secret { name: String, key: String },
}

pub(crate) fn overlays() -> Vec<Overlay> {
    OVERLAYS.into_iter().map(render).collect()
}

pub(crate) fn render(name: &'static str) -> Overlay {
    let folder = repository("k8s/overlays").join(name);
    let text = output(
        Command::new(setting("RAPPORT_TEST_KUBECTL"))
            .arg("kustomize")
            .arg(folder),
    );
    let documents = yaml(&text);
    Overlay {
        name,
        text,
        documents,
    }
}

impl Overlay {
    pub(crate) fn all(&self) -> &[Value] {
        &self.documents
    }

    pub(crate) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        let documents = self.documents.iter();
        documents
            .filter(|document| document["kind"] == kind)
            .collect()
    }

    /// Returns all pods.
    pub(crate) fn pods(&self) -> Vec<Pods<'_>> {
        let makers = self.documents.iter();
        let pods = makers.filter_map(|maker| {
            let template = maker.pointer("/spec/template")?;
            Some(Pods {
                maker,
                labels: &template["metadata"]["labels"],
                spec: &template["spec"],
            })
        });
        pods.collect()
    }

    /// Returns the pods that run the program.
    pub(crate) fn pods_of_rapport(&self) -> Vec<Pods<'_>> {
        let pods = self.pods().into_iter();
        pods.filter(|pods| pods.labels["app.kubernetes.io/name"] == "rapport")
            .collect()
    }

    /// Returns the variables of a container; what it says itself comes after what it takes from a
    /// ConfigMap, and counts more.
    pub(crate) fn environment(&self, container: &Value) -> Vec<(String, Source)> {
        let mut environment = Vec::new();
        for from in list(&container["envFrom"]) {
            let name = &from["configMapRef"]["name"];
            let config_map = self
                .of_kind("ConfigMap")
                .into_iter()
                .find(|map| map["metadata"]["name"] == *name)
                .unwrap_or_else(|| panic!("there is no ConfigMap {name}"));
            for (key, value) in config_map["data"].as_object().unwrap() {
                environment.push((key.clone(), Source::Text(text(value))));
            }
        }
        for variable in list(&container["env"]) {
            let secret = &variable["valueFrom"]["secretKeyRef"];
            let source = if secret.is_null() {
                Source::Text(text(&variable["value"]))
            } else {
                Source::Secret {
                    name: text(&secret["name"]),
                    key: text(&secret["key"]),
                }
            };
            environment.push((text(&variable["name"]), source));
        }
        environment
    }
}

impl Pods<'_> {
    pub(crate) fn name(&self) -> String {
        let name = &self.maker["metadata"]["name"];
        format!("{}/{}", text(&self.maker["kind"]), text(name))
    }

    pub(crate) fn containers(&self) -> Vec<&Value> {
        let init = list(&self.spec["initContainers"]);
        init.iter().chain(list(&self.spec["containers"])).collect()
    }

    /// Returns the value of the label that says which part of the suite it is.
    pub(crate) fn component(&self) -> String {
        text(&self.labels["app.kubernetes.io/component"])
    }
}

/// Returns the elements of a list; none where there is none.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
