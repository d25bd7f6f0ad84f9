//! Structured logs.
//!
//! Nothing personal and no token is ever logged (SPEC 58), also not at TRACE. For the code of the
//! suite that is a promise of ours. What libraries say below INFO is not ours to promise: a database
//! driver shows every value that it binds. So it is left out, whatever is asked for.

use std::{fmt, io::IsTerminal};

use clap::ValueEnum;
use opentelemetry::{Context, trace::TraceContextExt};
use opentelemetry_sdk::trace::Tracer;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The crates that may say what they like: those of the suite.
const OURS: [&str; 7] = [
    "attribution",
    "chat",
    "domain",
    "identity",
    "kit",
    "rapport",
    "rapport_proto",
];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text for a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error: `filter` is in the syntax of `RUST_LOG`, such as `info,kit=debug`.
/// Of libraries nothing below INFO is logged, whatever it says.
///
/// With `tracer`, spans of the suite go there, whatever the filter says.
///
/// A second call changes nothing.
pub(super) fn start(format: LogFormat, filter: &str, tracer: Option<Tracer>) {
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let filter = EnvFilter::new(filter).and(filter_fn(is_promised));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        let lines = lines.json().flatten_event(true);
        lines.map_event_format(WithTrace).boxed()
    } else {
        lines.boxed()
    };
    // A layer that is `None` would have every span and event that nobody wants weighed each time anew.
    let mut layers = vec![lines.with_filter(filter).boxed()];
    if let Some(tracer) = tracer {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let layer = layer.with_location(false).with_threads(false);
        let wanted = filter_fn(|metadata| is_ours(metadata) && *metadata.level() <= Level::DEBUG);
        layers.push(layer.with_filter(wanted).boxed());
    }
    let _ = tracing_subscriber::registry().with(layers).try_init();
}

/// JSON lines that begin with the ids of the trace in which they are written, where there is one.
struct WithTrace(Format<Json>);

impl<S, N> FormatEvent<S, N> for WithTrace
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let present = Context::current();
        let trace = present.span().span_context().clone();
        if !trace.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let (trace_id, span_id) = (trace.trace_id(), trace.span_id());
        let fields = line.strip_prefix('{').ok_or(fmt::Error)?;
        write!(
            writer,
            "{{\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\",{fields}"
        )
    }
}

/// Tells whether what is logged under these metadata is known to hold nothing personal.
fn is_promised(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || is_ours(metadata)
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let crate_name = target.split_once("::").map_or(target, |(name, _)| name);
    OURS.contains(&crate_name)
}
