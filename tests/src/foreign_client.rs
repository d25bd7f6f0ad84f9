//! A client written by nobody here: Python's gRPC, which learns the contract by reflection.

use std::{path::Path, process::Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use kit::{
    testing::{TestAuthority, TestEngine},
    tls::Tls,
};
use rapport::client::shop::WIDGET_POLICY;
use rapport_proto::identity::v1::MergePolicyPreset;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::harness::TestSuite;

const PYTHON: &str = "RAPPORT_TEST_PYTHON";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_plays_case_three() {
    for engine in TestEngine::ALL {
        play(TestSuite::start(engine).await.unwrap(), json!({})).await;
    }
}

/// The services find each other by TLS alone, and know each other by their certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_plays_case_three_over_tls() {
    let authority = TestAuthority::new();
    let files = authority.trusted_by(Some(authority.issue(&["URI:rapport:suite"])));
    let trusted = json!({"authority": std::fs::read_to_string(&files.authority).unwrap()});
    let tls = Tls::open(files).await.unwrap();
    let suite = TestSuite::start_encrypted(TestEngine::Sqlite, tls).await;
    play(suite.unwrap(), trusted).await;
}

async fn play(suite: TestSuite, mut setting: Value) {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    for (name, value) in [
        ("identity", suite.suite.identity.to_string()),
        ("chat", suite.suite.chat.to_string()),
        ("attribution", suite.suite.attribution.to_string()),
        ("brand_id", shop.brand_id),
        ("api_key", shop.api_key),
        (
            "assertion_secret",
            BASE64_STANDARD.encode(&shop.assertion_secret),
        ),
        ("widget_policy_version", WIDGET_POLICY.to_owned()),
    ] {
        setting[name] = value.into();
    }
    let seen = run_python("case_three.py", &setting).await;
    let expected = json!({
        "outcome": "SIGN_IN_OUTCOME_KIND_LINKED",
        "visitor_chatrooms": 2,
        "resumed_first": true,
        "texts": ["It does.", "Does it come in blue?"],
        "credited": true,
    });
    assert_eq!(seen, expected); // SPEC 22, 25, 37
    suite.stop().await.unwrap();
}

/// Runs a script of `tests/foreign`, gives it a JSON document, and returns the one that it prints.
pub(crate) async fn run_python(script: &str, setting: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign");
    let python = std::env::var(PYTHON)
        .unwrap_or_else(|_| panic!("{PYTHON} is not set: run the tests with scripts/test"));
    let mut child = Command::new(python)
        .arg(folder.join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(setting.to_string().as_bytes())
        .await
        .unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(
        output.status.success(),
        "the script failed; its errors are above"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
