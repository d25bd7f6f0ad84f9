//! A collector of traces and metrics, by the contract of OpenTelemetry and none of our code.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    trace::v1::ResourceSpans,
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A running collector; it ends with the test's runtime.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    received: Received,
}

/// What has come so far.
#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<ResourceSpans>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Received {
    fn keep(&self, message: &impl Message) {
        self.bytes.lock().unwrap().extend(message.encode_to_vec());
    }
}

impl Collector {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = Received::default();
        let serving = Server::builder()
            .add_service(TraceServiceServer::new(received.clone()))
            .add_service(MetricsServiceServer::new(received.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        Ok(Self { endpoint, received })
    }

    /// Returns all spans, under the resource whose they are.
    pub(crate) fn spans(&self) -> Vec<ResourceSpans> {
        self.received.spans.lock().unwrap().clone()
    }

    /// Returns all that has come, as it went over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.received.bytes.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        self.keep(&request);
        self.spans.lock().unwrap().extend(request.resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.keep(&request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
