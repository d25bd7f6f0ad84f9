//! By which of the Brand's rules an order is credited.
//!
//! | field                   | range                    | default      | SPEC |
//! |-------------------------|--------------------------|--------------|------|
//! | `window`                | 1 µs to 3,650 days       | 14 days      | 38   |
//! | `model`                 | see [`Model`]            | `LAST_TOUCH` | 40   |
//! | `retroactive_links`     |                          | no           | 42   |
//! | `clock_tolerance`       | 0 to 24 hours            | 2 minutes    | 42   |
//! | `typed_email_allowed`   |                          | no           | 36   |
//! | `commission_rate`       | 0 to 1,000,000 per million | 0          | 43   |
//!
//! The rate has no default but zero: what a Member earns is for the Brand to say. The house has no
//! rate of its own: it keeps what cannot be divided (SPEC 40).
//!
//! A Brand's policy is a series of revisions, each with the instant from which it counts, which may
//! lie in the past:
//!
//! | the order was placed …             | it counts by                                               |
//! |------------------------------------|------------------------------------------------------------|
//! | before every effective time        | the default policy, as revision 0                          |
//! | at or after some                   | the greatest effective time of those, then the greatest revision |
//!
//! Source: SPEC 36, 38, 40, 42 to 44.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{label::labels, money::PartsPerMillion, person::Horizon};

/// The rules by which a Brand credits orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributionPolicy {
    /// How old the last message of a conversation may be.
    pub window: Window,
    /// By how much the Brand's clock may be behind ours.
    pub clock_tolerance: ClockTolerance,
    /// Who is credited where several Members could be.
    pub model: Model,
    /// Whether a link or an upgrade serves orders placed before it as well.
    pub retroactive_links: bool,
    /// Whether an e-mail that nobody attested finds a buyer.
    pub typed_email_allowed: bool,
    /// What part of his share a Member earns.
    pub commission_rate: PartsPerMillion,
}

/// The span before an order in which the last message must lie: 1 microsecond to 3,650 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(TimeDelta);

/// The span by which a link or an upgrade may come after the order it serves: 0 to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockTolerance(TimeDelta);

/// Who is credited where several Members could be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Model {
    /// The Member of the most recent last message, alone.
    #[default]
    LastTouch,
    /// The Member of the earliest first message, alone.
    FirstTouch,
    /// Every Member the same, each with one chatroom.
    EvenSplit,
}

labels!(Model {
    LastTouch => "LAST_TOUCH",
    FirstTouch => "FIRST_TOUCH",
    EvenSplit => "EVEN_SPLIT",
});

/// A policy from the instant on from which it counts. Never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributionPolicyRevision {
    /// Counts the Brand's policies, from 1. 0 is the default policy, before any.
    pub revision: u64,
    /// Orders placed at or after it count by the policy. May lie in the past.
    pub effective_time: DateTime<Utc>,
    /// When it was set.
    pub create_time: DateTime<Utc>,
    /// The policy.
    pub policy: AttributionPolicy,
}

/// A policy's span is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttributionPolicy {
    /// The window.
    #[error("window must be more than zero and at most 3650 days")]
    Window,
    /// The tolerance for the Brand's clock.
    #[error("clock tolerance must be 0 to 24 hours")]
    ClockTolerance,
}

impl Window {
    /// Returns a window of that length.
    ///
    /// # Errors
    ///
    /// [`InvalidAttributionPolicy::Window`].
    pub fn new(length: TimeDelta) -> Result<Self, InvalidAttributionPolicy> {
        if length < TimeDelta::microseconds(1) || length > TimeDelta::days(3_650) {
            return Err(InvalidAttributionPolicy::Window);
        }
        Ok(Self(length))
    }

    /// Returns its length.
    pub const fn length(self) -> TimeDelta {
        self.0
    }
}

impl Default for Window {
    /// 14 days (SPEC 38).
    fn default() -> Self {
        Self(TimeDelta::days(14))
    }
}

impl ClockTolerance {
    /// Returns a tolerance of that length.
    ///
    /// # Errors
    ///
    /// [`InvalidAttributionPolicy::ClockTolerance`].
    pub fn new(length: TimeDelta) -> Result<Self, InvalidAttributionPolicy> {
        if length < TimeDelta::zero() || length > TimeDelta::hours(24) {
            return Err(InvalidAttributionPolicy::ClockTolerance);
        }
        Ok(Self(length))
    }

