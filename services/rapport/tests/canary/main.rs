//! Nothing personal and no secret is where it must not be (SPEC 53, 55, 58): the real program is run
//! with every log line it has, canaries are put into each field that somebody can fill, and all
//! that it leaves behind is searched for them.
//!
//! Each canary must be found where it belongs before it may be missed anywhere else: a search that
//! looks in the wrong place finds nothing, and fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/collector.rs"]
mod collector;
mod installation;
mod killed;
mod refusals;
mod search;
mod story;

use std::collections::BTreeSet;

use anyhow::Context;
use prost::Message;
use rapport::client::{Caller, request_id, wait_until};
use rapport_proto::{chat::v1 as chat, identity::v1 as identity};

use crate::{
    installation::{Engine, Installation},
    search::{Canaries, Place},
    story::Story,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_leaves_its_database_on_sqlite() {
    Box::pin(check(Engine::Sqlite)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_leaves_its_database_on_postgresql() {
    Box::pin(check(Engine::Postgres)).await.unwrap();
}

async fn check(engine: Engine) -> anyhow::Result<()> {
    let mut suite = Installation::start(engine).await?;
    let mut canaries = Canaries::default();
    let story = story::tell(&suite, &mut canaries).await?;

    let expected = [
        (
            "identity",
            canaries.names(&[Place::Identity, Place::IdentityForGood]),
        ),
        ("chat", canaries.names(&[Place::Chat])),
        ("attribution", BTreeSet::new()),
        ("images", BTreeSet::new()),
    ];
    assert_eq!(in_stores(&suite, &canaries)?, expected); // SPEC 31, 53, and that the search finds
    assert!(contains(&suite.images()?, "GIF89a"));

    let refused = canaries.hatch("what was refused", Place::Nowhere);
    let answers = refusals::provoke(&suite, &story, &refused).await?;
    assert_eq!(canaries.found_in(&answers), BTreeSet::new()); // SPEC 58
    let events = events(&story).await?;
    assert_eq!(canaries.found_in(&events), BTreeSet::new()); // SPEC 53

    erase(&story).await?;
    let expected = [
        ("identity", canaries.names(&[Place::IdentityForGood])),
        ("chat", BTreeSet::new()),
        ("attribution", BTreeSet::new()),
        ("images", BTreeSet::new()),
    ];
    assert_eq!(in_stores(&suite, &canaries)?, expected); // SPEC 55
    assert_eq!(suite.images()?, b"");
    let events = self::events(&story).await?;
    assert_eq!(canaries.found_in(&events), BTreeSet::new()); // SPEC 53

    suite.terminate();
    let log = suite.log()?;
    assert!(contains(&log, "SignIn") && contains(&log, "call answered"));
    assert_eq!(canaries.found_in(&log), BTreeSet::new()); // SPEC 58
    assert!(!suite.collector.spans().is_empty());
    let collected = suite.collector.bytes();
    assert!(contains(&collected, "SignIn") && contains(&collected, "rapport.sign_ins"));
    assert_eq!(canaries.found_in(&collected), BTreeSet::new()); // SPEC 58
    Ok(())
}

/// Erases the person, and waits until all services have.
async fn erase(story: &Story) -> anyhow::Result<()> {
    let service = &story.shop.service;
    let request = identity::EraseAccountRequest {
        account_id: story.temporary_account_id.clone(),
        request_id: request_id(),
    };
    let answer = service.accounts.clone().erase_account(request).await?;
    let erasure = answer.into_inner().erasure.context("the answer holds it")?;
    wait_until_complete(service, &erasure.erasure_id).await
}

async fn wait_until_complete(service: &Caller, erasure_id: &str) -> anyhow::Result<()> {
    wait_until("the person is erased in all services", async || {
        let request = identity::GetErasureRequest {
            erasure_id: erasure_id.to_owned(),
        };
        let answer = service.accounts.clone().get_erasure(request).await?;
        let erasure = answer.into_inner().erasure.context("the answer holds it")?;
        Ok((erasure.state() == identity::ErasureState::Complete).then_some(()))
    })
    .await
}

/// Returns which canaries each service's database holds, and the images.
fn in_stores(
    suite: &Installation,
    canaries: &Canaries,
) -> anyhow::Result<Vec<(&'static str, BTreeSet<&'static str>)>> {
    let contents = suite.databases()?.into_iter();
    let found = contents.map(|(service, content)| (service, canaries.found_in(&content)));
    let images = ("images", canaries.found_in(&suite.images()?));
    Ok(found.chain([images]).collect())
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// Returns every event of both logs so far, as it goes over the wire.
async fn events(story: &Story) -> anyhow::Result<Vec<u8>> {
    let mut service = story.shop.service.clone();
    let request = identity::WatchEventsRequest::default();
    let mut stream = service.links.watch_events(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(response) = stream.message().await? {
        match &response.content {
            Some(identity::watch_events_response::Content::Heartbeat(_)) if !bytes.is_empty() => {
                break;
            }
            _ => bytes.extend(response.encode_to_vec()),
        }
    }
    assert!(contains(&bytes, &story.client.account.account_id));
    let mut messages = service.message_events.clone();
    let request = chat::WatchEventsRequest::default();
    let mut stream = messages.watch_events(request).await?.into_inner();
    let before = bytes.len();
    while let Some(response) = stream.message().await? {
        match &response.content {
            Some(chat::watch_events_response::Content::Heartbeat(_)) if bytes.len() > before => {
                break;
            }
            _ => bytes.extend(response.encode_to_vec()),
        }
    }
    assert!(contains(&bytes[before..], &story.chatroom_id));
    Ok(bytes)
}
