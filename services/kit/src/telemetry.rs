//! What operators see: logs, and metrics for whoever scrapes them.
//!
//! `docs/telemetry.md` lists every metric. Nothing personal, no token and no id is a label, and nothing
//! personal stands in a log (SPEC 58).

mod calls;
mod instruments;
mod logs;
mod scraping;

use std::net::SocketAddr;

use clap::Args;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::Registry;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) use self::{calls::CallLayer, instruments::meter};
pub use self::{
    instruments::{Count, Timing},
    logs::LogFormat,
};
use crate::server::{Listen, ServerError};

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
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The page of metrics has no place.
    #[error("metrics cannot be served")]
    Listen(#[source] ServerError),
    /// A library refuses to be set up, a defect of this build.
    #[error("metrics cannot be gathered")]
    Setup(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// The telemetry of the process, until it is stopped.
pub struct Telemetry {
    metrics_addr: Option<SocketAddr>,
    scraping: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Starts logging to standard error, by `filter` in the syntax of `RUST_LOG`, and what else `args`
    /// ask for. `process` is the name under which the process appears.
    ///
    /// Instruments that were used before measure nothing, so this comes first.
    ///
    /// # Errors
    ///
    /// [`TelemetryError`] when the page of metrics cannot be served.
    pub async fn start(
        args: &TelemetryArgs,
        process: &'static str,
        filter: &str,
    ) -> Result<Self, TelemetryError> {
        logs::start(args.log_format, filter);
        let mut telemetry = Self {
            metrics_addr: None,
            scraping: None,
        };
        if let Some(addr) = args.metrics_addr {
            let (listener, addr) = Listen::At(addr)
                .listener()
                .map_err(TelemetryError::Listen)?;
            let registry = gather(resource(process)).map_err(TelemetryError::Setup)?;
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

    /// Ends it.
    pub async fn stop(self) {
        if let Some(scraping) = self.scraping {
            scraping.abort();
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

/// Lets instruments measure, and returns where what they measure is found.
fn gather(resource: Resource) -> Result<Registry, opentelemetry_sdk::error::OTelSdkError> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()?;
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(exporter)
        .build();
    global::set_meter_provider(provider);
    Ok(registry)
}

#[cfg(test)]
mod tests;
