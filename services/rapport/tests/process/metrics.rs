//! What the page of metrics says after calls that the test has made itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use rapport::client::{shop::Shop, wait_until};
use rapport_proto::{
    attribution::v1::{AttributionOutcome, Money},
    identity::v1::MergePolicyPreset,
};
use tonic::Code;

use super::{Process, operator_token};

/// The samples of a page, each under its name and labels as they stand there.
pub(crate) struct Page {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Page {
    pub(crate) fn get(addr: SocketAddr) -> Self {
        let response = request(addr, "/metrics");
        let (head, text) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Self {
            samples: samples.collect(),
            text: text.to_owned(),
        }
    }

    /// Returns the sum of the samples of `name` that have all of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    fn matching(
        &self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> impl Iterator<Item = (&String, &f64)> {
        let begin = format!("{name}{{");
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        self.samples.iter().filter(move |(series, _)| {
            series.starts_with(&begin) && labels.iter().all(|label| series.contains(label))
        })
    }

    fn calls(&self, method: &str, code: &str) -> f64 {
        let labels = [
            ("rpc_method", method),
            ("rpc_response_status_code", code),
            ("rpc_system_name", "grpc"),
        ];
        self.sum("rpc_server_call_duration_seconds_count", &labels)
    }

    /// Returns the names of all metrics.
    fn names(&self) -> BTreeSet<&str> {
        let kinds = self.text.lines();
        let kinds = kinds.filter_map(|line| line.strip_prefix("# TYPE "));
        kinds.filter_map(|kind| kind.split(' ').next()).collect()
    }

    /// Returns the values that a label has anywhere.
    fn values(&self, label: &str) -> BTreeSet<&str> {
        let begin = format!("{label}=\"");
        let values = self.samples.keys().filter_map(|series| {
            let (_, rest) = series.split_once(&begin)?;
            Some(rest.split_once('"')?.0)
        });
        values.collect()
    }
}

fn request(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

const START: &str = "rapport.identity.v1.SessionService/StartTemporarySession";
const SIGN_IN: &str = "rapport.identity.v1.SessionService/SignIn";
const SEND: &str = "rapport.chat.v1.ChatService/SendMessage";
const RECORD: &str = "rapport.attribution.v1.OrderService/RecordOrder";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_the_calls_that_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("RAPPORT_METRICS_ADDR", "127.0.0.1:0")];
    let mut process = Process::start_with(folder.path(), &variables);
    assert_eq!(
        process.calls().len(),
        3,
        "it makes no more calls of its own"
    );
    let metrics = process.metrics.unwrap();
    let operator_token = operator_token(folder.path());
    let shop = Shop::open(&process.channels, &operator_token, "shop")
        .await
        .unwrap();
    shop.set_merge_policy(MergePolicyPreset::V462)
        .await
        .unwrap();
    let member = shop.hire("Mia").await.unwrap();

    for number in 0..3 {
        let temporary = shop.welcome("Ann", None).await.unwrap();
        let chatroom = temporary.open_direct(&member).await.unwrap();
        temporary.caller.say(&chatroom, "question").await.unwrap();
        member.caller.say(&chatroom, "answer").await.unwrap();
        let customer_id = format!("customer-{number}");
        let signed_in = shop.sign_in(&customer_id, None, Some(&temporary)).await;
        signed_in.unwrap();
    }
    shop.sign_in("customer-0", None, None).await.unwrap();
    let forged = shop.sign_in_request(shop.assertion("customer-1", None, None), Some("forged"));
    shop.send_sign_in(forged).await.unwrap();
    let mut refused = shop.sign_in_request(shop.assertion("customer-2", None, None), None);
    refused.accepted_widget_policy_version = "of yore".to_owned();
    let refusal = process.channels.anonymous().sign_in(refused).await;
    assert_eq!(refusal.unwrap_err().code(), Code::FailedPrecondition);
    let total = || Money {
        currency_code: "EUR".to_owned(),
        minor_units: 1_000,
    };
    for (order_id, customer_id) in [("order-1", "customer-0"), ("order-2", "nobody")] {
        shop.order(order_id, customer_id, total()).await.unwrap();
    }
    wait_until("the order is credited", async || {
        let attribution = shop.attribution("order-1").await?;
        Ok((attribution.outcome() == AttributionOutcome::Conversation).then_some(()))
    })
    .await
    .unwrap();

    let page = wait_until(
        "what the services read from each other is read",
        async || {
            let page = Page::get(metrics);
            let of_messages = [("service", "attribution"), ("source", "chat")];
            // Three chatrooms and six messages.
            let read = page.sum("rapport_event_lag_seconds_count", &of_messages) == 9.0;
            Ok((read && page.sum("rapport_ledger_entries_total", &[]) > 0.0).then_some(page))
        },
    )
    .await
    .unwrap();
    check_calls(&page);
    check_outcomes(&page);
    check_insides(&page);
    check_labels(&page, &shop.brand_id);
    check_documentation(&page);
    assert!(request(metrics, "/").starts_with("HTTP/1.1 404"));
    assert!(process.terminate());
}

