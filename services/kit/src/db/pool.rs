//! What is told of a pool of connections, by OpenTelemetry's database conventions.

use deadpool::Status;
use opentelemetry::KeyValue;

use crate::telemetry::{Timing, meter};

const POOL_NAME: &str = "db.client.connection.pool.name";

/// How long callers waited for a connection.
pub(super) static WAIT_TIME: Timing<1> = Timing::new(
    "db.client.connection.wait_time",
    "How long it took to obtain a connection from the pool",
    [POOL_NAME],
);

/// Of one instrument the values, each with the state of the connections that it counts, where it does.
type Values = fn(Status) -> Vec<(Option<&'static str>, usize)>;

/// Has `status` asked for whenever metrics are read, until it says that the pool is gone.
pub(super) fn observe(
    service: &'static str,
    status: impl Fn() -> Option<Status> + Clone + Send + Sync + 'static,
) {
    let gauge = |name, unit, values: Values| {
        let status = status.clone();
        meter()
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_callback(move |observer| {
                for (state, count) in status().map(values).unwrap_or_default() {
                    let state =
                        state.map(|state| KeyValue::new("db.client.connection.state", state));
                    let labels: Vec<_> = [KeyValue::new(POOL_NAME, service)]
                        .into_iter()
                        .chain(state)
                        .collect();
                    observer.observe(i64::try_from(count).unwrap_or(i64::MAX), &labels);
                }
            })
            .build();
    };
    gauge("db.client.connection.count", "{connection}", |status| {
        let used = status.size.saturating_sub(status.available);
        vec![(Some("idle"), status.available), (Some("used"), used)]
    });
    gauge("db.client.connection.max", "{connection}", |status| {
        vec![(None, status.max_size)]
    });
    gauge(
        "db.client.connection.pending_requests",
        "{request}",
        |status| vec![(None, status.waiting)],
    );
}
