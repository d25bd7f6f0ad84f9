//! What operators see: logs, metrics and traces.
//!
//! `docs/telemetry.md` lists every metric. Nothing personal, no token and no id is a label, and nothing
//! personal stands in a log or a span (SPEC 58).

mod calls;
mod exporting;
mod instruments;
mod logs;
mod scraping;
mod traces;

use std::net::SocketAddr;

use clap::Args;
use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::SdkTracerProvider,
};
use prometheus::Registry;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) use self::{calls::CallLayer, instruments::meter, traces::pass_on};
pub use self::{
    exporting::{Collector, InvalidCollector},
    instruments::{Count, Timing},
    logs::LogFormat,
    traces::{Causes, trace_parent},
};
use crate::{
    config::ConfigError,
    server::{Listen, ServerError},
};

/// What is told to operators, and where.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// How log lines look.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_LOG_FORMAT",
        value_enum,
        default_value = "auto"
    )]
    pub log_format: LogFormat,
    /// What is logged, in the syntax of RUST_LOG.
    #[arg(long, global = true, env = "RAPPORT_LOG", default_value = "info")]
    pub log: String,
    /// Where Prometheus finds the page /metrics, as 127.0.0.1:9464 [default: nowhere].
    #[arg(long, global = true, env = "RAPPORT_METRICS_ADDR")]
    pub metrics_addr: Option<SocketAddr>,
    /// Collector that traces and metrics are sent to by OTLP over gRPC, http://HOST:PORT [default: what
    /// OTEL_EXPORTER_OTLP_ENDPOINT says, else none].
    #[arg(long, global = true, env = "RAPPORT_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Collector>,
    /// Which part of the calls that come without a trace begin one, from 0 to 1.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_TRACE_RATIO",
        default_value_t = 1.0,
        value_parser = ratio
    )]
    pub trace_ratio: f64,
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a ratio is a number from 0 to 1".to_owned()),
    }
}

impl TelemetryArgs {
    fn collector(&self) -> Result<Option<Collector>, TelemetryError> {
        const STANDARD: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        if self.otlp_endpoint.is_some() {
            return Ok(self.otlp_endpoint.clone());
        }
        match std::env::var(STANDARD) {
            Ok(text) if !text.is_empty() => {
                let invalid = |error: InvalidCollector| ConfigError::Invalid {
                    setting: STANDARD,
                    problem: error.to_string(),
                };
                Ok(Some(text.parse().map_err(invalid)?))
            }
            _ => Ok(None),
        }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A setting is wrong.
    #[error("a setting of telemetry is wrong")]
    Config(#[from] ConfigError),
    /// The page of metrics has no place.
    #[error("metrics cannot be served")]
    Listen(#[source] ServerError),
    /// A library refuses to be set up, a defect of this build.
    #[error("metrics cannot be gathered")]
    Setup(#[source] OTelSdkError),
    /// What sends to the collector cannot be set up.
    #[error("the collector cannot be sent to")]
    Collector(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// The telemetry of the process, until it is stopped.
pub struct Telemetry {
    metrics_addr: Option<SocketAddr>,
    scraping: Option<JoinHandle<()>>,
    tracing: Option<SdkTracerProvider>,
    metering: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// Starts logging to standard error, by `filter` in the syntax of `RUST_LOG`, and what else `args`
    /// ask for. `process` is the name under which the process appears.
    ///
    /// Instruments that were used before measure nothing, so this comes first.
    ///
    /// # Errors
    ///
    /// [`TelemetryError`] when the page of metrics cannot be served, or a setting is wrong. A collector
    /// need not be there.
    pub async fn start(
        args: &TelemetryArgs,
        process: &'static str,
        filter: &str,
    ) -> Result<Self, TelemetryError> {
        let collector = args.collector()?;
        let page = args.metrics_addr.map(|addr| Listen::At(addr).listener());
        let page = page.transpose().map_err(TelemetryError::Listen)?;
        let resource = resource(process);
        // Before the traces, which are counted too.
        let registry = page.is_some().then(Registry::new);
        let metering = meter_provider(&resource, registry.as_ref(), collector.as_ref())?;
        let tracing = match &collector {
            Some(collector) => Some(tracer_provider(resource, collector, args.trace_ratio)?),
            None => None,
        };
        let tracer = tracing.as_ref().map(|provider| provider.tracer("rapport"));
        logs::start(args.log_format, filter, tracer);
        let mut telemetry = Self {
            metrics_addr: None,
            scraping: None,
            tracing,
            metering,
        };
        if let (Some((listener, addr)), Some(registry)) = (page, registry) {
            tracing::info!(%addr, "metrics are served");
            telemetry.metrics_addr = Some(addr);
            telemetry.scraping = Some(tokio::spawn(scraping::serve(listener, registry)));
        }
        Ok(telemetry)
    }

    /// Returns where the page of metrics is.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Ends it: what is still to be sent is sent, within three seconds.
    pub async fn stop(self) {
        if let Some(scraping) = self.scraping {
            scraping.abort();
        }
        let mut deliveries: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        if let Some(provider) = self.tracing {
            // A failure is told by the library itself.
            deliveries.push(Box::new(move || drop(provider.shutdown())));
        }
        if let Some(provider) = self.metering {
            deliveries.push(Box::new(move || drop(provider.shutdown())));
        }
        if !exporting::flush(deliveries).await {
            tracing::warn!("the collector did not take the last spans and metrics in time");
        }
    }
}

/// Who speaks, in the words of OpenTelemetry's resource conventions.
fn resource(process: &'static str) -> Resource {
    Resource::builder()
        .with_service_name(process)
        .with_attributes([
            KeyValue::new("service.namespace", "rapport"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ])
        .build()
}

/// Lets instruments measure, if what they measure goes anywhere: into `registry`, to the collector.
fn meter_provider(
    resource: &Resource,
    registry: Option<&Registry>,
    collector: Option<&Collector>,
) -> Result<Option<SdkMeterProvider>, TelemetryError> {
    if registry.is_none() && collector.is_none() {
        return Ok(None);
    }
    let mut builder = SdkMeterProvider::builder().with_resource(resource.clone());
    if let Some(registry) = registry {
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false);
        builder = builder.with_reader(exporter.build().map_err(TelemetryError::Setup)?);
    }
    if let Some(collector) = collector {
        let exporter = collector.metrics().map_err(TelemetryError::Collector)?;
        builder = builder.with_reader(PeriodicReader::builder(exporter).build());
    }
    let provider = builder.build();
    global::set_meter_provider(provider.clone());
    Ok(Some(provider))
}

/// Has spans sent to the collector.
fn tracer_provider(
    resource: Resource,
    collector: &Collector,
    ratio: f64,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = collector.spans().map_err(TelemetryError::Collector)?;
    traces::turn_on();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(traces::CallSampler::of_ratio(ratio))
        .with_batch_exporter(exporter)
        .build())
}

#[cfg(test)]
pub(crate) mod tests;
