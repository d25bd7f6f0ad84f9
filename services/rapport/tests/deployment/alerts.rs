//! What Prometheus is told, and what Grafana shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    manifests::{list, text},
    output, repository, setting, yaml,
};

const RULES: &str = "deploy/prometheus/alerts.yaml";
const TESTS: &str = "deploy/prometheus/alerts.test.yaml";

fn promtool(arguments: &[&str], file: &str) -> String {
    let mut promtool = Command::new(setting("RAPPORT_TEST_PROMTOOL"));
    output(promtool.args(arguments).arg(repository(file)))
}

fn read(file: &str) -> String {
    fs::read_to_string(repository(file)).unwrap()
}

/// Returns the rules that have this field, `alert` or `record`.
fn rules(field: &str) -> Vec<Value> {
    let documents = yaml(&read(RULES));
    let groups = list(&documents[0]["groups"]).iter();
    groups
        .flat_map(|group| list(&group["rules"]).to_vec())
        .filter(|rule| rule[field].is_string())
        .collect()
}

#[test]
fn prometheus_takes_its_configuration_and_its_rules() {
    for file in ["prometheus.yaml", "kubernetes.yaml"] {
        promtool(&["check", "config"], &format!("deploy/prometheus/{file}"));
    }
    promtool(&["test", "rules"], TESTS);
}

#[test]
fn every_alert_is_tested_to_come_and_to_stay_away_and_has_a_page() {
    let documents = yaml(&read(TESTS));
    let cases = list(&documents[0]["tests"]).iter();
    let mut come: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut stay_away = BTreeSet::new();
    for case in cases.flat_map(|test| list(&test["alert_rule_test"])) {
        let name = text(&case["alertname"]);
        for alert in list(&case["exp_alerts"]) {
            let severity = text(&alert["exp_labels"]["severity"]);
            come.entry(name.clone()).or_default().insert(severity);
        }
        if list(&case["exp_alerts"]).is_empty() {
            stay_away.insert(name);
        }
    }
    let mut alerts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in rules("alert") {
        let name = text(&rule["alert"]);
        let page = format!("docs/runbooks/{name}.md");
        assert_eq!(rule["annotations"]["runbook"], page);
        assert!(read(&page).starts_with(&format!("# {name}\n")), "{page}");
        let severity = text(&rule["labels"]["severity"]);
        alerts.entry(name).or_default().insert(severity);
    }
    assert_eq!(come, alerts);
    assert_eq!(stay_away, alerts.keys().cloned().collect());
    let pages = fs::read_dir(repository("docs/runbooks")).unwrap();
    assert_eq!(pages.count(), alerts.len(), "each page is an alert's");
}

fn panels() -> Vec<Value> {
    let dashboard = read("deploy/grafana/dashboards/rapport.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    list(&dashboard["panels"]).to_vec()
}

fn expressions(panel: &Value) -> Vec<String> {
    let targets = list(&panel["targets"]).iter();
    targets.map(|target| text(&target["expr"])).collect()
}

/// Returns what the dashboard and the runbooks ask Prometheus for.
fn shown() -> Vec<String> {
    let mut shown: Vec<String> = panels().iter().flat_map(expressions).collect();
    for page in fs::read_dir(repository("docs/runbooks")).unwrap() {
        let page = fs::read_to_string(page.unwrap().path()).unwrap();
        let blocks = page.split("```promql\n").skip(1);
        let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
        shown.extend(lines.map(str::to_owned));
    }
    shown
}

#[test]
fn prometheus_can_read_what_the_dashboard_and_the_runbooks_ask_for() {
    let shown = shown();
    assert!(shown.len() > 20, "{shown:?}");
    let rules: Vec<Value> = shown
        .iter()
        .map(|expression| expression.replace("$__rate_interval", "5m"))
        .map(|expression| json!({"record": "shown", "expr": expression}))
        .collect();
    let rules = json!({"groups": [{"name": "shown", "rules": rules}]});
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rules.to_string()).unwrap();
    let mut promtool = Command::new(setting("RAPPORT_TEST_PROMTOOL"));
    let arguments = ["check", "rules", "--lint", "none"];
    let said = output(promtool.args(arguments).arg(file.path()));
    assert!(
        said.contains(&format!("{} rules found", shown.len())),
        "{said}"
    );
}

