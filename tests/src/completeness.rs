//! What the README says is not there yet is what answers `UNIMPLEMENTED`, and nothing else.

use std::collections::{BTreeSet, HashMap};

use kit::testing::TestEngine;
use prost_reflect::{DescriptorPool, MethodDescriptor, Value};
use rapport_proto::{access::v1::Caller, identity::v1::MergePolicyPreset};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::harness::TestSuite;

const README: &str = include_str!("../../README.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_lists_every_method_that_is_not_there_yet() {
    let suite = TestSuite::start(TestEngine::Sqlite).await.unwrap();
    let tokens = Box::pin(tokens(&suite)).await.unwrap();
    let mut unimplemented = BTreeSet::new();
    for method in methods() {
        let token = callers(&method)
            .iter()
            .find_map(|caller| tokens.get(caller));
        let status = call(&suite, &method, token.map(String::as_str)).await;
        if status.is_err_and(|status| status.code() == Code::Unimplemented) {
            let service = method.parent_service().name().to_owned();
            unimplemented.insert(format!("`{service}.{}`", method.name()));
        }
    }
    assert_eq!(unimplemented, listed());
    suite.stop().await.unwrap();
}

/// Returns the methods between the README's markers.
fn listed() -> BTreeSet<String> {
    let list = README
        .split_once("<!-- unimplemented:begin -->")
        .and_then(|(_, rest)| rest.split_once("<!-- unimplemented:end -->"))
        .map(|(list, _)| list)
        .unwrap();
    list.split(|c: char| c == ',' || c.is_whitespace())
        .map(|method| method.trim_end_matches('.').to_owned())
        .filter(|method| !method.is_empty())
        .collect()
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET).unwrap();
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// Returns who may call a method, as it says itself.
fn callers(method: &MethodDescriptor) -> Vec<i32> {
    let pool = method.parent_pool();
    let extension = pool
        .get_extension_by_name("rapport.access.v1.allow")
        .unwrap();
    let options = method.options();
    let access = options.get_extension(&extension);
    let callers = access
        .as_message()
        .unwrap()
        .get_field_by_name("callers")
        .unwrap();
    let callers = callers.as_list().unwrap();
    callers.iter().filter_map(Value::as_enum_number).collect()
}

/// Returns a token for each kind of caller that needs one.
async fn tokens(suite: &TestSuite) -> anyhow::Result<HashMap<i32, String>> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let temporary = shop.welcome("Ann", None).await?;
    let client = shop.sign_in("ann", None, None).await?.visitor;
    let service =
        rapport::client::shop::service_token(&suite.channels, &shop.brand_id, &shop.api_key);
    Ok(HashMap::from([
        (Caller::Temporary.into(), temporary.session.access_token),
        (Caller::Client.into(), client.session.access_token),
        (Caller::Member.into(), shop.hire("Mia").await?.access_token),
        (Caller::Service.into(), service.await?),
        (Caller::Operator.into(), suite.operator_token.clone()),
        (Caller::Suite.into(), suite.suite_secret.clone()),
    ]))
}

/// Calls a method with an empty request, and waits for the first word of its answer.
async fn call(
    suite: &TestSuite,
    method: &MethodDescriptor,
    token: Option<&str>,
) -> Result<(), Status> {
    let service = method.parent_service();
    let addr = match service.package_name() {
        "rapport.identity.v1" => suite.suite.identity,
        "rapport.chat.v1" => suite.suite.chat,
        _ => suite.suite.attribution,
    };
    let channel = kit::server::channel(&format!("http://{addr}")).unwrap();
    let path: PathAndQuery = format!("/{}/{}", service.full_name(), method.name())
        .parse()
        .unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let mut metadata = tonic::metadata::MetadataMap::new();
    if let Some(token) = token {
        metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let extensions = Default::default();
    let empty = futures_util::stream::iter([()]);
    if method.is_server_streaming() {
        let request = Request::from_parts(metadata, extensions, empty);
        let mut answer = grpc.streaming(request, path, codec).await?.into_inner();
        answer.message().await.map(|_| ())
    } else {
        let request = Request::from_parts(metadata, extensions, empty);
        grpc.client_streaming(request, path, codec)
            .await
            .map(|_| ())
    }
}
