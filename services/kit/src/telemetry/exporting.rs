//! Traces and metrics, sent to a collector by OTLP over gRPC.

use std::{str::FromStr, time::Duration};

use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use tokio::sync::mpsc;
use tonic::codegen::http::Uri;

/// How long one delivery may take.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// How long a stop waits for the last delivery.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Where a collector is: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(String);

/// A text that is not the address of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a collector's address is http://HOST:PORT")]
pub struct InvalidCollector;

impl FromStr for Collector {
    type Err = InvalidCollector;

    fn from_str(text: &str) -> Result<Self, InvalidCollector> {
        let uri: Uri = text.parse().map_err(|_| InvalidCollector)?;
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err(InvalidCollector);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Collector {
    pub(super) fn spans(&self) -> Result<SpanExporter, ExporterBuildError> {
        SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&self.0)
            .with_timeout(EXPORT_LIMIT)
            .build()
    }

    pub(super) fn metrics(&self) -> Result<MetricExporter, ExporterBuildError> {
        MetricExporter::builder()
            .with_tonic()
            .with_endpoint(&self.0)
            .with_timeout(EXPORT_LIMIT)
            .build()
    }
}

/// Does all of these, each in a thread of its own, and tells whether they ended in time. A thread that
/// waits for a collector which answers nothing holds up neither a worker nor the end of the process.
pub(super) async fn flush(deliveries: Vec<Box<dyn FnOnce() + Send>>) -> bool {
    let (under_way, mut ended) = mpsc::channel::<()>(1);
    for deliver in deliveries {
        let under_way = under_way.clone();
        std::thread::spawn(move || {
            deliver();
            drop(under_way);
        });
    }
    drop(under_way);
    tokio::time::timeout(FLUSH_LIMIT, ended.recv())
        .await
        .is_ok()
}
