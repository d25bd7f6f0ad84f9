//! Following chatrooms over real sockets (SPEC 33).

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use kit::testing::TestEngine;
use rapport::client::{Caller, request_id, wait_until};
use rapport_proto::{
    chat::v1::{WatchChatroomsRequest, WatchChatroomsResponse, watch_chatrooms_response::Update},
    identity::v1::{ListLinksRequest, MergePolicyPreset, RevokeLinkRequest},
};
use tonic::{Code, Status, Streaming};

use crate::harness::{TestSuite, assert_refused};

pub(crate) type Stream = Streaming<WatchChatroomsResponse>;

pub(crate) async fn watch(caller: &Caller, resume_position: &str) -> anyhow::Result<Stream> {
    let request = WatchChatroomsRequest {
        resume_position: resume_position.to_owned(),
        ..Default::default()
    };
    let answer = caller.chat.clone().watch_chatrooms(request).await?;
    Ok(answer.into_inner())
}

/// Reads until `wanted` is told, and returns it.
pub(crate) async fn until(
    stream: &mut Stream,
    mut wanted: impl FnMut(&Update) -> bool,
) -> anyhow::Result<WatchChatroomsResponse> {
    let read = async {
        loop {
            let response = stream.message().await?.context("the stream goes on")?;
            if response.update.as_ref().is_some_and(&mut wanted) {
                return Ok(response);
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), read).await?
}

fn has_caught_up(update: &Update) -> bool {
    matches!(update, Update::Heartbeat(_))
}

/// Reads a stream that its reader has left alone for too long, and returns the last position.
async fn read_to_end(
    mut stream: Stream,
    told: &mut BTreeSet<i64>,
) -> anyhow::Result<(String, Status)> {
    let mut position = String::new();
    loop {
        match stream.message().await {
            Ok(response) => {
                let response = response.context("a stream does not end without a word")?;
                position = response.position;
                if let Some(Update::Message(message)) = response.update {
                    told.insert(message.sequence);
                }
            }
            Err(status) => return Ok((position, status)),
        }
    }
}

/// More than a client's windows, the server's buffers and a watcher's queue hold together.
const MESSAGES: i64 = 600;

async fn leave_alone(suite: &TestSuite) -> anyhow::Result<()> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let member = shop.hire("Max").await?;
    let visitor = shop.welcome("Ann", None).await?;
    let chatroom = visitor.open_direct(&member).await?;
    let max = suite.channels.caller(&member.access_token)?;
    let mut slow = watch(&max, "").await?;
    until(&mut slow, has_caught_up).await?;
    let mut quick = watch(&visitor.caller, "").await?;
    let last = |update: &Update| matches!(update, Update::Message(message) if message.sequence == MESSAGES);
    let reading = tokio::spawn(async move { until(&mut quick, last).await });
    let text = "\u{1F600}".repeat(4_000);
    for _ in 0..MESSAGES {
        visitor.caller.say(&chatroom, &text).await?;
    }
    reading.await??;

    let mut told = BTreeSet::new();
    let (position, status) = read_to_end(slow, &mut told).await?;
    assert_refused(
        Err::<(), _>(status),
        Code::ResourceExhausted,
        "WATCHER_TOO_SLOW",
    );
    ensure!(told.len() < 600, "he was told all {} before", told.len());
    let mut resumed = watch(&max, &position).await?;
    let collect = |update: &Update| {
        if let Update::Message(message) = update {
            told.insert(message.sequence);
        }
        has_caught_up(update)
    };
    until(&mut resumed, collect).await?;
    ensure!(told == (1..=MESSAGES).collect(), "some were lost"); // SPEC 33
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_his_stream_unread_is_cut_off_and_resumes_without_loss() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        Box::pin(leave_alone(&suite)).await.unwrap();
        suite.stop().await.unwrap();
    }
}

/// A visitor signs in on a second device while his first one watches; then the link was wrong.
async fn link_and_revoke(suite: &TestSuite) -> anyhow::Result<()> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let member = shop.hire("Max").await?;
    let first = shop.sign_in("ann", None, None).await?.visitor;
    let mut watching = watch(&first.caller, "").await?;
    until(&mut watching, has_caught_up).await?;
    let second = shop.welcome("Ann", None).await?;
    let chatroom = second.open_direct(&member).await?;
    second.caller.say(&chatroom, "hello").await?;
    shop.sign_in("ann", None, Some(&second)).await?;
    let id = chatroom.chatroom_id.clone();
    let shown =
        |update: &Update| matches!(update, Update::Chatroom(room) if room.chatroom_id == id);
    until(&mut watching, shown).await?; // SPEC 22
    let max = suite.channels.caller(&member.access_token)?;
    max.say(&chatroom, "welcome back").await?;
    let said = |update: &Update| matches!(update, Update::Message(one) if one.sequence == 2);
    until(&mut watching, said).await?;

    let mut links = shop.service.links.clone();
    let request = ListLinksRequest {
        account_id: first.account.account_id.clone(),
        ..Default::default()
    };
    let listed = links.list_links(request).await?.into_inner().links;
    let request = RevokeLinkRequest {
        link_id: listed[0].link_id.clone(),
        reason: "somebody else".to_owned(),
        request_id: request_id(),
    };
    links.revoke_link(request).await?;
    let hidden =
        |update: &Update| matches!(update, Update::Hidden(hidden) if hidden.chatroom_id == id);
    until(&mut watching, hidden).await?; // SPEC 16
    let rooms = wait_until("the list is empty", async || {
        let rooms = first.caller.chatrooms().await?;
        Ok(rooms.is_empty().then_some(rooms))
    });
    rooms.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_elsewhere_shows_a_chatroom_and_the_end_of_its_link_hides_it() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        Box::pin(link_and_revoke(&suite)).await.unwrap();
        suite.stop().await.unwrap();
    }
}
