//! The public keys among which a token's one is looked for: all of the Brand's, and no one else's.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join_all;
use jsonwebtoken::DecodingKey;

use super::super::{
    KeySet, Trust,
    published_keys::{COOLDOWN, LIFETIME, Publication, Published},
};
use crate::model::TokenAlgorithm;

/// The key sets in force.
pub(super) struct KeySets {
    sets: Vec<Arc<KeySet>>,
    /// Whether each published one is as its server has it.
    pub(super) are_complete: bool,
}

impl KeySets {
    /// Returns the key sets, those that are published fetched anew where they are old, or where
    /// none of all has the token's `kid`.
    pub(super) async fn find(key_id: Option<&str>, trust: &Trust<'_>) -> Self {
        let found = Self::of_age(LIFETIME, trust).await;
        match key_id {
            Some(key_id) if !found.have(key_id) => Self::of_age(COOLDOWN, trust).await,
            _ => found,
        }
    }

    async fn of_age(max_age: TimeDelta, trust: &Trust<'_>) -> Self {
        let in_force = || trust.keys.iter().filter(|key| key.is_in_force(trust.now));
        let inline = in_force().filter_map(|key| KeySet::from_json(key.key_set.as_deref()?));
        let mut sets: Vec<_> = inline.map(Arc::new).collect();
        let publications: Vec<_> = in_force()
            .filter_map(|key| {
                Some(Publication {
                    brand_id: &key.brand_id,
                    key_id: key.assertion_key_id,
                    uri: key.jwks_uri.as_deref()?,
                })
            })
            .collect();
        let get = |publication| trust.published_keys.get(publication, max_age, trust.now);
        let published: Vec<Published> = join_all(publications.iter().map(get)).await;
        let are_complete = published.iter().all(|published| published.is_current);
        sets.extend(
            published
                .into_iter()
                .filter_map(|published| published.key_set),
        );
        Self { sets, are_complete }
    }

    fn have(&self, key_id: &str) -> bool {
        let keys = self.sets.iter().flat_map(|set| set.keys());
        keys.filter_map(|key| key.key_id()).any(|own| own == key_id)
    }

    /// Returns the keys that may have signed: of that `kid`, where there is one, and made for the
    /// algorithm.
    pub(super) fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: TokenAlgorithm,
    ) -> Vec<DecodingKey> {
        let keys = self.sets.iter().flat_map(|set| set.keys());
        keys.filter(|key| key_id.is_none() || key.key_id() == key_id)
            .filter_map(|key| key.decoding_key(algorithm))
            .collect()
    }
}