fn check_calls(page: &Page) {
    assert_eq!(page.calls(START, "OK"), 3.0);
    assert_eq!(page.calls(SEND, "OK"), 6.0);
    assert_eq!(page.calls(SIGN_IN, "OK"), 5.0);
    assert_eq!(page.calls(SIGN_IN, "FAILED_PRECONDITION"), 1.0);
    assert_eq!(page.calls(RECORD, "OK"), 2.0);
    // Whoever was refused is to blame for it himself.
    assert_eq!(page.values("error_type"), BTreeSet::new());
    let below = [("rpc_method", SEND), ("le", "+Inf")];
    let bucket = "rpc_server_call_duration_seconds_bucket";
    assert_eq!(page.sum(bucket, &below), 6.0);
}

fn check_outcomes(page: &Page) {
    let sign_ins = |outcome| page.sum("rapport_sign_ins_total", &[("outcome", outcome)]);
    assert_eq!(sign_ins("UPGRADED"), 3.0);
    assert_eq!(sign_ins("NO_TEMPORARY"), 1.0);
    assert_eq!(sign_ins("TEMPORARY_SESSION_UNUSABLE"), 1.0);
    assert_eq!(page.sum("rapport_sign_ins_total", &[]), 5.0);
    let credits = [("direction", "CREDIT"), ("reason", "CONVERSATION")];
    assert_eq!(page.sum("rapport_ledger_entries_total", &credits), 1.0);
    let conversations = [("outcome", "CONVERSATION")];
    assert_eq!(page.sum("rapport_attributions_total", &conversations), 1.0);
    let unknown = [("outcome", "BUYER_UNKNOWN")];
    assert!(page.sum("rapport_attributions_total", &unknown) >= 1.0);
}

fn check_insides(page: &Page) {
    for (service, source) in [
        ("chat", "identity"),
        ("attribution", "identity"),
        ("attribution", "chat"),
    ] {
        let labels = [("service", service), ("source", source)];
        assert_eq!(
            page.matching("rapport_event_staleness_seconds", &labels)
                .count(),
            1
        );
        assert_eq!(page.matching("rapport_event_unread", &labels).count(), 1);
        assert_eq!(page.sum("rapport_event_unread", &labels), 0.0);
    }
    for service in ["identity", "chat", "attribution"] {
        let pool = [("db_client_connection_pool_name", service)];
        assert!(page.sum("db_client_connection_max", &pool) > 0.0);
        assert!(page.sum("db_client_connection_count", &pool) > 0.0);
    }
    let written = [("service", "identity"), ("transaction", "sign_in")];
    let duration = "rapport_transaction_duration_seconds_count";
    assert_eq!(page.sum(duration, &written), 5.0);
    assert!(page.text.contains("service_name=\"suite\""));
}

/// What is measured is what docs/telemetry.md says is measured, which another test holds dashboard and alerts to.
fn check_documentation(page: &Page) {
    // They need PostgreSQL, a conflict, a broker, a peer that goes, TLS: tests that have those look for these names.
    const ELSEWHERE: [&str; 5] = [
        "db_client_connection_wait_time_seconds",
        "rapport_transaction_retries_total",
        "rapport_event_dead_letters_total",
        "rapport_call_retries_total",
        "rapport_tls_reloads_total",
    ];
    let documentation = include_str!("../../../../docs/telemetry.md");
    let rows = documentation.lines();
    let rows = rows.filter_map(|line| line.strip_prefix("| `")?.split('|').nth(1));
    let names = rows.map(|cell| cell.trim().trim_matches('`'));
    let documented: BTreeSet<&str> = names.take_while(|name| *name != "server").collect();
    let mut measured = page.names();
    assert!(measured.remove("target_info"));
    for name in ELSEWHERE {
        assert!(measured.insert(name), "{name} is measured here too");
    }
    assert_eq!(measured, documented);
}

/// No id, and nothing that a caller gave, is a label (SPEC 58).
fn check_labels(page: &Page, brand_id: &str) {
    let labels: BTreeSet<&str> = page
        .samples
        .keys()
        .filter(|series| !series.starts_with("target_info"))
        .flat_map(|series| series.split(['{', ',']).skip(1))
        .filter_map(|label| Some(label.split_once('=')?.0))
        .collect();
    let expected = [
        "db_client_connection_pool_name",
        "db_client_connection_state",
        "direction",
        "le",
        "merge_case",
        "outcome",
        "reason",
        "rpc_method",
        "rpc_response_status_code",
        "rpc_system_name",
        "service",
        "source",
        "transaction",
    ];
    assert_eq!(labels, expected.into());
    for said in [brand_id, "customer-0", "order-1", "Ann", "Mia"] {
        assert!(!page.text.contains(&format!("\"{said}\"")), "{said}");
    }
}
