//! The export of a person, where it cannot be had (SPEC 56).

use kit::testing::{TestDatabase, TestEngine};
use rapport_proto::{access::v1::Scope, identity::v1 as proto};
use tonic::Code;

use crate::harness::*;

fn request(account_id: &str) -> proto::ExportAccountRequest {
    proto::ExportAccountRequest {
        account_id: account_id.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_without_the_peers_ends_with_an_error() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &[Scope::PrivacyAdmin]).await;
        let signed_in = service
            .sessions()
            .sign_in(sign_in_request("shop", "c-1", ""))
            .await;
        let account = signed_in.unwrap().into_inner().account.unwrap();

        let asked = with(request(&account.account_id), &program);
        let answer = service.accounts().export_account(asked).await.unwrap();
        let mut records = answer.into_inner();
        let mut types = Vec::new();
        let failure = loop {
            match records.message().await {
                Ok(record) => {
                    let record = record.unwrap();
                    assert_eq!(record.source(), proto::SuiteService::Identity);
                    types.push(record.record.unwrap().type_url);
                }
                Err(status) => break status,
            }
        };
        // What identity itself holds has been told; that it is not all is told too.
        let name = |name: &str| format!("type.googleapis.com/rapport.identity.v1.{name}");
        assert_eq!(types, [name("Account"), name("AuditEntry")]);
        let cut: Result<(), _> = Err(failure);
        check(cut, Code::Unavailable, "PEER_UNAVAILABLE");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_the_brands_cannot_be_exported() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let service = Running::start(&database.url, secrets()).await;
    let program = service.add_brand("shop", &[Scope::PrivacyAdmin]).await;
    let reader = service.add_brand("other", &[Scope::AccountsRead]).await;
    let signed_in = service
        .sessions()
        .sign_in(sign_in_request("other", "c-1", ""))
        .await;
    let foreign = signed_in.unwrap().into_inner().account.unwrap().account_id;

    let refused = |id: &str, token: &str| {
        let (asked, service) = (with(request(id), token), &service);
        async move { service.accounts().export_account(asked).await }
    };
    let (missing, invalid) = (Code::NotFound, Code::InvalidArgument);
    check(
        refused(&foreign, &program).await,
        missing,
        "ACCOUNT_NOT_FOUND",
    ); // SPEC 1
    check(refused(&id(), &program).await, missing, "ACCOUNT_NOT_FOUND");
    check(refused("c-1", &program).await, invalid, "FIELD_INVALID");
    let denied = refused(&foreign, &reader).await;
    check(denied, Code::PermissionDenied, "PERMISSION_DENIED"); // SPEC 59
    service.stop().await;
}