#[test]
fn the_dashboard_shows_calls_errors_latency_merges_lag_and_credits() {
    let panels = panels();
    for (title, metric) in [
        ("Calls", "rpc_server_call_duration_seconds_count"),
        ("Calls that failed by our fault", "error_type!=\"\""),
        ("Latency", "rpc_server_call_duration_seconds_bucket"),
        ("Sign-ins by outcome", "rapport_sign_ins_total"),
        ("Event lag, p99", "rapport_event_lag_seconds_bucket"),
        (
            "Credits and reversals by reason",
            "rapport_ledger_entries_total",
        ),
    ] {
        let panel = panels.iter().find(|panel| panel["title"] == title);
        let panel = panel.unwrap_or_else(|| panic!("there is no panel {title}"));
        let expressions = expressions(panel);
        assert!(
            expressions.iter().all(|one| one.contains(metric)),
            "{title}"
        );
    }
}

/// Grafana is given the dashboard, and finds where its figures come from.
#[test]
fn the_dashboard_is_provisioned() {
    let compose = yaml(&read("deploy/compose.yaml"));
    let services = &compose[0]["services"];
    let folder = "deploy/grafana/provisioning";
    let dashboards = yaml(&read(&format!("{folder}/dashboards/rapport.yaml")));
    let path = text(&dashboards[0]["providers"][0]["options"]["path"]);
    let mounts = list(&services["grafana"]["volumes"]);
    for mount in [
        format!("./grafana/dashboards:{path}:ro"),
        "./grafana/provisioning:/etc/grafana/provisioning:ro".to_owned(),
    ] {
        assert!(mounts.contains(&Value::from(mount.as_str())), "{mount}");
    }
    let sources = yaml(&read(&format!("{folder}/datasources/rapport.yaml")));
    let sources = list(&sources[0]["datasources"]);
    for panel in panels() {
        let uid = &panel["datasource"]["uid"];
        let source = sources.iter().find(|source| source["uid"] == *uid);
        let url = text(&source.unwrap()["url"]);
        let (host, port) = url.trim_start_matches("http://").split_once(':').unwrap();
        let published = text(&services[host]["ports"][0]);
        assert!(published.ends_with(&format!(":{port}")), "{url}");
    }
}

/// `docs/telemetry.md` lists all metrics and labels, which another test holds to the program.
#[test]
fn every_metric_that_is_asked_for_is_one_that_there_is() {
    let documented = read("docs/telemetry.md");
    let is_documented = |word: &str| documented.contains(&format!("`{word}`"));
    let rules = [rules("alert"), rules("record")].concat();
    let mut expressions: Vec<String> = rules.iter().map(|rule| text(&rule["expr"])).collect();
    expressions.extend(shown());
    let mut count = 0;
    for expression in &expressions {
        let is_part = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':';
        for word in expression.split(is_part) {
            let is_ours = ["rpc_", "rapport_", "db_client_"];
            if !is_ours.iter().any(|prefix| word.starts_with(prefix)) {
                continue;
            }
            let histogram = ["_bucket", "_count", "_sum"];
            let name = histogram.iter().find_map(|part| word.strip_suffix(part));
            let is_there = is_documented(word) || name.is_some_and(is_documented);
            assert!(is_there, "{word} in {expression}");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

/// Calls that last as long as somebody listens are left out of what is slow.
#[test]
fn no_stream_counts_as_slow() {
    let left_out = ["Watch", "Import", "Export", "Upload", "Download"];
    let expression = rules("record")
        .iter()
        .map(|rule| text(&rule["expr"]))
        .find(|expression| expression.contains("rpc_method!~"))
        .unwrap();
    assert!(
        left_out.iter().all(|word| expression.contains(word)),
        "{expression}"
    );
    let mut streams = 0;
    for folder in ["identity", "chat", "attribution"] {
        let folder = repository(&format!("proto/rapport/{folder}/v1"));
        for file in fs::read_dir(folder).unwrap() {
            let proto = fs::read_to_string(file.unwrap().path()).unwrap();
            for call in proto.split("\n  rpc ").skip(1) {
                let (name, rest) = call.split_once('(').unwrap();
                let (signature, _) = rest.split_once('{').unwrap();
                if signature.contains("stream ") {
                    let is_left_out = left_out.iter().any(|word| name.starts_with(word));
                    assert!(is_left_out, "{name}");
                    streams += 1;
                }
            }
        }
    }
    assert!(streams >= 6, "{streams}");
}
