//! The one source of new ids.

use uuid::{ContextV7, Timestamp, Uuid};

use crate::clock::Clock;

/// Makes UUIDv7 ids in the time of a [`Clock`], so that they sort by when they were made (RFC 9562).
#[derive(Clone, Debug)]
pub struct Ids {
    clock: Clock,
    context: std::sync::Arc<std::sync::Mutex<ContextV7>>,
}

impl Ids {
    /// Returns a source of ids in the time of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            context: std::sync::Arc::new(std::sync::Mutex::new(ContextV7::new())),
        }
    }

    /// Returns an id that no earlier call gave, as any typed id: `let account: AccountId = ids.next()`.
    pub fn next<Id: From<Uuid>>(&self) -> Id {
        let now = self.clock.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let context = self
            .context
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let timestamp = Timestamp::from_unix(&*context, seconds, now.timestamp_subsec_nanos());
        Id::from(Uuid::new_v7(timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_at_one_instant_still_differ_and_sort() {
        let ids = Ids::new(Clock::manual(Default::default()));
        let made: Vec<Uuid> = (0..1_000).map(|_| ids.next()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
