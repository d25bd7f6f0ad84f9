//! A person is erased in all services (SPEC 55).

use kit::testing::TestEngine;
use rapport::{
    client::{
        Channels, request_id,
        shop::{Shop, Visitor},
        wait_until,
    },
    suite,
};
use rapport_proto::{
    attribution::v1::{AttributionReason, Money},
    chat::v1::{Chatroom, ListMessagesRequest, Message},
    event::v1::{AccountState, MessageKind},
    identity::v1::{
        EraseAccountRequest, Erasure, ErasureState, GetAccountRequest, GetErasureRequest,
        MergePolicyPreset, SignInOutcomeKind,
    },
};
use tonic::Code;

use crate::harness::TestSuite;

fn paid() -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units: 12_000,
    }
}

async fn erase(shop: &Shop, account_id: &str) -> anyhow::Result<Erasure> {
    let request = EraseAccountRequest {
        account_id: account_id.to_owned(),
        request_id: request_id(),
    };
    let response = shop.service.clone().accounts.erase_account(request).await?;
    response
        .into_inner()
        .erasure
        .ok_or_else(|| anyhow::anyhow!("the answer holds the erasure"))
}

async fn wait_for_completion(shop: &Shop, erasure_id: &str) {
    wait_until("the erasure is complete", async || {
        let request = GetErasureRequest {
            erasure_id: erasure_id.to_owned(),
        };
        let found = shop.service.clone().accounts.get_erasure(request).await?;
        let erasure = found.into_inner().erasure.unwrap_or_default();
        Ok((erasure.state() == ErasureState::Complete).then_some(()))
    })
    .await
    .unwrap();
}

async fn messages(visitor: &rapport::client::Caller, chatroom: &Chatroom) -> Vec<Message> {
    let request = ListMessagesRequest {
        chatroom_id: chatroom.chatroom_id.clone(),
        ..Default::default()
    };
    let listed = visitor.chat.clone().list_messages(request).await.unwrap();
    listed.into_inner().messages
}

