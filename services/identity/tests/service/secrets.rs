//! The secrets with which a Brand signs user data: two at a time, and told once (SPEC 4).

use diesel::{QueryableByName, sql_types::Binary};
use diesel_async::RunQueryDsl;
use kit::{
    query,
    testing::{TestDatabase, TestEngine},
};
use prost::Message;
use rapport_proto::{
    access::v1::Scope,
    identity::v1::{
        self as proto, create_assertion_key_request::Material, sign_in_request::Assertion,
    },
};
use tonic::{Code, Status};

use crate::harness::*;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Binary)]
    sealed_secret: Vec<u8>,
}

/// Lets the server make a secret.
async fn make(service: &Running) -> Result<proto::CreateAssertionKeyResponse, Status> {
    let request = proto::CreateAssertionKeyRequest {
        brand_id: "shop".to_owned(),
        material: Some(Material::HmacSecret(proto::HmacSecret::default())),
        request_id: id(),
        ..Default::default()
    };
    let mut brands = service.brands();
    let made = brands.create_assertion_key(with(request, OPERATOR)).await;
    made.map(tonic::Response::into_inner)
}

async fn sign_in(service: &Running, secret: &[u8], key_id: &str) -> Result<(), Status> {
    let data = proto::SignedUserData {
        assertion_key_id: key_id.to_owned(),
        ..user_data("shop", "c-1", secret)
    };
    let request = proto::SignInRequest {
        assertion: Some(Assertion::SignedUserData(data)),
        ..sign_in_request("shop", "", "")
    };
    service.sessions().sign_in(request).await.map(drop)
}

async fn list(service: &Running) -> proto::ListAssertionKeysResponse {
    let request = proto::ListAssertionKeysRequest {
        brand_id: "shop".to_owned(),
        include_revoked: true,
        ..Default::default()
    };
    let mut brands = service.brands();
    let listed = brands.list_assertion_keys(with(request, OPERATOR)).await;
    listed.unwrap().into_inner()
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_rotate_with_overlap() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        service.add_brand("shop", &[Scope::LinksRead]).await;
        let first_id = list(&service).await.assertion_keys[0]
            .assertion_key_id
            .clone();
        let made = make(&service).await.unwrap();
        let (second, second_id) = (
            made.hmac_secret,
            made.assertion_key.unwrap().assertion_key_id,
        );
        assert_eq!(second.len(), 32);
        let limited = make(&service).await;
        check(
            limited,
            Code::FailedPrecondition,
            "ASSERTION_KEY_LIMIT_REACHED",
        );

        for key_id in ["", &first_id] {
            sign_in(&service, SECRET, key_id).await.unwrap();
        }
        for key_id in ["", &second_id] {
            sign_in(&service, &second, key_id).await.unwrap();
        }
        let mixed = sign_in(&service, SECRET, &second_id).await;
        check(mixed, Code::Unauthenticated, "ASSERTION_REFUSED");

        let request = proto::RevokeAssertionKeyRequest {
            brand_id: "shop".to_owned(),
            assertion_key_id: first_id.clone(),
            request_id: id(),
        };
        let mut brands = service.brands();
        let revoked = brands.revoke_assertion_key(with(request, OPERATOR)).await;
        revoked.unwrap();
        for key_id in ["", &first_id] {
            let refused = sign_in(&service, SECRET, key_id).await;
            check(refused, Code::Unauthenticated, "ASSERTION_REFUSED");
        }
        sign_in(&service, &second, "").await.unwrap();
        make(&service).await.unwrap();
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_told_once_and_sealed_at_rest() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        service.add_brand("shop", &[Scope::LinksRead]).await;
        let made = make(&service).await.unwrap().hmac_secret;
        let listed = list(&service).await;
        assert_eq!(listed.assertion_keys.len(), 2);
        let listed = listed.encode_to_vec();

        let db = database.open(identity::migrations()).await;
        let mut connection = db.read().await.unwrap();
        let sql = "SELECT sealed_secret FROM assertion_key WHERE sealed_secret IS NOT NULL";
        let rows: Vec<Row> = query!(&mut *connection, |c| {
            diesel::sql_query(sql).load(c).await
        })
        .unwrap();
        assert_eq!(rows.len(), 2);
        for secret in [SECRET, &made] {
            assert!(!contains(&listed, secret), "{engine:?}");
            let is_bare = |row: &Row| contains(&row.sealed_secret, secret);
            assert!(!rows.iter().any(is_bare), "{engine:?}");
        }
        drop(connection);
        service.stop().await;
    }
}
