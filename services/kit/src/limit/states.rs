//! What a limit remembers, in bounded memory.

use governor::{nanos::Nanos, state::StateStore};
use quick_cache::sync::{Cache, EntryAction, EntryResult};

/// Half of a SHA-256 digest: whoever could make two names meet would only share a limit with himself.
pub(super) type Key = [u8; 16];

/// How many keys a limit remembers.
pub const CAPACITY: usize = 65_536;

/// When each key's next call would be due. A key that is forgotten begins anew; the cache forgets keys
/// that were used once before those that are used again and again.
pub(super) struct States(Cache<Key, Nanos>);

impl States {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl StateStore for States {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let entry = self.0.entry(key, None, |_, state| {
            EntryAction::Retain(decide(Some(*state)).map(|(answer, next)| {
                *state = next;
                answer
            }))
        });
        match entry {
            EntryResult::Retained(answer) => answer,
            EntryResult::Vacant(place) => {
                let (answer, next) = decide(None)?;
                // A place that was lost meanwhile is a key forgotten.
                let _ = place.insert(next);
                Ok(answer)
            }
            EntryResult::Removed(..) | EntryResult::Replaced(..) | EntryResult::Timeout => {
                unreachable!("an entry is retained by the function above, without a time limit")
            }
        }
    }
}
