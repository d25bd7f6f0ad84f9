//! Finishes what an erasure or the passing of time has begun.
//!
//! Which erasures are not complete stands in the database, so a service that starts after a crash goes
//! on where it was. There is no leader: two replicas ask the same questions, whose answers do not
//! depend on how often they are asked, and note each answer once.

use std::{sync::Arc, time::Duration};

use kit::{backoff::Backoff, ids::Ids};
use rapport_proto::{
    attribution::v1::{ExportPersonRequest, export_person_response::Record},
    chat::v1::ErasePersonRequest,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::{
    app::{App, DoneBy, ErasedPerson, Peers},
    error::IdentityError,
    model::Erasure,
};

/// How soon a replica looks after what another one has begun.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A peer that is silent for so long is asked again.
const CALL_LIMIT: Duration = Duration::from_secs(30);
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// Asks chat and attribution for every running erasure until they are done, and until `shutdown`.
pub(crate) async fn run(app: Arc<App>, ids: Ids, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let round = tokio::select! {
            () = shutdown.cancelled() => return,
            round = round(&app, &ids) => round,
        };
        let pause = match round {
            Ok(0) => LOOK_INTERVAL,
            Ok(_) => backoff.wait(),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "erasures do not go on, trying again");
                backoff.wait()
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = app.erasure_begun() => backoff.reset(),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Erases temporary accounts that nobody uses, once a minute, until `shutdown`.
pub(crate) async fn run_expiry(app: Arc<App>, shutdown: CancellationToken) {
    loop {
        if let Err(error) = app.expire_unused().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "unused accounts are not erased, trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EXPIRY_INTERVAL) => {}
        }
    }
}

/// Asks once about each running erasure, and returns how many are still running.
async fn round(app: &App, ids: &Ids) -> Result<usize, IdentityError> {
    let peers = app.peers();
    let mut running = 0;
    let mut last: Option<Erasure> = None;
    loop {
        let page = app.running_erasures(last.as_ref()).await?;
        let Some(end) = page.last() else {
            return Ok(running);
        };
        last = Some(end.erasure.clone());
        for person in page {
            let known = DoneBy::of(&person.erasure);
            let done = DoneBy {
                chat: ask(&person, "chat", erase_in_chat(peers, ids, &person)).await,
                attribution: ask(&person, "attribution", is_applied(peers, &person)).await,
            };
            let erasure = if done == known {
                person.erasure
            } else {
                app.note_erasure(&person.erasure, done).await?
            };
            running += usize::from(erasure.complete_time.is_none());
        }
    }
}

/// Returns what a peer answers; one that does not is not done yet.
async fn ask(
    person: &ErasedPerson,
    peer: &'static str,
    answer: impl Future<Output = Result<bool, Status>>,
) -> bool {
    answer.await.unwrap_or_else(|status| {
        let erasure_id = person.erasure.erasure_id;
        let code = status.code();
        tracing::warn!(erasure.id = %erasure_id, peer, ?code, "{peer} does not answer for erasure {erasure_id}, asking again");
        false
    })
}

/// Has chat erase the person, step by step; returns whether it is complete.
async fn erase_in_chat(peers: &Peers, ids: &Ids, person: &ErasedPerson) -> Result<bool, Status> {
    if person.erasure.chat_complete_time.is_some() {
        return Ok(true);
    }
    loop {
        let mut request = Request::new(ErasePersonRequest {
            brand_id: person.erasure.brand_id.to_string(),
            erasure_id: person.erasure.erasure_id.to_string(),
            account_ids: account_ids(person),
            request_id: ids.next::<Uuid>().to_string(),
        });
        request.set_timeout(CALL_LIMIT);
        let answer = peers.chat.clone().erase_person(request).await?;
        if answer.into_inner().complete {
            return Ok(true);
        }
    }
}

/// Returns whether attribution, which hears of erasures by event, has applied this one.
async fn is_applied(peers: &Peers, person: &ErasedPerson) -> Result<bool, Status> {
    if person.erasure.attribution_complete_time.is_some() {
        return Ok(true);
    }
    let mut request = Request::new(ExportPersonRequest {
        brand_id: person.erasure.brand_id.to_string(),
        account_ids: account_ids(person),
    });
    request.set_timeout(CALL_LIMIT);
    let stream = peers.attribution.clone().export_person(request).await?;
    // Until it has been applied the person is exported, which is not what was asked for.
    let first = stream.into_inner().message().await?;
    // It may be one that this database has forgotten since it was restored: the accounts are the same.
    Ok(matches!(
        first.and_then(|first| first.record),
        Some(Record::ErasureApplied(_))
    ))
}

fn account_ids(person: &ErasedPerson) -> Vec<String> {
    person.account_ids.iter().map(ToString::to_string).collect()
}
