//! ID tokens made by a library that is not ours: each forged one gets one and the same answer, and
//! nothing that it points to is asked.

use std::collections::BTreeMap;

use kit::{clock::Clock, testing::TestEngine};
use rapport::client::{
    request_id,
    shop::{Shop, WIDGET_POLICY},
};
use rapport_proto::identity::v1::{
    AssertionSettings, Brand, CreateAssertionKeyRequest, MergePolicyPreset, SignInRequest,
    SignInResponse, TokenAlgorithm, UpdateBrandRequest, Widget,
    create_assertion_key_request::Material, sign_in_request::Assertion,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Response, Status};

use crate::{
    foreign_client::run_python,
    harness::{TestSuite, assert_refused},
};

const ISSUER: &str = "https://login.shop.example";
const AUDIENCE: &str = "shop";
/// Fewer would mean that some are lost.
const LEAST_FORGED: usize = 100;

/// What the script makes.
#[derive(Deserialize)]
struct Made {
    jwks: Value,
    other_jwks: Value,
    honest: BTreeMap<String, String>,
    forged: BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_assertions_are_refused_alike_and_lead_nowhere() {
    for engine in TestEngine::ALL {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let setting = json!({
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "now": Clock::system().now().timestamp(),
            "elsewhere": format!("http://{}/keys", elsewhere.local_addr().unwrap()),
        });
        let made = run_python("forgeries.py", &setting).await;
        let made: Made = serde_json::from_value(made).unwrap();
        assert!(made.forged.len() >= LEAST_FORGED);

        let suite = TestSuite::start(engine).await.unwrap();
        let shop = open_shop(&suite, &made.jwks).await;
        let other_shop = open_shop(&suite, &made.other_jwks).await;
        for (name, token) in &made.honest {
            let answer = sign_in(&suite, &shop, token).await;
            assert!(answer.is_ok(), "{name}: {answer:?}");
            let answer = sign_in(&suite, &other_shop, token).await;
            assert_refused(answer, tonic::Code::Unauthenticated, "ASSERTION_REFUSED"); // SPEC 1
        }
        // Its keys are good, though not for the other Brand.
        let others = &made.forged["EdDSA by another Brand's key of the same kid"];
        sign_in(&suite, &other_shop, others).await.unwrap();

        let before = suite.resting_row_counts().await.unwrap();
        let mut answers: BTreeMap<Vec<u8>, Vec<&str>> = BTreeMap::new();
        for (name, token) in &made.forged {
            let answer = sign_in(&suite, &shop, token).await;
            let Err(status) = answer else {
                panic!("{name} is accepted");
            };
            let bytes = [status.message().as_bytes(), status.details()].concat();
            answers.entry(bytes).or_default().push(name);
            assert_refused(
                Err::<(), _>(status),
                tonic::Code::Unauthenticated,
                "ASSERTION_REFUSED",
            ); // SPEC 4
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(suite.resting_row_counts().await.unwrap(), before);
        assert!(is_unasked(&elsewhere).await);
        suite.stop().await.unwrap();
    }
}

/// Returns a shop that takes ID tokens under these keys.
async fn open_shop(suite: &TestSuite, key_set: &Value) -> Shop {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let mut operator = suite.channels.caller(&suite.operator_token).unwrap();
    let algorithms = [
        TokenAlgorithm::Rs256,
        TokenAlgorithm::Ps256,
        TokenAlgorithm::Es256,
        TokenAlgorithm::Eddsa,
    ];
    let update = UpdateBrandRequest {
        brand: Some(Brand {
            brand_id: shop.brand_id.clone(),
            assertion_settings: Some(AssertionSettings {
                token_algorithms: algorithms.map(i32::from).to_vec(),
                issuer: ISSUER.to_owned(),
                audiences: vec![AUDIENCE.to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["assertion_settings".to_owned()],
        }),
        request_id: request_id(),
    };
    operator.brands.update_brand(update).await.unwrap();
    let key = CreateAssertionKeyRequest {
        brand_id: shop.brand_id.clone(),
        material: Some(Material::JwkSetJson(key_set.to_string())),
        request_id: request_id(),
        ..Default::default()
    };
    operator.brands.create_assertion_key(key).await.unwrap();
    shop
}

async fn sign_in(
    suite: &TestSuite,
    shop: &Shop,
    token: &str,
) -> Result<Response<SignInResponse>, Status> {
    let request = SignInRequest {
        brand_id: shop.brand_id.clone(),
        assertion: Some(Assertion::IdToken(token.to_owned())),
        widget: Widget::Community.into(),
        request_id: request_id(),
        accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
        ..Default::default()
    };
    suite.channels.anonymous().sign_in(request).await
}

/// Returns whether no connection has waited for the listener, by making the first one.
async fn is_unasked(listener: &TcpListener) -> bool {
    let address = listener.local_addr().unwrap();
    let own = tokio::net::TcpStream::connect(address).await.unwrap();
    let (_, first) = listener.accept().await.unwrap();
    first == own.local_addr().unwrap()
}
