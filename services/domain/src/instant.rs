//! Arithmetic on instants that cannot fail.
//!
//! An instant is a `DateTime<Utc>` in whole microseconds: what both databases keep, and what rule 38
//! compares. `kit` truncates on the way in; nothing here rounds.
//!
//! Past the ends of the calendar (the years −262143 and +262142) an instant stays at the end, so
//! that a window of any length is a window and not a panic.

use chrono::{DateTime, TimeDelta, Utc};

/// Returns the instant `span` after `instant`, or the last one there is.
pub fn after(instant: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    let end = if span < TimeDelta::zero() {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    instant.checked_add_signed(span).unwrap_or(end)
}

/// Returns the instant `span` before `instant`, or the first one there is.
pub fn before(instant: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    let end = if span < TimeDelta::zero() {
        DateTime::<Utc>::MAX_UTC
    } else {
        DateTime::<Utc>::MIN_UTC
    };
    instant.checked_sub_signed(span).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_at_the_ends_of_the_calendar() {
        let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let day = TimeDelta::days(1);
        assert_eq!(before(first, day), first);
        assert_eq!(after(last, day), last);
        assert_eq!(after(first, -day), first);
        assert_eq!(before(last, -day), last);
        assert_eq!(before(after(first, day), day), first);
    }
}
