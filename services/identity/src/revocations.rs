//! Which access tokens identity itself must refuse, although they have not expired.
//!
//! It learns of them as the other services do, from its event log: a replica then also hears what
//! another one revoked, within a second.

use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use kit::{
    access::Revocations,
    db::{Db, StoreError},
    event_log::{self, Batch, Start},
    server::Lifetime,
};

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

type Batches = BoxStream<'static, Result<Batch, StoreError>>;

/// Returns the revocations, kept current for as long as the service lives.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn follow(db: &Db, lifetime: &Lifetime) -> Result<Revocations, StoreError> {
    let mut batches = watch(db, lifetime, Start::End);
    // The first batch fixes the end: what is read from the tables after it misses nothing that the
    // log will not tell.
    let first = match batches.next().await {
        Some(first) => first?,
        None => return Err(StoreError::Unavailable("the service is stopping".into())),
    };
    let revocations = Revocations::load(db, None).await?;
    revocations.observe(&first.events);
    let task = observe(
        db.clone(),
        lifetime.clone(),
        revocations.clone(),
        batches,
        first.position,
    );
    lifetime.tasks.spawn(task);
    Ok(revocations)
}

fn watch(db: &Db, lifetime: &Lifetime, start: Start) -> Batches {
    event_log::watch(db.clone(), start, None, lifetime.shutdown.clone()).boxed()
}

/// Follows the log until the service stops, and again from the last position when it is lost.
async fn observe(
    db: Db,
    lifetime: Lifetime,
    known: Revocations,
    mut batches: Batches,
    mut position: String,
) {
    loop {
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    known.observe(&batch.events);
                    position = batch.position;
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "event log lost, reading on from the last position"
                ),
            }
        }
        tokio::select! {
            () = lifetime.shutdown.cancelled() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
        let start = position.parse().map_or(Start::Beginning, Start::After);
        batches = watch(&db, &lifetime, start);
    }
}
