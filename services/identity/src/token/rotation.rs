//! When a signing key is made, signs, and is published. Pure.
//!
//! | a key is …  | from                            | until                                    |
//! |-------------|---------------------------------|------------------------------------------|
//! | published   | when it was made                | the last token under it has expired      |
//! | signing     | an hour later; the first, at once | its successor signs                    |
//!
//! All of it follows from when the keys were made, so that replicas which read the same rows agree
//! without a leader, also when one of them is asleep while the other makes a key. Instants are those of
//! the keys that are kept, newest first.

use chrono::{DateTime, TimeDelta, Utc};
use kit::access::ACCESS_TOKEN_TTL;

/// How long a key is published before it signs: far longer than the key set may be kept, and than a
/// replica takes to see the key.
pub(super) const LEAD: TimeDelta = TimeDelta::hours(1);
/// How long a key is published after it signed last: as long as tokens live, and five minutes more for
/// clocks that differ.
pub(super) const OVERLAP: TimeDelta = TimeDelta::seconds(ACCESS_TOKEN_TTL.num_seconds() + 5 * 60);

/// Tells whether it is time for another key.
pub(super) fn is_due(
    create_times: &[DateTime<Utc>],
    now: DateTime<Utc>,
    lifetime: TimeDelta,
) -> bool {
    create_times
        .first()
        .is_none_or(|newest| *newest + lifetime <= now)
}

/// Returns which key signs at `now`; of no keys, none.
pub(super) fn signing(create_times: &[DateTime<Utc>], now: DateTime<Utc>) -> Option<usize> {
    let old_enough = create_times.iter().position(|made| *made + LEAD <= now);
    old_enough.or_else(|| create_times.len().checked_sub(1))
}

/// Returns how many of the keys, from the newest on, are published at `now`.
pub(super) fn published(create_times: &[DateTime<Utc>], now: DateTime<Utc>) -> usize {
    let successor_of_oldest = create_times
        .iter()
        .position(|successor| *successor + LEAD + OVERLAP <= now);
    successor_of_oldest.map_or(create_times.len(), |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: TimeDelta = TimeDelta::days(30);

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn check(made: &[i64], now: i64, expected: (bool, Option<usize>, usize)) {
        let times: Vec<_> = made.iter().map(|minutes| at(*minutes)).collect();
        let found = (
            is_due(&times, at(now), MONTH),
            signing(&times, at(now)),
            published(&times, at(now)),
        );
        assert_eq!(found, expected, "{made:?} at {now}");
    }

    #[test]
    fn the_first_key_signs_at_once_and_a_month_later_it_is_time_for_another() {
        check(&[], 0, (true, None, 0));
        check(&[0], 0, (false, Some(0), 1));
        check(&[0], 30 * 24 * 60 - 1, (false, Some(0), 1));
        check(&[0], 30 * 24 * 60, (true, Some(0), 1));
    }

    #[test]
    fn the_next_key_is_published_for_an_hour_before_it_signs() {
        check(&[1_000, 0], 1_000, (false, Some(1), 2));
        check(&[1_000, 0], 1_059, (false, Some(1), 2));
        check(&[1_000, 0], 1_060, (false, Some(0), 2));
    }

    #[test]
    fn a_key_is_published_until_all_that_it_signed_has_expired() {
        check(&[1_000, 0], 1_074, (false, Some(0), 2));
        check(&[1_000, 0], 1_075, (false, Some(0), 1));
        check(&[2_000, 1_000, 0], 2_010, (false, Some(1), 2));
    }

    #[test]
    fn a_key_from_the_future_of_a_slow_clock_does_not_sign_yet() {
        check(&[1_000, 0], 900, (false, Some(1), 2));
    }
}
