//! Traces as a collector receives them, from the services as processes of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
};

use kit::testing::TestNats;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use rapport::client::{
    Channels, request_id,
    shop::{Shop, Visitor},
    wait_until,
};
use rapport_proto::{
    attribution::v1::{AttributionOutcome, Buyer, Money, OrderReport, RecordOrderRequest},
    chat::v1::{
        Chatroom, MessageContent, SendMessageRequest, TextContent, message_content::Content,
    },
    identity::v1::{
        ExportAccountRequest, GetKeySetRequest, MergePolicyPreset, SignInOutcomeKind,
        session_service_client::SessionServiceClient,
    },
};
use tonic::Request;

use super::{Process, Running, operator_token, rapport};
use crate::collector::Collector;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN_ID: &str = "00f067aa0ba902b7";

/// One service as a process, found by the others at its address.
struct Service {
    running: Running,
    addr: SocketAddr,
}

impl Service {
    /// Starts `name`, which is told where those stand that are there already.
    fn start(name: &str, data_dir: &Path, collector: &str, peers: &[(&str, &Service)]) -> Self {
        Self::start_with(name, data_dir, collector, peers, &[])
    }

    /// As [`Service::start`], with these variables in its environment.
    fn start_with(
        name: &str,
        data_dir: &Path,
        collector: &str,
        peers: &[(&str, &Service)],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = rapport();
        command.envs(variables.iter().copied());
        command.arg(name).arg("--data-dir").arg(data_dir);
        command.arg(format!("--{name}-addr")).arg("127.0.0.1:0");
        for (peer, service) in peers {
            let addr = service.addr.to_string();
            command.arg(format!("--{peer}-addr")).arg(addr);
        }
        let mut child = command
            .env("RAPPORT_OTLP_ENDPOINT", collector)
            // Only what the test traces.
            .env("RAPPORT_TRACE_RATIO", "0")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("RAPPORT_LOG", "debug")
            .env("RAPPORT_LOG_FORMAT", "json")
            .stdout(Stdio::piped())
            .stderr(File::create(data_dir.join(format!("{name}.log"))).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let line = stdout.lines().next().unwrap().unwrap();
        let addr = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self {
            running: Running(child),
            addr,
        }
    }
}

/// The spans of the test's trace.
struct Trace(BTreeMap<Vec<u8>, (String, Span)>);

impl Trace {
    fn of(collector: &Collector) -> Self {
        let mut spans = BTreeMap::new();
        for resource in collector.spans() {
            let service = text(&resource.resource.unwrap().attributes, "service.name");
            for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                assert_eq!(hex(&span.trace_id), TRACE_ID, "nothing else is traced");
                spans.insert(span.span_id.clone(), (service.clone(), span));
            }
        }
        Self(spans)
    }

    /// Returns each span, as its service and name, with those of its parents up to the test's own.
    fn chains(&self) -> BTreeSet<Vec<String>> {
        self.0.keys().filter_map(|id| self.chain(id)).collect()
    }

