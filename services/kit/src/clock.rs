//! The one source of the present.
//!
//! A service holds one concrete [`Clock`] and passes instants inwards as values; `domain`, the
//! bodies of transactions and SQL never look at a clock (conventions 17 and 21).

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time, in whole microseconds, of the machine or of a test.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// Returns the clock of the machine.
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// Returns a clock that stands at `start` until it is advanced; its clones move together.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self {
            manual: Some(Arc::new(AtomicI64::new(start.timestamp_micros()))),
        }
    }

    /// Returns the present instant, truncated to microseconds, the unit of every stored time.
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.manual {
            Some(micros) => micros.load(Ordering::SeqCst),
            None => system_micros(),
        };
        DateTime::from_timestamp_micros(micros).expect("a clock stays within the years of chrono")
    }

    /// Returns how long ago some moment in the past is, the same for all clocks of the machine: for
    /// waits and rates, since it never goes back when somebody sets the machine's time.
    pub fn monotonic(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        match &self.manual {
            Some(micros) => {
                let micros = micros.load(Ordering::SeqCst);
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            }
            None => ORIGIN.get_or_init(Instant::now).elapsed(),
        }
    }

    /// Moves a manual clock forward; the machine's own cannot be moved and stays.
    pub fn advance(&self, by: TimeDelta) {
        if let (Some(micros), Some(by)) = (&self.manual, by.num_microseconds()) {
            micros.fetch_add(by.max(0), Ordering::SeqCst);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that all others must ask"
)]
fn system_micros() -> i64 {
    Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together_and_never_back() {
        let start = DateTime::from_timestamp_micros(1_000_000).unwrap();
        let clock = Clock::manual(start);
        let other = clock.clone();
        clock.advance(TimeDelta::seconds(5));
        clock.advance(TimeDelta::seconds(-9));
        assert_eq!(other.now(), start + TimeDelta::seconds(5));
    }
}
