//! Chance that can be repeated.

use chrono::{DateTime, TimeDelta, Utc};

use crate::tests::day;

/// Numbers that follow from a seed (splitmix64), so that a world can be made again.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Once in so many times.
    pub(super) fn is(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(u64::try_from(from.len()).unwrap());
        from[usize::try_from(index).unwrap()]
    }

    /// An instant of a coarse grid, so that some are equal.
    pub(super) fn instant(&mut self, first_day: i64, last_day: i64) -> DateTime<Utc> {
        let steps = u64::try_from((last_day - first_day) * 4).unwrap();
        let hours = i64::try_from(self.below(steps + 1)).unwrap() * 6;
        day(first_day) + TimeDelta::hours(hours)
    }

    pub(super) fn repeat_some<T: Clone>(&mut self, facts: &mut Vec<T>) {
        let repeated: Vec<T> = facts.iter().filter(|_| self.is(3)).cloned().collect();
        facts.extend(repeated);
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(u64::try_from(last + 1).unwrap());
            items.swap(last, usize::try_from(other).unwrap());
        }
    }
}
