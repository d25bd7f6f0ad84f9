//! Who shows a certificate is whom it names (SPEC 59).

use std::path::Path;

use kit::{
    testing::{TestAuthority, TestEngine},
    tls::Tls,
};
use rapport::client::{Channels, request_id};
use rapport_proto::identity::v1::{
    IssueServiceTokenRequest, ListAccountsRequest, ListApiKeysRequest, MergePolicyPreset,
    RevokeApiKeyRequest,
};
use serde_json::json;
use tonic_types::StatusExt;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_stands_for_an_api_key_until_that_is_revoked() {
    let authority = TestAuthority::new();
    let own = authority.issue(&["URI:rapport:suite"]);
    let tls = Tls::open(authority.trusted_by(Some(own))).await.unwrap();
    let suite = TestSuite::start_encrypted(TestEngine::Sqlite, tls).await;
    let suite = suite.unwrap();
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let mut operator = suite.channels.caller(&suite.operator_token).unwrap();
    let of_shop = ListApiKeysRequest {
        brand_id: shop.brand_id.clone(),
        ..Default::default()
    };
    let keys = operator.brands.list_api_keys(of_shop).await.unwrap();
    let api_key_id = keys.into_inner().api_keys[0].api_key_id.clone();

    let name = format!("URI:rapport:api-key:{}:{api_key_id}", shop.brand_id);
    let certificate = authority.issue(&[&name]);
    let tls = Tls::open(authority.trusted_by(Some(certificate))).await;
    let listening = &suite.suite;
    let addrs = [listening.identity, listening.chat, listening.attribution];
    let channels = Channels::by(tls.ok().as_ref(), &[addrs]);
    let channels = channels.unwrap();
    let issue = async |brand_id: &str| {
        let request = IssueServiceTokenRequest {
            brand_id: brand_id.to_owned(),
            api_key: String::new(),
        };
        let answer = channels.anonymous().issue_service_token(request).await;
        let issued = answer.map(|answer| answer.into_inner().access_token);
        issued.map_err(|status| status.get_details_error_info().unwrap().reason)
    };
    let token = issue(&shop.brand_id).await.unwrap();
    let mut backend = suite.channels.caller(&token).unwrap();
    let accounts = backend
        .accounts
        .list_accounts(ListAccountsRequest::default())
        .await;
    accounts.unwrap();
    assert_eq!(issue("another").await.unwrap_err(), "API_KEY_REFUSED");
    let revoke = RevokeApiKeyRequest {
        brand_id: shop.brand_id.clone(),
        api_key_id,
        request_id: request_id(),
    };
    operator.brands.revoke_api_key(revoke).await.unwrap();
    assert_eq!(issue(&shop.brand_id).await.unwrap_err(), "API_KEY_REFUSED");
    suite.stop().await.unwrap();
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
