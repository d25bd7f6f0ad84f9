//! From the wire inwards and back: instants, fields.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use crate::error::CallError;

/// Returns the wire form of an instant.
pub fn timestamp(instant: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: instant.timestamp(),
        // Below 10^9, or below 2 * 10^9 in a leap second: both fit.
        nanos: i32::try_from(instant.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// Returns the instant of a timestamp, truncated to microseconds, or `None` outside the years 1 to
/// 9999 that `google.protobuf.Timestamp` allows.
pub fn instant(timestamp: &Timestamp) -> Option<DateTime<Utc>> {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_10000: i64 = 253_402_300_800;
    let nanos = u32::try_from(timestamp.nanos).ok()?;
    if !(YEAR_1..YEAR_10000).contains(&timestamp.seconds) || nanos >= 1_000_000_000 {
        return None;
    }
    DateTime::from_timestamp(timestamp.seconds, nanos / 1_000 * 1_000)
}

/// Returns the value of a request's field, or the refusal that names it.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] with the parser's reason; the value itself is not repeated, since it
/// may be personal.
pub fn field<T, E: std::fmt::Display>(
    name: &'static str,
    parsed: Result<T, E>,
) -> Result<T, CallError> {
    parsed.map_err(|reason| CallError::field(name, reason))
}

/// Returns the instant in a required field.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] when it is missing or out of range.
pub fn required_instant(
    name: &'static str,
    timestamp: Option<&Timestamp>,
) -> Result<DateTime<Utc>, CallError> {
    optional_instant(name, timestamp)?.ok_or_else(|| CallError::field(name, "is required"))
}

/// Returns the instant in a field that may be absent.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] when it is out of range.
pub fn optional_instant(
    name: &'static str,
    timestamp: Option<&Timestamp>,
) -> Result<Option<DateTime<Utc>>, CallError> {
    let Some(timestamp) = timestamp else {
        return Ok(None);
    };
    let instant = instant(timestamp).ok_or_else(|| CallError::field(name, "is out of range"))?;
    Ok(Some(instant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_kept_to_the_microsecond() {
        let wire = Timestamp {
            seconds: 1_700_000_000,
            nanos: 123_456_789,
        };
        let kept = instant(&wire).unwrap();
        assert_eq!(timestamp(kept).nanos, 123_456_000);
    }

    #[test]
    fn timestamps_out_of_range_are_refused() {
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(instant(&Timestamp { seconds, nanos }), None);
        }
    }
}
