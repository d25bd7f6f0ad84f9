//! How far a consumer has come, as metrics tell it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;

use crate::{
    convert,
    event_log::Batch,
    telemetry::{Timing, meter},
};

static LAG: Timing<2> = Timing::new(
    "rapport.event.lag",
    "From what happened to the commit of its effects here",
    ["service", "source"],
);

/// What the consumer of one log knows of its own place.
pub(super) struct Progress {
    service: &'static str,
    source: &'static str,
    state: Arc<State>,
}

struct State {
    /// When all that had been told was last applied.
    apply_time: Mutex<Instant>,
    unread_count: AtomicI64,
}

impl Progress {
    /// Returns that of a consumer that has been told nothing yet.
    pub(super) fn new(service: &'static str, source: &'static str) -> Self {
        let state = Arc::new(State {
            apply_time: Mutex::new(Instant::now()),
            unread_count: AtomicI64::new(0),
        });
        let labels = [
            KeyValue::new("service", service),
            KeyValue::new("source", source),
        ];
        let (weak, of_staleness) = (Arc::downgrade(&state), labels.clone());
        meter()
            .f64_observable_gauge("rapport.event.staleness")
            .with_unit("s")
            .with_description("How long ago this service had last applied all that it was told")
            .with_callback(move |observer| {
                if let Some(state) = weak.upgrade() {
                    let time = *state
                        .apply_time
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    observer.observe(time.elapsed().as_secs_f64(), &of_staleness);
                }
            })
            .build();
        let weak = Arc::downgrade(&state);
        meter()
            .i64_observable_gauge("rapport.event.unread")
            .with_unit("{event}")
            .with_description(
                "How many events of the log this service has not read, as it was last told",
            )
            .with_callback(move |observer| {
                if let Some(state) = weak.upgrade() {
                    observer.observe(state.unread_count.load(Ordering::Relaxed), &labels);
                }
            })
            .build();
        Self {
            service,
            source,
            state,
        }
    }

    /// Notes that a batch has been applied; one without events says that there is nothing new.
    pub(super) fn note(&self, batch: &Batch, now: DateTime<Utc>) {
        for event in &batch.events {
            if let Some(time) = event.event_time.as_ref().and_then(convert::instant) {
                // Two machines' clocks may differ.
                let lag = (now - time).to_std().unwrap_or_default();
                LAG.record(lag, [self.service, self.source]);
            }
        }
        let state = &self.state;
        state
            .unread_count
            .store(batch.unread_count, Ordering::Relaxed);
        *state
            .apply_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}
