//! What is refused.

use kit::testing::{TestDatabase, TestEngine};
use rapport_proto::{
    access::v1::Scope,
    event::v1::event::Payload,
    identity::v1::{
        self as proto, create_assertion_key_request::Material, sign_in_request::Assertion,
        watch_events_response::Content,
    },
};
use tonic::Code;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named_and_leaves_nothing() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let service = Running::start(&database.url, secrets()).await;
    let program = service.add_brand("shop", &[Scope::LinksRead]).await;
    let start = |change: fn(&mut proto::StartTemporarySessionRequest)| {
        let mut request = start_request("shop");
        change(&mut request);
        let mut sessions = service.sessions();
        async move { sessions.start_temporary_session(request).await }
    };
    let invalid = Code::InvalidArgument;
    check(
        start(|r| r.username = " \t".to_owned()).await,
        invalid,
        "FIELD_INVALID",
    ); // SPEC 2
    check(start(|r| r.widget = 9).await, invalid, "FIELD_INVALID");
    check(
        start(|r| r.email = "ann".to_owned()).await,
        invalid,
        "FIELD_INVALID",
    );
    check(
        start(|r| r.request_id.clear()).await,
        invalid,
        "FIELD_INVALID",
    );
    check(
        start(|r| r.brand_id = "a b".to_owned()).await,
        invalid,
        "FIELD_INVALID",
    );
    check(
        start(|r| r.brand_id = "nobody".to_owned()).await,
        Code::NotFound,
        "BRAND_NOT_FOUND",
    );
    let profile = |r: &mut proto::StartTemporarySessionRequest| {
        r.widget = proto::Widget::Profile.into();
    };
    let refused = start(profile).await;
    check(refused, Code::FailedPrecondition, "WIDGET_NEEDS_CLIENT");
    let huge = start(|r| r.username = "a".repeat(5 << 20)).await;
    check(huge, Code::ResourceExhausted, "REQUEST_TOO_LARGE");

    let mut tampered = sign_in_request("shop", "c-1", "");
    if let Some(Assertion::SignedUserData(data)) = &mut tampered.assertion {
        data.user_data_json = data.user_data_json.replace("c-1", "c-2");
    }
    let refused = service.sessions().sign_in(tampered).await;
    check(refused, Code::Unauthenticated, "ASSERTION_REFUSED"); // SPEC 4
    let mut none = sign_in_request("shop", "c-1", "");
    none.assertion = None;
    check(
        service.sessions().sign_in(none).await,
        invalid,
        "FIELD_INVALID",
    );

    let request = proto::CreateAssertionKeyRequest {
        brand_id: "shop".to_owned(),
        material: Some(Material::JwksUri("http://shop.example/keys".to_owned())),
        request_id: id(),
        ..Default::default()
    };
    let refused = service
        .brands()
        .create_assertion_key(with(request, OPERATOR))
        .await;
    check(refused, invalid, "FIELD_INVALID");
    let request = proto::GetLinkRequest { link_id: id() };
    let refused = service
        .links()
        .get_link(with(request.clone(), &program))
        .await;
    check(refused, Code::NotFound, "LINK_NOT_FOUND");
    let refused = service.links().get_link(request.clone()).await;
    check(refused, Code::Unauthenticated, "UNAUTHENTICATED");
    let refused = service.links().get_link(with(request, OPERATOR)).await;
    check(refused, Code::PermissionDenied, "PERMISSION_DENIED"); // SPEC 59
    let request = proto::ListAuditEntriesRequest::default();
    let refused = service
        .brands()
        .list_audit_entries(with(request, OPERATOR))
        .await;
    check(refused, invalid, "FIELD_INVALID");

    let request = proto::WatchEventsRequest::default();
    let stream = service
        .links()
        .watch_events(with(request, SUITE))
        .await
        .unwrap();
    let mut stream = stream.into_inner();
    let mut kinds = Vec::new();
    while let Some(Content::Batch(batch)) = stream.message().await.unwrap().unwrap().content {
        kinds.extend(batch.events);
    }
    let only_brands = kinds
        .iter()
        .all(|event| matches!(event.payload, Some(Payload::BrandChanged(_))));
    assert!(only_brands && kinds.len() == 2);
    service.stop().await;
}
