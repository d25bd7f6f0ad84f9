//! Between the wire and the values inside: parses requests, shows results.

pub(crate) mod account;
pub(crate) mod audit_entry;
pub(crate) mod brand;
pub(crate) mod erasure;
pub(crate) mod event;
pub(crate) mod key;
pub(crate) mod link;
pub(crate) mod session;

use chrono::{DateTime, TimeDelta, Utc};
use kit::{convert::timestamp, error::CallError, page};
use prost_types::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::IdentityError;

/// A place in a list that is ordered by time and then by id, as page tokens have it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct WirePlace {
    /// In microseconds since 1970.
    micros: i64,
    id: Uuid,
}

impl WirePlace {
    /// Returns the place of what was made at `time`.
    pub(crate) fn of(time: DateTime<Utc>, id: impl Into<Uuid>) -> Self {
        Self {
            micros: time.timestamp_micros(),
            id: id.into(),
        }
    }

    /// Returns time and id.
    ///
    /// # Errors
    ///
    /// [`CallError::PageTokenInvalid`] for a time that nothing was made at.
    pub(crate) fn read<Id: From<Uuid>>(&self) -> Result<(DateTime<Utc>, Id), CallError> {
        Ok((page::instant(self.micros)?, self.id.into()))
    }
}

/// The most characters of a name for people.
pub(crate) const MAX_DISPLAY_NAME: usize = 120;

/// Returns a text without the white space around it: 1 to `max_characters`, none a control character.
pub(crate) fn text(
    field: &'static str,
    text: &str,
    max_characters: usize,
) -> Result<String, IdentityError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(IdentityError::field(field, "must not be blank"));
    }
    optional_text(field, text, max_characters)
}

/// Returns a text that may be empty.
pub(crate) fn optional_text(
    field: &'static str,
    text: &str,
    max_characters: usize,
) -> Result<String, IdentityError> {
    if text.chars().count() > max_characters {
        let problem = format!("must have at most {max_characters} characters");
        return Err(IdentityError::field(field, problem));
    }
    if text.chars().any(char::is_control) {
        return Err(IdentityError::field(
            field,
            "must have no control characters",
        ));
    }
    Ok(text.to_owned())
}

/// Returns the seconds of a duration in `range`, or `default` where there is none.
pub(crate) fn seconds(
    field: &'static str,
    duration: Option<&Duration>,
    range: std::ops::RangeInclusive<TimeDelta>,
    default: TimeDelta,
) -> Result<i64, IdentityError> {
    let Some(duration) = duration else {
        return Ok(default.num_seconds());
    };
    let in_range = (range.start().num_seconds()..=range.end().num_seconds())
        .contains(&duration.seconds)
        && duration.nanos == 0;
    if !in_range {
        let problem = format!(
            "must be whole seconds, {} to {}",
            range.start().num_seconds(),
            range.end().num_seconds()
        );
        return Err(IdentityError::field(field, problem));
    }
    Ok(duration.seconds)
}

/// Returns a time as what a page token is bound to.
pub(crate) fn bound(time: Option<&Timestamp>) -> Option<(i64, i32)> {
    time.map(|time| (time.seconds, time.nanos))
}

/// Returns the wire form of a number of seconds.
pub(crate) fn duration(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

/// Returns the wire form of an instant that may be absent.
pub(crate) fn optional_timestamp(instant: Option<DateTime<Utc>>) -> Option<Timestamp> {
    instant.map(timestamp)
}

/// Returns what stands for a revision of a resource.
pub(crate) fn etag(revision: i64) -> String {
    revision.to_string()
}
