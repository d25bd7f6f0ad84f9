//! Calls of methods that are known by name alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::Context;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::{
    Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, metadata::MetadataMap,
    transport::Channel,
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

/// What a method answered, or first said on its stream.
#[derive(Clone, Debug)]
pub(super) struct Answer(Result<(), Status>);

impl Answer {
    /// Returns the reason of the refusal, or `ok`.
    pub(super) fn reason(&self) -> String {
        let Err(status) = &self.0 else {
            return "ok".to_owned();
        };
        let info = status.get_details_error_info();
        info.map_or_else(|| format!("{status:?}"), |info| info.reason)
    }

    /// Returns all that a caller sees of a refusal. The details are decoded, because the order of their
    /// metadata is not fixed, and counted, because nothing may stand beside what is decoded.
    pub(super) fn seen(&self) -> String {
        let Err(status) = &self.0 else {
            return "ok".to_owned();
        };
        let details = status.get_error_details();
        let info = details.error_info();
        let metadata: Option<BTreeMap<_, _>> = info.map(|info| info.metadata.iter().collect());
        format!(
            "{:?} {:?} {:?} {:?} {metadata:?} {:?} {:?} {} bytes",
            status.code(),
            status.message(),
            info.map(|info| &info.domain),
            info.map(|info| &info.reason),
            details.bad_request(),
            details.retry_info(),
            status.details().len(),
        )
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())
    }
}

/// Returns the methods of a server's services, gRPC's own left out, as it says by reflection.
pub(super) async fn reflected(channel: Channel) -> anyhow::Result<BTreeSet<String>> {
    let mut methods = BTreeSet::new();
    let services = ask(&channel, MessageRequest::ListServices(String::new())).await?;
    let MessageResponse::ListServicesResponse(services) = services else {
        anyhow::bail!("services are not listed: {services:?}");
    };
    let ours = |name: &String| !name.starts_with("grpc.");
    for name in services.service.into_iter().map(|s| s.name).filter(ours) {
        let files = ask(&channel, MessageRequest::FileContainingSymbol(name.clone())).await?;
        let MessageResponse::FileDescriptorResponse(files) = files else {
            anyhow::bail!("{name} is not described: {files:?}");
        };
        let mut pool = DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET)?;
        for file in &files.file_descriptor_proto {
            pool.decode_file_descriptor_proto(file.as_slice())?;
        }
        let service = pool.get_service_by_name(&name).context(name)?;
        let short = |method: MethodDescriptor| format!("{}.{}", service.name(), method.name());
        methods.extend(service.methods().map(short));
    }
    Ok(methods)
}

async fn ask(channel: &Channel, question: MessageRequest) -> anyhow::Result<MessageResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let requests = futures_util::stream::iter([request]);
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(requests).await?.into_inner();
    let answer = answers
        .message()
        .await?
        .context("reflection says nothing")?;
    answer.message_response.context("reflection says nothing")
}

/// Calls a method with a request in the text format, and waits for the first word of its answer.
pub(super) async fn call(
    channel: Channel,
    method: &MethodDescriptor,
    request: &str,
    token: Option<&str>,
) -> anyhow::Result<Answer> {
    let message = DynamicMessage::parse_text_format(method.input(), request)
        .with_context(|| format!("{}: {request}", method.full_name()))?;
    let service = method.parent_service();
    let path: PathAndQuery = format!("/{}/{}", service.full_name(), method.name()).parse()?;
    let mut metadata = MetadataMap::new();
    if let Some(token) = token {
        metadata.insert("authorization", format!("Bearer {token}").parse()?);
    }
    let requests = futures_util::stream::iter([message]);
    let request = Request::from_parts(metadata, Default::default(), requests);
    let codec = ProstCodec::<DynamicMessage, ()>::default();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let answer = if method.is_server_streaming() {
        match grpc.streaming(request, path, codec).await {
            Ok(answer) => answer.into_inner().message().await.map(|_| ()),
            Err(status) => Err(status),
        }
    } else {
        let answer = grpc.client_streaming(request, path, codec).await;
        answer.map(|_| ())
    };
    Ok(Answer(answer))
}
