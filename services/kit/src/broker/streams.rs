//! The streams: made where they are missing, and refused where somebody made them otherwise.

use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType, Stream,
};

use super::{Broker, BrokerError};

/// How long the broker drops a message that it has by its id.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Returns a stream of `subject` that keeps everything on disk.
///
/// # Errors
///
/// [`BrokerError::Stream`] when there is one that differs.
pub(super) async fn open(
    broker: &Broker,
    name: &str,
    subject: &str,
) -> Result<Stream, BrokerError> {
    let wanted = Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: broker.replica_count,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    };
    let stream = broker.jetstream.get_or_create_stream(wanted.clone()).await;
    let stream = stream.map_err(BrokerError::request("open a stream"))?;
    let settings = differences(&wanted, &stream.cached_info().config);
    if settings.is_empty() {
        return Ok(stream);
    }
    Err(BrokerError::Stream {
        stream: name.to_owned(),
        settings: settings.join(", "),
    })
}

fn differences(wanted: &Config, found: &Config) -> Vec<&'static str> {
    let is_unlimited = |limit: i64| limit <= 0;
    [
        ("subjects", found.subjects == wanted.subjects),
        ("retention", found.retention == wanted.retention),
        ("storage", found.storage == wanted.storage),
        ("num_replicas", found.num_replicas == wanted.num_replicas),
        (
            "duplicate_window",
            found.duplicate_window == wanted.duplicate_window,
        ),
        ("max_msgs", is_unlimited(found.max_messages)),
        (
            "max_msgs_per_subject",
            is_unlimited(found.max_messages_per_subject),
        ),
        ("max_bytes", is_unlimited(found.max_bytes)),
        ("max_age", found.max_age.is_zero()),
        ("no_ack", !found.no_ack),
        ("sealed", !found.sealed),
        (
            "persist_mode",
            found.persist_mode != Some(PersistenceMode::Async),
        ),
    ]
    .into_iter()
    .filter_map(|(setting, is_right)| (!is_right).then_some(setting))
    .collect()
}
