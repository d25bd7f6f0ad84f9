//! How long calls took, as a high dynamic range histogram.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What is longer is counted as this long.
const LONGEST: Duration = Duration::from_secs(600);
/// Three digits: a value is told to a thousandth of itself.
const DIGITS: u8 = 3;

/// Durations from a microsecond to ten minutes.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, micros(LONGEST), DIGITS);
        Self(histogram.expect("the bounds are in order and the digits few"))
    }
}

impl Latencies {
    /// Adds a duration.
    pub(super) fn record(&mut self, duration: Duration) {
        self.0.saturating_record(micros(duration));
    }

    /// Adds all of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("histograms of the same bounds can be added");
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Returns the milliseconds that the share `quantile` of them, 0 to 1, did not exceed; 0 of none.
    pub(super) fn millis_at(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(quantile)).as_secs_f64() * 1_000.0
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_that_was_recorded() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        for millis in 1..=50 {
            one.record(Duration::from_millis(millis));
            other.record(Duration::from_millis(millis + 50));
        }
        one.add(&other);
        let near = |expected: f64, millis: f64| (millis / expected - 1.0).abs() < 0.002;
        assert_eq!(one.len(), 100);
        assert!(near(50.0, one.millis_at(0.5)), "{one:?}");
        assert!(near(99.0, one.millis_at(0.99)), "{one:?}");
    }
}