async fn assert_nothing_is_left(shop: &Shop, visitor: &Visitor) {
    let account_id = visitor.account.account_id.clone();
    let request = GetAccountRequest { account_id };
    let found = shop.service.clone().accounts.get_account(request).await;
    let account = found.unwrap().into_inner().account.unwrap();
    assert_eq!(account.state(), AccountState::Erased); // SPEC 19: the id resolves
    assert_eq!((account.username, account.email), Default::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_left_and_what_was_booked_stays() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        let before = shop.sign_in("ann", None, None).await.unwrap().visitor;
        let old = before.open_direct(&member).await.unwrap();
        before.caller.say(&old, "Is anybody there?").await.unwrap();
        let temporary = shop.welcome("Ann", Some("ann@mail.example")).await.unwrap();
        let recent = temporary.open_direct(&member).await.unwrap();
        temporary.caller.say(&recent, "In blue?").await.unwrap();
        member
            .caller
            .say(&recent, "It comes in blue, Ann.")
            .await
            .unwrap();
        let email = Some("ann@shop.example");
        let signed_in = shop.sign_in("ann", email, Some(&temporary)).await.unwrap();
        assert_eq!(signed_in.outcome.kind(), SignInOutcomeKind::Linked);
        shop.order("first", "ann", paid()).await.unwrap();
        let booked = async || {
            let balance = shop.balance(&member.id, "EUR").await?;
            Ok((balance == 1_200).then_some(()))
        };
        wait_until("the order is booked", booked).await.unwrap();

        let temporary_id = &temporary.account.account_id;
        let (one, other) = tokio::join!(erase(&shop, temporary_id), erase(&shop, temporary_id));
        let erasure = one.unwrap();
        assert_eq!(other.unwrap().erasure_id, erasure.erasure_id);
        assert_eq!(erasure.account_ids.len(), 2);
        wait_for_completion(&shop, &erasure.erasure_id).await;

        assert_nothing_is_left(&shop, &temporary).await;
        assert_nothing_is_left(&shop, &before).await;
        for (room, kept) in [(&old, 1), (&recent, 2)] {
            let left = messages(&member.caller, room).await;
            assert_eq!(left.len(), kept);
            for message in left {
                assert_eq!(
                    (message.kind(), message.content.is_none()),
                    (MessageKind::Text, true)
                );
            }
        }
        assert_eq!(member.caller.chatrooms().await.unwrap().len(), 2);
        let refused = member.caller.say(&recent, "Are you there?").await;
        assert!(format!("{:?}", refused.unwrap_err()).contains("is erased"));
        wait_until("the client is refused", async || {
            match signed_in.visitor.caller.chatrooms().await {
                Ok(_) => Ok(None),
                Err(refused) => Ok(Some(refused.downcast::<tonic::Status>()?)),
            }
        })
        .await
        .map(|status| assert_eq!(status.code(), Code::Unauthenticated)) // SPEC 59
        .unwrap();

        wait_until("the ledger is as it was", booked).await.unwrap();
        shop.order("second", "ann", paid()).await.unwrap();
        let second = shop.attribution("second").await.unwrap();
        assert_eq!(second.reason(), AttributionReason::BuyerErased); // SPEC 55
        wait_until("the first order is frozen", async || {
            let first = shop.attribution("first").await?;
            Ok(first.frozen.then_some(()))
        })
        .await
        .unwrap();
        wait_until("the ledger is as it was", booked).await.unwrap();

        let again = shop.sign_in("ann", None, None).await.unwrap().visitor;
        assert!(!erasure.account_ids.contains(&again.account.account_id)); // SPEC 55
        assert!(again.caller.chatrooms().await.unwrap().is_empty());
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_goes_on_when_the_services_come_back() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        let visitor = shop.welcome("Ann", None).await.unwrap();
        let room = visitor.open_direct(&member).await.unwrap();
        visitor.caller.say(&room, "In blue?").await.unwrap();
        let remains = suite.halt().await.unwrap();

        // Identity alone: it erases what it has, and asks in vain for the rest.
        let config = remains.identity();
        let server = suite::build(kit::config::ServiceName::Identity, config)
            .await
            .unwrap();
        let nobody = ([127, 0, 0, 1], 1).into();
        let channels = Channels::new(server.local_addr(), nobody, nobody).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.run_until(async {
            let _ = stopped.await;
        }));
        let secret = shop.assertion_secret.clone();
        let alone = Shop::reopen(&channels, &shop.brand_id, &shop.api_key, secret)
            .await
            .unwrap();
        let erasure = erase(&alone, &visitor.account.account_id).await.unwrap();
        assert_eq!(erasure.state(), ErasureState::Running);
        drop(stop);
        running.await.unwrap().unwrap();

        let suite = remains.restart().await.unwrap();
        let secret = shop.assertion_secret.clone();
        let shop = Shop::reopen(&suite.channels, &shop.brand_id, &shop.api_key, secret)
            .await
            .unwrap();
        wait_for_completion(&shop, &erasure.erasure_id).await; // SPEC 55
        let member = suite.channels.caller(&member.access_token).unwrap();
        let left = messages(&member, &room).await;
        assert!(left.len() == 1 && left[0].content.is_none());
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_at_the_moment_of_an_erasure_is_cleared_or_refused() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        let visitor = shop.welcome("Ann", None).await.unwrap();
        let room = visitor.open_direct(&member).await.unwrap();
        visitor.caller.say(&room, "In blue?").await.unwrap();
        let talking = async {
            let mut said = 1;
            while member.caller.say(&room, "It comes in blue.").await.is_ok() {
                said += 1;
            }
            said
        };
        let (said, erasure) = tokio::join!(talking, erase(&shop, &visitor.account.account_id));
        wait_for_completion(&shop, &erasure.unwrap().erasure_id).await;
        let left = messages(&member.caller, &room).await;
        assert_eq!(left.len(), said.min(50), "{engine:?}");
        assert!(left.iter().all(|message| message.content.is_none())); // SPEC 55
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_database_put_back_from_before_is_erased_again() {
    let suite = TestSuite::start(TestEngine::Sqlite).await.unwrap();
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let member = shop.hire("Mia").await.unwrap();
    let visitor = shop.welcome("Ann", None).await.unwrap();
    let room = visitor.open_direct(&member).await.unwrap();
    visitor.caller.say(&room, "In blue?").await.unwrap();
    let remains = suite.halt().await.unwrap();
    let backup = remains.back_up_chat().unwrap();

    let suite = remains.restart().await.unwrap();
    let reopen = async |channels: &Channels| {
        let secret = shop.assertion_secret.clone();
        let reopened = Shop::reopen(channels, &shop.brand_id, &shop.api_key, secret).await;
        reopened.unwrap()
    };
    let reopened = reopen(&suite.channels).await;
    let erased = erase(&reopened, &visitor.account.account_id).await;
    wait_for_completion(&reopened, &erased.unwrap().erasure_id).await;
    let remains = suite.halt().await.unwrap();
    remains.put_back_chat(&backup).unwrap();

    let suite = remains.restart().await.unwrap();
    let member = suite.channels.caller(&member.access_token).unwrap();
    wait_until("what came back is cleared", async || {
        let left = messages(&member, &room).await;
        Ok((left.len() == 1 && left[0].content.is_none()).then_some(()))
    })
    .await
    .unwrap(); // SPEC 55
    suite.stop().await.unwrap();
}
