//! The program as a user starts it: the demo, a first start, a kill, a stop, a wrong call.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bucket;
#[path = "../support/collector.rs"]
mod collector;
mod dead_letters;
mod deadlines;
mod importing;
mod metrics;
mod published_keys;
mod stopping;
mod traces;
mod waiting;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kit::testing::TestNats;
use rapport::client::{
    Channels,
    shop::{Shop, ShopMember},
    wait_until,
};
use rapport_proto::{
    attribution::v1::{AttributionOutcome, Money},
    chat::v1::Chatroom,
    identity::v1::MergePolicyPreset,
};
use serde_json::Value;

const GRPCURL: &str = "RAPPORT_TEST_GRPCURL";
const POSTGRES_URL: &str = "RAPPORT_TEST_POSTGRES_URL";

fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

fn rapport() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapport"));
    for (name, _) in std::env::vars() {
        if ["RAPPORT_", "OTEL_", "AWS_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A process, which is killed with this value.
struct Running(Child);

impl Running {
    /// Sends SIGTERM.
    fn tell_to_stop(&self) {
        let pid = self.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
    }

    /// Waits for its end, and returns whether that was a good one.
    fn wait(mut self) -> bool {
        self.0.wait().unwrap().success()
    }

    /// Sends SIGTERM, and returns whether it ended well.
    fn terminate(self) -> bool {
        self.tell_to_stop();
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The suite as a process, on free ports.
struct Process {
    running: Running,
    channels: Channels,
    /// Where its metrics are, if anywhere.
    metrics: Option<SocketAddr>,
    /// Where each service listens.
    addrs: [(&'static str, SocketAddr); 3],
    /// What it prints after the addresses.
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// As [`Process::start`], with these variables in its environment.
    fn start_with(data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_by(rapport(), data_dir, variables)
    }

    /// As [`Process::start_with`], by a command that says more.
    fn start_by(mut command: Command, data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        command.envs(variables.iter().copied());
        command.arg("--data-dir").arg(data_dir);
        for service in ["identity", "chat", "attribution"] {
            command.arg(format!("--{service}-addr")).arg("127.0.0.1:0");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addr = |service: &str| -> SocketAddr {
            let line = lines.next().unwrap().unwrap();
            let (name, addr) = line.split_once(char::is_whitespace).unwrap();
            assert_eq!(name, service);
            addr.trim().parse().unwrap()
        };
        let is_measured = variables
            .iter()
            .any(|(name, _)| *name == "RAPPORT_METRICS_ADDR");
        let metrics = is_measured.then(|| addr("metrics"));
        let (identity, chat, attribution) = (addr("identity"), addr("chat"), addr("attribution"));
        Self {
            running: Running(child),
            channels: Channels::new(identity, chat, attribution).unwrap(),
            metrics,
            addrs: [
                ("identity", identity),
                ("chat", chat),
                ("attribution", attribution),
            ],
            lines,
        }
    }

    /// Returns the calls that it prints for pasting.
    fn calls(&mut self) -> Vec<String> {
        (&mut self.lines)
            .map(Result::unwrap)
            .filter(|line| line.starts_with("grpcurl "))
            .take(3)
            .collect()
    }

    /// Kills it as `kill -9` does.
    fn kill(self) {
        drop(self);
    }

    /// Sends SIGTERM, and returns whether it ended well.
    fn terminate(self) -> bool {
        self.running.terminate()
    }
}

fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The table of the issue: visitor's chatrooms, messages kept, credited.
fn expected(case: u64, preset: &str, email_differs: bool) -> (&'static str, u64, bool, bool) {
    match (case, preset) {
        (0, _) => ("NO_TEMPORARY", 1, true, true),
        // SPEC 8: cases 1 and 2 are one.
        (1 | 2, "ALWAYS_LINKED") => ("LINKED", 1, true, true),
        (1 | 2, "V4_4") if email_differs => ("SEPARATED", 0, false, false),
        (1 | 2, _) => ("UPGRADED", 1, true, true),
        (3, "V4_4" | "V4_6_2") => ("ABANDONED", 1, false, false),
        (3, "V4_8") => ("LINKED", 1, false, true),
        (3, _) => ("LINKED", 2, true, true),
        _ => unreachable!("there is no case {case}"),
    }
}

fn check_demo(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    let rows = rows(output);
    assert_eq!(rows.len(), 30);
    for row in rows {
        let case = row["case"].as_u64().unwrap();
        let (outcome, visitor_chatrooms, messages_kept, credited) = expected(
            case,
            row["preset"].as_str().unwrap(),
            row["email_differs"].as_bool().unwrap(),
        );
        assert_eq!(row["outcome"], outcome, "{row}");
        assert_eq!(row["visitor_chatrooms"], visitor_chatrooms, "{row}");
        assert_eq!(row["messages_kept"], messages_kept, "{row}");
        assert_eq!(row["credited"], credited, "{row}");
        assert_eq!(
            row["member_chatrooms"],
            if case == 3 { 2 } else { 1 },
            "{row}"
        );
    }
}

#[test]
fn the_demo_plays_every_case_on_sqlite() {
    check_demo(&rapport().args(["demo", "--json"]).output().unwrap());
}

#[test]
fn the_demo_plays_every_case_on_postgresql() {
    let url = setting(POSTGRES_URL);
    check_demo(
        &rapport()
            .args(["demo", "--json", "--database-url", &url])
            .output()
            .unwrap(),
    );
}

#[tokio::test]
async fn the_demo_plays_every_case_with_two_replicas_on_postgresql_and_nats() {
    let nats = TestNats::start().await;
    let url = setting(POSTGRES_URL);
    let mut demo = rapport();
    demo.args([
        "demo",
        "--json",
        "--database-url",
        &url,
        "--broker-url",
        nats.url(),
        "--replicas",
        "2",
    ]);
    check_demo(&demo.output().unwrap());
    let again = demo.output().unwrap();
    assert!(
        !again.status.success(),
        "the streams of another installation are left alone"
    );
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("has streams already"), "{error}");
}

#[test]
fn a_wrong_setting_is_a_usage_error_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let check = |arguments: &[&str], says: &str| {
        let output = rapport()
            .args(["--data-dir", data_dir])
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says), "{error}");
    };
    check(
        &["--mode", "production"],
        "RAPPORT_ENCRYPTION_KEY is required",
    );
    check(&["--identity-addr", "0.0.0.0:50051"], "not on loopback");
    check(&["--identity-addr", "nowhere"], "RAPPORT_IDENTITY_ADDR");
    check(
        &["--chat-database-url", "mysql://host/db"],
        "postgres:// or sqlite://",
    );
    check(&["--otlp-endpoint", "https://host"], "http://HOST:PORT");
    check(&["--trace-ratio", "1.5"], "from 0 to 1");
    check(&["--no-such-flag"], "--no-such-flag");
    check(&["bench", "sign-in", "--rows", "10"], "20..");
    check(&["bench", "chat", "--rows", "1000"], "20000..");
    check(&["bench", "attribution", "--rows", "1000"], "2000..");
    let mut standard = rapport();
    standard.env("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere");
    assert_eq!(standard.output().unwrap().status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_prints_three_calls_and_a_stop_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    let calls = process.calls();
    for service in ["StartTemporarySession", "ListChatrooms", "RecordOrder"] {
        assert!(
            calls.iter().any(|call| call.ends_with(service)),
            "{calls:?}"
        );
    }
    for call in &calls {
        paste(call);
    }
    assert!(process.terminate());
    let mut again = Process::start(folder.path());
    assert_eq!(again.calls().len(), 3);
    assert!(again.terminate());
}

/// Who reads the addresses alone, as `rapport | head --lines 3` does, ends nothing when he goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_goes_does_not_end_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = rapport();
    for service in ["identity", "chat", "attribution"] {
        command.arg(format!("--{service}-addr")).arg("127.0.0.1:0");
    }
    command.arg("--data-dir").arg(folder.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running(child);
    assert_eq!(lines.take(3).map_while(Result::ok).count(), 3);
    // The calls to paste are printed after that.
    wait_until("the demo Brand is there", async || {
        Ok(folder.path().join("demo-brand.json").exists().then_some(()))
    })
    .await
    .unwrap();
    assert!(running.terminate());
}

/// Runs a printed call in a shell, as who pastes it.
fn paste(call: &str) {
    let grpcurl = setting(GRPCURL);
    let folder = Path::new(&grpcurl).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", call])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{call}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Nothing that was acknowledged is lost by `kill -9`, and what was not yet consumed is consumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    const VISITORS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    assert_eq!(process.calls().len(), 3);
    let operator_token = operator_token(folder.path());
    let shop = Shop::open(&process.channels, &operator_token, "shop")
        .await
        .unwrap();
    shop.set_merge_policy(MergePolicyPreset::TwoChatrooms)
        .await
        .unwrap();
    let member = shop.hire("Mia").await.unwrap();

    let mut acknowledged = Vec::new();
    for number in 0..VISITORS {
        let temporary = shop.welcome("Ann", None).await.unwrap();
        let chatroom = temporary.open_direct(&member).await.unwrap();
        temporary.caller.say(&chatroom, "question").await.unwrap();
        member.caller.say(&chatroom, "answer").await.unwrap();
        let customer_id = format!("customer-{number}");
        shop.sign_in(&customer_id, None, Some(&temporary))
            .await
            .unwrap();
        acknowledged.push((chatroom, customer_id));
    }
    let under_way = Arc::new(AtomicUsize::new(0));
    let more = tokio::spawn(write_until_it_fails(
        shop.clone(),
        member.clone(),
        Arc::clone(&under_way),
    ));
    wait_until("calls are under way", async || {
        Ok((under_way.load(Ordering::SeqCst) > 5).then_some(()))
    })
    .await
    .unwrap();
    process.kill();
    let more = more.await.unwrap();

    let process = Process::start(folder.path());
    let shop = Shop::reopen(
        &process.channels,
        "shop",
        &shop.api_key,
        shop.assertion_secret.clone(),
    )
    .await
    .unwrap();
    assert!(more.len() > 5);
    for (chatroom, customer_id) in acknowledged.iter().chain(&more) {
        let client = shop.sign_in(customer_id, None, None).await.unwrap().visitor;
        assert_eq!(
            client.caller.texts(chatroom).await.unwrap(),
            ["answer", "question"]
        );
        let order_id = format!("order of {customer_id}");
        let total = Money {
            currency_code: "EUR".to_owned(),
            minor_units: 1_000,
        };
        shop.order(&order_id, customer_id, total).await.unwrap();
        wait_until("the order is credited", async || {
            let attribution = shop.attribution(&order_id).await?;
            Ok((attribution.outcome() == AttributionOutcome::Conversation).then_some(()))
        })
        .await
        .unwrap();
    }
    assert!(process.terminate());
}

/// Writes as fast as it goes, and returns the conversations that were acknowledged whole.
async fn write_until_it_fails(
    shop: Shop,
    member: ShopMember,
    under_way: Arc<AtomicUsize>,
) -> Vec<(Chatroom, String)> {
    let mut acknowledged = Vec::new();
    loop {
        let customer_id = format!("late-{}", acknowledged.len());
        let written: anyhow::Result<Chatroom> = async {
            let client = shop.sign_in(&customer_id, None, None).await?.visitor;
            let chatroom = client.open_direct(&member).await?;
            client.caller.say(&chatroom, "question").await?;
            member.caller.say(&chatroom, "answer").await?;
            Ok(chatroom)
        }
        .await;
        let Ok(chatroom) = written else {
            return acknowledged;
        };
        acknowledged.push((chatroom, customer_id));
        under_way.fetch_add(1, Ordering::SeqCst);
    }
}

fn operator_token(data_dir: &Path) -> String {
    development_secret(data_dir, "operator_token")
}

fn development_secret(data_dir: &Path, name: &str) -> String {
    let json = std::fs::read(data_dir.join("development-secrets.json")).unwrap();
    let secrets: Value = serde_json::from_slice(&json).unwrap();
    secrets[name].as_str().unwrap().to_owned()
}
