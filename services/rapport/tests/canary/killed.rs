//! A `kill -9` in the middle of an erasure, which goes on as soon as the suite is there again (SPEC 55).

use std::collections::BTreeSet;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use rapport::client::{
    Caller, request_id,
    shop::{Shop, ShopMember},
};
use rapport_proto::{
    chat::v1::{ListMessagesRequest, MessageOrder},
    identity::v1::EraseAccountRequest,
};

use crate::{
    in_stores,
    installation::{Engine, Installation},
    search::{Canaries, Place},
    wait_until_complete,
};

/// Far more than chat clears in one step.
const MESSAGES: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_outlives_a_kill_on_sqlite() {
    Box::pin(check(Engine::Sqlite)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_outlives_a_kill_on_postgresql() {
    Box::pin(check(Engine::Postgres)).await.unwrap();
}

async fn check(engine: Engine) -> anyhow::Result<()> {
    let mut canaries = Canaries::default();
    let text = canaries.hatch("text", Place::Chat);
    let mut suite = Installation::start(engine).await?;
    let operator = suite.secret("operator_token")?;
    let shop = Shop::open(&suite.channels, &operator, "canary-shop").await?;
    let member = shop.hire("Mia").await?;
    let visitor = shop.welcome("Ann", None).await?;
    let chatroom = visitor.open_direct(&member).await?;
    stream::iter(0..MESSAGES)
        .map(|_| async {
            visitor.caller.say(&chatroom, &text).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(64)
        .try_collect::<()>()
        .await?;

    let request = EraseAccountRequest {
        account_id: visitor.account.account_id.clone(),
        request_id: request_id(),
    };
    let answer = shop.service.accounts.clone().erase_account(request).await?;
    let erasure = answer.into_inner().erasure.context("the answer holds it")?;
    while !is_first_cleared(&member, &chatroom.chatroom_id).await? {}
    suite.kill();
    let left = |suite: &Installation| anyhow::Ok(in_stores(suite, &canaries)?[1].1.clone());
    // Else the kill came too late to show anything.
    assert_eq!(left(&suite)?, BTreeSet::from(["text"]));

    suite.restart().await?;
    let service = reopen(&suite, &shop).await?;
    wait_until_complete(&service, &erasure.erasure_id).await?;
    assert_eq!(left(&suite)?, BTreeSet::new()); // SPEC 55
    Ok(())
}

async fn is_first_cleared(member: &ShopMember, chatroom_id: &str) -> anyhow::Result<bool> {
    let request = ListMessagesRequest {
        chatroom_id: chatroom_id.to_owned(),
        order: MessageOrder::OldestFirst.into(),
        page_size: 1,
        ..Default::default()
    };
    let page = member.caller.chat.clone().list_messages(request).await?;
    let first = page.into_inner().messages.pop();
    Ok(first.context("messages stay")?.erase_time.is_some())
}

async fn reopen(suite: &Installation, shop: &Shop) -> anyhow::Result<Caller> {
    let secret = shop.assertion_secret.clone();
    let shop = Shop::reopen(&suite.channels, &shop.brand_id, &shop.api_key, secret).await?;
    Ok(shop.service)
}
