//! Events through NATS: two replicas of each service tell each other what happened, also after the broker
//! was killed.

use kit::testing::{TestEngine, TestNats};
use rapport::client::{
    request_id,
    shop::{Shop, ShopMember},
    wait_until,
};
use rapport_proto::{
    attribution::v1::{AttributionOutcome, ListLedgerEntriesRequest, Money},
    chat::v1::watch_chatrooms_response::Update,
    identity::v1::{MergePolicyPreset, SignInOutcomeKind},
};

use crate::{
    harness::TestSuite,
    watching::{until, watch},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_of_each_service_agree_though_their_broker_is_killed() {
    let mut nats = TestNats::start().await;
    let suite = TestSuite::start_through(TestEngine::Postgres, nats.config()).await;
    let suite = suite.unwrap();
    let (other, channels) = suite.replica().await.unwrap();
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let secret = shop.assertion_secret.clone();
    let elsewhere = Shop::reopen(&channels, &shop.brand_id, &shop.api_key, secret).await;
    let elsewhere = elsewhere.unwrap();

    let member = shop.hire("Mia").await.unwrap();
    let mia = channels.caller(&member.access_token).unwrap();
    let mut stream = watch(&mia, "").await.unwrap();
    shop.sign_in("ann", None, None).await.unwrap();
    let visitor = shop.welcome("Ann", None).await.unwrap();
    let chatroom = visitor.open_direct(&member).await.unwrap();
    visitor.caller.say(&chatroom, "In blue?").await.unwrap();
    let is_message = |update: &Update| matches!(update, Update::Message(_));
    until(&mut stream, is_message).await.unwrap(); // SPEC 33

    nats.kill();
    mia.say(&chatroom, "In blue.").await.unwrap();
    let signed_in = elsewhere.sign_in("ann", None, Some(&visitor)).await;
    let signed_in = signed_in.unwrap();
    assert_eq!(signed_in.outcome.kind(), SignInOutcomeKind::Linked);
    let chatrooms = signed_in.visitor.caller.chatrooms().await.unwrap();
    assert_eq!(chatrooms.len(), 1, "his sign-in is known without a broker"); // SPEC 54
    let order_id = request_id();
    elsewhere.order(&order_id, "ann", euros(120)).await.unwrap();
    nats.restart().await;

    wait_until("the order is credited", async || {
        let outcome = shop.attribution(&order_id).await?.outcome();
        Ok((outcome == AttributionOutcome::Conversation).then_some(()))
    })
    .await
    .unwrap(); // SPEC 42
    wait_until("the order is paid for once", async || {
        Ok((entries(&shop, &member).await? == [1_200]).then_some(()))
    })
    .await
    .unwrap(); // SPEC 43
    other.stop().await.unwrap();
    suite.stop().await.unwrap();
}

fn euros(amount: i64) -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units: amount * 100,
    }
}

/// Returns the bookings for a Member.
async fn entries(shop: &Shop, member: &ShopMember) -> anyhow::Result<Vec<i64>> {
    let request = ListLedgerEntriesRequest {
        member_id: member.id.clone(),
        ..Default::default()
    };
    let attributions = &mut shop.service.clone().attributions;
    let response = attributions.list_ledger_entries(request).await?;
    let entries = response.into_inner().ledger_entries.into_iter();
    Ok(entries
        .filter_map(|entry| entry.amount)
        .map(|amount| amount.minor_units)
        .collect())
}
