//! Keys that a Brand publishes over HTTPS count if the machine trusts the server's certificate (SPEC 4).

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use kit::clock::Clock;
use prost_types::FieldMask;
use rapport::client::{
    request_id,
    shop::{Shop, WIDGET_POLICY},
};
use rapport_proto::identity::v1::{
    AssertionSettings, Brand, CreateAssertionKeyRequest, SignInRequest, SignInResponse,
    TokenAlgorithm, UpdateBrandRequest, Widget, create_assertion_key_request::Material,
    sign_in_request::Assertion,
};
use serde_json::{Value, json};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::{Process, Running, operator_token, setting};

const ISSUER: &str = "https://login.shop.example";
const AUDIENCE: &str = "shop";

/// A web server that is not ours, with a certificate authority of its own.
struct KeyHost {
    _running: Running,
    made: Value,
}

impl KeyHost {
    fn start(folder: &Path) -> Self {
        let now = Clock::system().now().timestamp();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "customer-1", "iat": now, "exp": now + 300,
        });
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/foreign/key_host.py"
        );
        let mut child = Command::new(setting("RAPPORT_TEST_PYTHON"))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let asked = json!({"folder": folder, "claims": claims});
        writeln!(child.stdin.as_mut().unwrap(), "{asked}").unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let made = serde_json::from_str(&line).unwrap();
        Self {
            _running: Running(child),
            made,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.made[name].as_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_keys_count_from_a_server_that_the_machine_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let host = KeyHost::start(folder.path());
    let allow = ("RAPPORT_ALLOW_PRIVATE_KEY_ADDRESSES", "true");
    let trust = ("SSL_CERT_FILE", host.text("authority_file"));

    let answer = sign_in(&host, &folder.path().join("trusting"), &[allow, trust]).await;
    assert!(
        !answer
            .unwrap()
            .into_inner()
            .session
            .unwrap()
            .access_token
            .is_empty()
    );

    let refused = sign_in(&host, &folder.path().join("wary"), &[allow]).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let reason = refused.get_details_error_info().unwrap().reason;
    assert_eq!(reason, "KEY_SET_UNAVAILABLE");
}

/// Signs in with the host's token at a new suite with these variables.
async fn sign_in(
    host: &KeyHost,
    data_dir: &Path,
    variables: &[(&str, &str)],
) -> Result<Response<SignInResponse>, Status> {
    let process = Process::start_with(data_dir, variables);
    let operator_token = operator_token(data_dir);
    let shop = Shop::open(&process.channels, &operator_token, "shop")
        .await
        .unwrap();
    let mut operator = process.channels.caller(&operator_token).unwrap();
    let update = UpdateBrandRequest {
        brand: Some(Brand {
            brand_id: shop.brand_id.clone(),
            assertion_settings: Some(AssertionSettings {
                token_algorithms: vec![TokenAlgorithm::Es256.into()],
                issuer: ISSUER.to_owned(),
                audiences: vec![AUDIENCE.to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["assertion_settings".to_owned()],
        }),
        request_id: request_id(),
    };
    operator.brands.update_brand(update).await.unwrap();
    let key = CreateAssertionKeyRequest {
        brand_id: shop.brand_id.clone(),
        material: Some(Material::JwksUri(host.text("uri").to_owned())),
        request_id: request_id(),
        ..Default::default()
    };
    operator.brands.create_assertion_key(key).await.unwrap();
    let request = SignInRequest {
        brand_id: shop.brand_id,
        assertion: Some(Assertion::IdToken(host.text("id_token").to_owned())),
        widget: Widget::Community.into(),
        request_id: request_id(),
        accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
        ..Default::default()
    };
    process.channels.anonymous().sign_in(request).await
}
