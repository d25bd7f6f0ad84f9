//! The key sets that Brands publish on servers of their own, as they were last fetched.
//!
//! | a set                         | what happens                                                        |
//! |-------------------------------|---------------------------------------------------------------------|
//! | younger than [`LIFETIME`]     | it is used, and nothing is asked                                    |
//! | without the `kid` of a token  | it is fetched anew, if the last try was [`COOLDOWN`] ago or longer   |
//! | older than [`LIFETIME`]       | likewise; until it is there, it is used up to the age of [`MAX_AGE`] |
//! | older than [`MAX_AGE`]        | it proves nothing                                                   |
//!
//! Those who need one set at once wait for one fetch. A fetch that was begun runs to its end, also
//! when the caller goes away: nobody can begin more than one in each [`COOLDOWN`].

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{BrandId, KeyId};
use quick_cache::sync::Cache;

use super::{
    KeySet,
    key_server::{KeyServer, Reach},
};

/// For how long a set is not asked for again. A Brand that publishes a key this long before it signs
/// with it, and withdraws it this long after, rotates without a refused sign-in.
pub(super) const LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// How long after a try the next one may follow, whoever asks.
pub(super) const COOLDOWN: TimeDelta = TimeDelta::seconds(10);
/// For how long a set is used while the Brand's server is away.
const MAX_AGE: TimeDelta = TimeDelta::hours(1);
/// How many sets are kept, each of at most 64 KiB; beyond that the least used are fetched again.
const MAX_SETS: usize = 4_096;

/// Keeps what was fetched.
pub(crate) struct PublishedKeys {
    server: Arc<KeyServer>,
    sets: Cache<KeyId, Arc<Entry>>,
}

/// Where a set is published.
pub(super) struct Publication<'a> {
    pub(super) brand_id: &'a BrandId,
    pub(super) key_id: KeyId,
    pub(super) uri: &'a str,
}

/// A set as it is known now.
pub(super) struct Published {
    /// Absent where it was never fetched, or too long ago.
    pub(super) key_set: Option<Arc<KeySet>>,
    /// Whether the last try to fetch it succeeded.
    pub(super) is_current: bool,
}

#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    /// Held by the one who fetches.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct State {
    /// The last set, and when it was fetched.
    kept: Option<(Arc<KeySet>, DateTime<Utc>)>,
    /// When the last try began that is over.
    try_time: Option<DateTime<Utc>>,
}

impl PublishedKeys {
    pub(crate) fn new(reach: Reach) -> Self {
        Self {
            server: Arc::new(KeyServer::new(reach)),
            sets: Cache::new(MAX_SETS),
        }
    }

    /// Returns where sets may be fetched from.
    pub(crate) fn reach(&self) -> Reach {
        self.server.reach()
    }

    /// Returns the set, fetched anew if it is of `max_age` and may be asked for.
    pub(super) async fn get(
        &self,
        publication: &Publication<'_>,
        max_age: TimeDelta,
        now: DateTime<Utc>,
    ) -> Published {
        let entry = self.entry(publication.key_id);
        if entry.state().is_due(max_age, now) {
            let fetch = fetch(
                Arc::clone(&self.server),
                Arc::clone(&entry),
                (publication.brand_id.clone(), publication.key_id),
                publication.uri.to_owned(),
                (max_age, now),
            );
            // One that panicked has left the state as it was.
            let _ = tokio::spawn(fetch).await;
        }
        entry.state().published(now)
    }

    fn entry(&self, key_id: KeyId) -> Arc<Entry> {
        let made: Result<_, std::convert::Infallible> =
            self.sets.get_or_insert_with(&key_id, || Ok(Arc::default()));
        match made {
            Ok(entry) => entry,
        }
    }
}

impl Entry {
    fn state(&self) -> State {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Notes a try that is over, and what it brought.
    fn note(&self, key_set: Option<KeySet>, now: DateTime<Utc>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.try_time = Some(now);
        if let Some(key_set) = key_set {
            state.kept = Some((Arc::new(key_set), now));
        }
    }
}

impl State {
    fn is_due(&self, max_age: TimeDelta, now: DateTime<Utc>) -> bool {
        let is_past = |time: DateTime<Utc>, age| now - time >= age;
        let is_old = self
            .kept
            .as_ref()
            .is_none_or(|(_, fetch_time)| is_past(*fetch_time, max_age));
        is_old && self.try_time.is_none_or(|time| is_past(time, COOLDOWN))
    }

    fn published(self, now: DateTime<Utc>) -> Published {
        let fetch_time = self.kept.as_ref().map(|(_, fetch_time)| *fetch_time);
        Published {
            is_current: fetch_time.is_some() && fetch_time == self.try_time,
            key_set: self
                .kept
                .filter(|(_, fetch_time)| now - *fetch_time < MAX_AGE)
                .map(|(key_set, _)| key_set),
        }
    }
}

/// Fetches the set, unless somebody else has done so while this waited for its turn.
async fn fetch(
    server: Arc<KeyServer>,
    entry: Arc<Entry>,
    (brand_id, key_id): (BrandId, KeyId),
    uri: String,
    (max_age, now): (TimeDelta, DateTime<Utc>),
) {
    let _turn = entry.flight.lock().await;
    if !entry.state().is_due(max_age, now) {
        return;
    }
    let fetched = server.fetch(&uri).await;
    if let Err(error) = &fetched {
        tracing::warn!(
            brand.id = %brand_id,
            assertion_key.id = %key_id,
            error = error as &dyn std::error::Error,
            "key set {key_id} could not be fetched"
        );
    }
    entry.note(fetched.ok(), now);
}
