//! Who shows a certificate is whom it names (SPEC 59).

use std::path::Path;

use kit::{
    testing::{TestAuthority, TestEngine},
    tls::Tls,
};
use serde_json::json;

use crate::{foreign_client::run_python, harness::TestSuite};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_is_let_in_as_its_certificate_says() {
    let authority = TestAuthority::new();
    let stranger = TestAuthority::new();
    let suite = authority.issue(&["URI:rapport:suite"]);
    let files = authority.trusted_by(Some(suite.clone()));
    let mut setting = json!({
        "authority": text(&files.authority),
        "strange_authority": text(&stranger.trusted_by(None).authority),
    });
    let tls = Tls::open(files).await.unwrap();
    let running = TestSuite::start_encrypted(TestEngine::Sqlite, tls).await;
    let running = running.unwrap();
    setting["address"] = running.suite.identity.to_string().into();
    for (name, files) in [
        ("suite", suite),
        ("nobody", authority.issue(&[])),
        ("stranger", stranger.issue(&["URI:rapport:suite"])),
    ] {
        setting["certificates"][name] = json!([text(&files.chain), text(&files.key)]);
    }
    let seen = run_python("certificates.py", &setting).await;
    let expected = json!({
        // Whom the suite is asked about, it then looks at.
        "suite": "INVALID_ARGUMENT",
        "nobody": "UNAUTHENTICATED",
        "without": "UNAUTHENTICATED",
        "stranger": "UNAVAILABLE",
        "strange server": "UNAVAILABLE",
        "not encrypted": "UNAVAILABLE",
    });
    assert_eq!(seen, expected); // SPEC 59
    running.stop().await.unwrap();
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
