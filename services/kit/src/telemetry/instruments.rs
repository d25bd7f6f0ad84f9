//! What is counted and timed.
//!
//! A label's value is one of this program's words, of which there is a closed set: never an id, nor a
//! text that somebody gave. Every instrument stands in `docs/telemetry.md`, by name, unit and labels.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

/// In seconds: those of the RPC conventions; three below them, where most of our calls end, and three
/// above, for what waits.
const DURATION_BOUNDS: [f64; 20] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0, 30.0, 60.0, 300.0,
];

/// Returns where instruments are made; before [`Telemetry::start`](super::Telemetry::start) they
/// measure nothing, for good.
pub(crate) fn meter() -> Meter {
    global::meter("rapport")
}

/// How often something happened.
pub struct Count<const LABELS: usize> {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    labels: [&'static str; LABELS],
    counter: OnceLock<Counter<u64>>,
}

impl<const LABELS: usize> Count<LABELS> {
    /// Returns a count under a dotted name; `unit` is what is counted, as `{order}`.
    pub const fn new(
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        labels: [&'static str; LABELS],
    ) -> Self {
        Self {
            name,
            unit,
            description,
            labels,
            counter: OnceLock::new(),
        }
    }

    /// Adds to what has these labels, which come in the order of their declaration.
    pub fn add(&self, count: u64, values: [&'static str; LABELS]) {
        let counter = self.counter.get_or_init(|| {
            meter()
                .u64_counter(self.name)
                .with_unit(self.unit)
                .with_description(self.description)
                .build()
        });
        counter.add(count, &labelled(self.labels, values));
    }
}

/// How long something took.
pub struct Timing<const LABELS: usize> {
    name: &'static str,
    description: &'static str,
    labels: [&'static str; LABELS],
    histogram: OnceLock<Histogram<f64>>,
}

impl<const LABELS: usize> Timing<LABELS> {
    /// Returns a histogram of seconds under a dotted name.
    pub const fn new(
        name: &'static str,
        description: &'static str,
        labels: [&'static str; LABELS],
    ) -> Self {
        Self {
            name,
            description,
            labels,
            histogram: OnceLock::new(),
        }
    }

    /// Notes one duration under these labels, which come in the order of their declaration.
    pub fn record(&self, duration: Duration, values: [&'static str; LABELS]) {
        let labels = labelled(self.labels, values);
        self.histogram().record(duration.as_secs_f64(), &labels);
    }

    pub(super) fn histogram(&self) -> &Histogram<f64> {
        self.histogram.get_or_init(|| {
            meter()
                .f64_histogram(self.name)
                .with_unit("s")
                .with_boundaries(DURATION_BOUNDS.to_vec())
                .with_description(self.description)
                .build()
        })
    }
}

fn labelled<const LABELS: usize>(
    labels: [&'static str; LABELS],
    values: [&'static str; LABELS],
) -> [KeyValue; LABELS] {
    std::array::from_fn(|index| KeyValue::new(labels[index], values[index]))
}