    /// Returns nothing where a parent has not come yet.
    fn chain(&self, id: &[u8]) -> Option<Vec<String>> {
        let mut chain = Vec::new();
        let mut id = id.to_vec();
        while hex(&id) != CALLER_SPAN_ID {
            let (service, span) = self.0.get(&id)?;
            chain.push(format!("{service} {}", span.name));
            id.clone_from(&span.parent_span_id);
        }
        Some(chain)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|it| it.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

/// Returns a call that the test's own span makes.
fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let trace_parent = format!("00-{TRACE_ID}-{CALLER_SPAN_ID}-01");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", trace_parent.parse().unwrap());
    request
}

const SEND: &str = "chat rapport.chat.v1.ChatService/SendMessage";
const SIGN_IN: &str = "identity rapport.identity.v1.SessionService/SignIn";
const RECORD: &str = "attribution rapport.attribution.v1.OrderService/RecordOrder";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_an_order_spans_the_three_services() {
    check_trace_of_order(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_an_order_goes_through_nats() {
    let nats = TestNats::start().await;
    check_trace_of_order(&[("RAPPORT_EVENTS_URL", nats.url())]).await;
}

async fn check_trace_of_order(variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await.unwrap();
    let start = |name, peers: &[(&str, &Service)]| {
        let endpoint = &collector.endpoint;
        Service::start_with(name, folder.path(), endpoint, peers, variables)
    };
    let identity = start("identity", &[]);
    let chat = start("chat", &[("identity", &identity)]);
    let attribution = start("attribution", &[("identity", &identity), ("chat", &chat)]);
    let channels = Channels::new(identity.addr, chat.addr, attribution.addr).unwrap();
    let token = operator_token(folder.path());
    let shop = Shop::open(&channels, &token, "shop").await.unwrap();
    shop.set_merge_policy(MergePolicyPreset::AlwaysLinked)
        .await
        .unwrap();
    let member = shop.hire("Mia").await.unwrap();
    let temporary = shop.welcome("Ann", None).await.unwrap();
    let chatroom = temporary.open_direct(&member).await.unwrap();
    say(&temporary, &chatroom).await;
    member.caller.say(&chatroom, "answer").await.unwrap();
    // The order comes first: what credits it is the sign-in, by its event.
    order(&shop).await;
    sign_in(&channels, &shop, &temporary).await;
    wait_until("the order is credited", async || {
        let attribution = shop.attribution("order-1").await?;
        Ok((attribution.outcome() == AttributionOutcome::Conversation).then_some(()))
    })
    .await
    .unwrap();

    let expected = [
        vec!["chat append_messages", "chat append message", SEND],
        vec![
            "attribution apply_events",
            "attribution apply MessageSent",
            SEND,
        ],
        vec![
            "attribution import_orders",
            "attribution record orders",
            RECORD,
        ],
        vec![
            "attribution evaluate_orders",
            "attribution record orders",
            RECORD,
        ],
        vec!["identity sign_in", SIGN_IN],
        vec!["chat apply LinkChanged", "identity sign_in", SIGN_IN],
        vec!["attribution apply LinkChanged", "identity sign_in", SIGN_IN],
        // This one books the credit.
        vec![
            "attribution evaluate_orders",
            "attribution evaluate orders",
            "identity sign_in",
            SIGN_IN,
        ],
    ];
    let chains = wait_until("the spans have come", async || {
        let chains = Trace::of(&collector).chains();
        let have_come = expected.iter().all(|chain| {
            let chain: Vec<String> = chain.iter().map(|&name| name.to_owned()).collect();
            chains.contains(&chain)
        });
        Ok(have_come.then_some(chains))
    });
    chains.await.unwrap_or_else(|_| {
        panic!("{:#?}", Trace::of(&collector).chains());
    });
    check_calls(&Trace::of(&collector));
    check_logs(folder.path());
}

/// A call's span says what it was and how it ended.
fn check_calls(trace: &Trace) {
    let mut spans = trace.0.values();
    let (_, span) = spans
        .find(|(service, span)| format!("{service} {}", span.name) == SIGN_IN)
        .unwrap();
    assert_eq!(span.kind, 2, "a server's");
    assert_eq!(text(&span.attributes, "rpc.system.name"), "grpc");
    let code = text(&span.attributes, "rpc.response.status_code");
    assert_eq!(code, "OK");
}

/// A line of the log leads to the trace.
fn check_logs(folder: &Path) {
    for name in ["identity", "chat", "attribution"] {
        let log = File::open(folder.join(format!("{name}.log"))).unwrap();
        let lines: Vec<serde_json::Value> = BufReader::new(log)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        let of_trace = lines.iter().filter(|line| line["trace_id"] == TRACE_ID);
        let answered = of_trace.filter(|line| line["message"] == "call answered");
        assert!(answered.filter(|line| line["span_id"].is_string()).count() > 0);
    }
}

async fn say(visitor: &Visitor, chatroom: &Chatroom) {
    let content = Content::Text(TextContent {
        text: "question".to_owned(),
    });
    let request = SendMessageRequest {
        chatroom_id: chatroom.chatroom_id.clone(),
        message_id: request_id(),
        content: Some(MessageContent {
            content: Some(content),
        }),
        ..Default::default()
    };
    let mut chat = visitor.caller.chat.clone();
    chat.send_message(traced(request)).await.unwrap();
}

async fn order(shop: &Shop) {
    let order = OrderReport {
        order_id: "order-1".to_owned(),
        buyer: Some(Buyer {
            customer_id: "customer-1".to_owned(),
            ..Default::default()
        }),
        total: Some(Money {
            currency_code: "EUR".to_owned(),
            minor_units: 1_000,
        }),
        ..Default::default()
    };
    let request = RecordOrderRequest {
        order: Some(order),
        consistency_token: String::new(),
        request_id: request_id(),
    };
    let mut orders = shop.service.orders.clone();
    orders.record_order(traced(request)).await.unwrap();
}

async fn sign_in(channels: &Channels, shop: &Shop, temporary: &Visitor) {
    let assertion = shop.assertion("customer-1", None, Some(&temporary.nonce));
    let token = &temporary.session.session_token;
    let request = shop.sign_in_request(assertion, Some(token));
    let mut sessions = channels.anonymous();
    let answer = sessions.sign_in(traced(request)).await.unwrap();
    let outcome = answer.into_inner().outcome.unwrap();
    assert_eq!(outcome.kind(), SignInOutcomeKind::Linked);
}

/// Identity asks the others while it answers, and their spans are children of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_along_with_the_calls_between_services() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await.unwrap();
    let variables = [
        ("RAPPORT_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("RAPPORT_TRACE_RATIO", "0"),
    ];
    let mut process = Process::start_with(folder.path(), &variables);
    assert_eq!(process.calls().len(), 3);
    let token = operator_token(folder.path());
    let shop = Shop::open(&process.channels, &token, "shop").await.unwrap();
    let visitor = shop.welcome("Ann", None).await.unwrap();
    let request = ExportAccountRequest {
        account_id: visitor.account.account_id,
    };
    let mut accounts = shop.service.accounts.clone();
    let answer = accounts.export_account(traced(request)).await.unwrap();
    let mut parts = answer.into_inner();
    while parts.message().await.unwrap().is_some() {}
    drop(parts);
    // What is not sent yet is sent at the stop.
    assert!(process.terminate());
    let chains = Trace::of(&collector).chains();
    let export = "suite rapport.identity.v1.AccountService/ExportAccount";
    for asked in [
        "suite rapport.chat.v1.ChatService/ExportPerson",
        "suite rapport.attribution.v1.AttributionService/ExportPerson",
    ] {
        let chain = vec![asked.to_owned(), export.to_owned()];
        assert!(chains.contains(&chain), "{chains:#?}");
    }
    let collected = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for metric in ["rpc.server.call.duration", "rapport.event.lag"] {
        assert!(collected.contains(metric), "{metric}");
    }
}

/// A collector that takes connections and answers nothing holds up neither calls nor the stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    // Connections wait in its queue for good.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let identity = Service::start("identity", folder.path(), &endpoint, &[]);
    let uri = format!("http://{}", identity.addr);
    let mut sessions = SessionServiceClient::new(kit::server::channel(&uri).unwrap());
    for _ in 0..10 {
        let request = traced(GetKeySetRequest {});
        sessions.get_key_set(request).await.unwrap();
    }
    let (connection, _) = silent.accept().unwrap();
    assert!(identity.running.terminate());
    let log = std::fs::read_to_string(folder.path().join("identity.log")).unwrap();
    assert!(log.contains("did not take the last spans"), "{log}");
    drop(connection);
}
