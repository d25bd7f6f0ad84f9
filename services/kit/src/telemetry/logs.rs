//! Structured logs.
//!
//! Nothing personal and no token is ever logged (SPEC 58), also not at TRACE. For the code of the
//! suite that is a promise of ours. What libraries say below INFO is not ours to promise: a database
//! driver shows every value that it binds. So it is left out, whatever is asked for.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
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
/// A second call changes nothing.
pub(super) fn start(format: LogFormat, filter: &str) {
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let filter = EnvFilter::new(filter).and(filter_fn(is_promised));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.boxed()
    };
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
}

/// Tells whether what is logged under these metadata is known to hold nothing personal.
fn is_promised(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let crate_name = target.split_once("::").map_or(target, |(name, _)| name);
    *metadata.level() <= Level::INFO || OURS.contains(&crate_name)
}
