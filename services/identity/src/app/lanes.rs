//! Lets equal sign-ins of this process pass one after another.
//!
//! A browser that signs in from ten tabs at once sends ten transactions about one customer, of which
//! the database lets one pass and the others try again. Waiting here is cheaper. It is no more than
//! that: across processes, and where a caller goes away while his transaction runs on, the
//! transaction and the schema keep the result one (SPEC 13).

use std::hash::{DefaultHasher, Hash, Hasher};

use domain::id::{BrandId, CustomerId};
use tokio::sync::{Mutex, MutexGuard};

/// Few enough to forget about, many enough that two customers seldom share one.
const LANES: usize = 1_024;

/// A fixed number of queues, so that no number of customers makes memory grow.
pub(super) struct Lanes(Vec<Mutex<()>>);

impl Default for Lanes {
    fn default() -> Self {
        Self((0..LANES).map(|_| Mutex::new(())).collect())
    }
}

impl Lanes {
    /// Waits until no other sign-in of this customer is under way.
    pub(super) async fn enter(
        &self,
        brand_id: &BrandId,
        customer_id: &CustomerId,
    ) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (brand_id, customer_id).hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % (LANES as u64)).unwrap_or(0);
        self.0[lane].lock().await
    }
}