    /// Returns its length.
    pub const fn length(self) -> TimeDelta {
        self.0
    }
}

impl Default for ClockTolerance {
    /// 2 minutes (SPEC 42).
    fn default() -> Self {
        Self(TimeDelta::minutes(2))
    }
}

impl AttributionPolicy {
    /// Returns up to when links and upgrades serve an order placed at `order_time`.
    ///
    /// Source: SPEC 42.
    pub fn horizon(&self, order_time: DateTime<Utc>) -> Horizon {
        if self.retroactive_links {
            return Horizon::Unbounded;
        }
        Horizon::of_order(order_time, self.clock_tolerance.length())
    }
}

impl AttributionPolicyRevision {
    /// Returns the revision that counts for an order placed at `order_time`, from `revisions` in
    /// whatever order.
    ///
    /// Source: SPEC 44.
    pub fn in_force(revisions: &[Self], order_time: DateTime<Utc>) -> Self {
        revisions
            .iter()
            .filter(|revision| revision.effective_time <= order_time)
            .max_by_key(|revision| (revision.effective_time, revision.revision))
            .copied()
            .unwrap_or(Self {
                revision: 0,
                effective_time: DateTime::<Utc>::MIN_UTC,
                create_time: DateTime::<Utc>::MIN_UTC,
                policy: AttributionPolicy::default(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn check(revisions: &[(u64, i64)], order_second: i64, expected: u64) {
        let mut revisions: Vec<_> = revisions
            .iter()
            .map(|(revision, effective)| AttributionPolicyRevision {
                revision: *revision,
                effective_time: at(*effective),
                create_time: at(0),
                policy: AttributionPolicy::default(),
            })
            .collect();
        let found = AttributionPolicyRevision::in_force(&revisions, at(order_second));
        assert_eq!(found.revision, expected);
        revisions.reverse();
        let found = AttributionPolicyRevision::in_force(&revisions, at(order_second));
        assert_eq!(found.revision, expected, "reversed");
    }

    #[test]
    fn the_greatest_effective_time_counts_then_the_greatest_revision() {
        check(&[], 5, 0); // SPEC 44
        check(&[(1, 10)], 9, 0);
        check(&[(1, 10)], 10, 1);
        check(&[(1, 10), (2, 20)], 19, 1);
        check(&[(1, 10), (2, 20)], 20, 2);
        check(&[(1, 20), (2, 10)], 20, 1); // the later revision counts from an earlier instant
        check(&[(1, 20), (2, 10)], 15, 2);
        check(&[(1, 10), (2, 10)], 10, 2);
    }

    #[test]
    fn the_default_is_14_days_and_2_minutes() {
        let policy = AttributionPolicy::default();
        assert_eq!(policy.window, Window::new(TimeDelta::days(14)).unwrap()); // SPEC 38
        assert_eq!(policy.clock_tolerance.length(), TimeDelta::minutes(2)); // SPEC 42
        assert_eq!(policy.commission_rate.parts(), 0);
    }

    #[test]
    fn spans_out_of_range_are_refused() {
        let (day, none) = (TimeDelta::days(1), TimeDelta::zero());
        let invalid = Err(InvalidAttributionPolicy::Window);
        assert_eq!(Window::new(none), invalid);
        assert_eq!(Window::new(-day), invalid);
        assert_eq!(Window::new(day * 3_651), invalid);
        let invalid = Err(InvalidAttributionPolicy::ClockTolerance);
        assert_eq!(ClockTolerance::new(-day), invalid);
        assert_eq!(ClockTolerance::new(day * 2), invalid);
        assert!(ClockTolerance::new(none).is_ok());
    }

    #[test]
    fn a_link_serves_orders_up_to_the_tolerance_before_it() {
        let policy = AttributionPolicy::default();
        let (order, link) = (at(1_000), at(1_120));
        assert!(policy.horizon(order).reaches(link)); // SPEC 42: exactly 2 minutes
        let late = link + TimeDelta::microseconds(1);
        assert!(!policy.horizon(order).reaches(late));
        let retroactive = AttributionPolicy {
            retroactive_links: true,
            ..policy
        };
        assert!(retroactive.horizon(order).reaches(late));
    }
}
