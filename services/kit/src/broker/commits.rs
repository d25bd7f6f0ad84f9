//! Replicas wake each other: a commit in one is told to the others, who then look into the database.
//!
//! It carries nothing and promises nothing. Who misses it, looks a moment later by himself.

use async_nats::connection::State;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Broker, BrokerError};
use crate::{backoff::Backoff, db::Db};

pub(super) async fn share(broker: Broker, db: Db, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let failure = tokio::select! {
            () = shutdown.cancelled() => return,
            Err(failure) = exchange(&broker, &db) => failure,
        };
        tracing::warn!(
            error = &failure as &dyn std::error::Error,
            "commits are not shared with the other replicas"
        );
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(backoff.wait()) => {}
        }
    }
}

async fn exchange(broker: &Broker, db: &Db) -> Result<std::convert::Infallible, BrokerError> {
    let subject = format!("rapport.commits.{}", broker.name);
    let mut own = db.own_commits();
    let told = broker.client.subscribe(subject.clone()).await;
    let mut told = told.map_err(BrokerError::request("subscribe to commits"))?;
    loop {
        tokio::select! {
            _ = own.changed() => {
                // What waited for a broker would be told when all have looked long ago.
                if broker.client.connection_state() != State::Connected {
                    continue;
                }
                let publish = broker.client.publish(subject.clone(), Default::default()).await;
                publish.map_err(BrokerError::request("tell of a commit"))?;
            }
            message = told.next() => {
                message.ok_or(BrokerError::Ended)?;
                db.wake_readers();
            }
        }
    }
}
