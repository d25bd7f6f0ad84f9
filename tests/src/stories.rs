//! What happens to a conversation and its credit, told through all three services.

use kit::testing::TestEngine;
use rapport::client::{
    request_id,
    shop::{Shop, ShopMember, SignedIn, Visitor},
    wait_until,
};
use rapport_proto::{
    attribution::v1::{AttributionOutcome, ListLedgerEntriesRequest, Money},
    chat::v1::{Chatroom, ResumeChatroomRequest},
    event::v1::{event::Payload, sessions_revoked::Subject},
    identity::v1::{MergePolicyPreset, RevokeLinkRequest, SignInOutcomeKind, SignInRequest},
};

use crate::harness::{TestSuite, identity_events};

/// Case 3 of the document up to the sign-in: an old chatroom in which the Member never answered,
/// and a recent one in which he did.
struct CaseThree {
    member: ShopMember,
    temporary: Visitor,
    sign_in: SignInRequest,
    old: Chatroom,
    recent: Chatroom,
    client: Visitor,
    signed_in: SignedIn,
    customer_id: String,
}

async fn case_three(shop: &Shop) -> anyhow::Result<CaseThree> {
    let customer_id = format!("customer-{}", request_id());
    let member = shop.hire("Mia").await?;
    let before = shop.sign_in(&customer_id, None, None).await?.visitor;
    let old = before.open_direct(&member).await?;
    before.caller.say(&old, "Is anybody there?").await?;
    let temporary = shop.welcome("Ann", None).await?;
    let recent = temporary.open_direct(&member).await?;
    temporary
        .caller
        .say(&recent, "Does it come in blue?")
        .await?;
    member.caller.say(&recent, "It does.").await?;
    let sign_in = shop.sign_in_request(
        shop.assertion(&customer_id, None, Some(&temporary.nonce)),
        Some(&temporary.session.session_token),
    );
    let signed_in = shop.send_sign_in(sign_in.clone()).await?;
    Ok(CaseThree {
        member,
        temporary,
        sign_in,
        old,
        recent,
        client: signed_in.visitor.clone(),
        signed_in,
        customer_id,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_list_after_sign_in_has_both_chatrooms() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        for _ in 0..10 {
            let story = case_three(&shop).await.unwrap();
            let chatrooms = story.client.caller.chatrooms().await.unwrap();
            for chatroom in &chatrooms {
                assert_eq!(chatroom.member_id, story.member.id); // SPEC 20
            }
            assert_ne!(story.old.account_id, story.recent.account_id); // SPEC 20, 22
            let ids: Vec<_> = chatrooms
                .iter()
                .map(|room| room.chatroom_id.as_str())
                .collect();
            assert_eq!(
                ids,
                [&story.recent.chatroom_id, &story.old.chatroom_id],
                "{engine:?}"
            ); // SPEC 22, 25, 54
        }
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conversation_goes_on_in_the_chatroom_of_the_last_message() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let story = case_three(&shop).await.unwrap();
        let (client, member) = (&story.client, &story.member);

        let request = ResumeChatroomRequest {
            temporary_account_id: story.signed_in.outcome.temporary_account_id.clone(),
            ..Default::default()
        };
        let resumed = client
            .caller
            .clone()
            .chat
            .resume_chatroom(request)
            .await
            .unwrap();
        let resumed = resumed.into_inner().chatroom.unwrap();
        assert_eq!(resumed.chatroom_id, story.recent.chatroom_id); // SPEC 24
        let opened = client.open_direct(member).await.unwrap();
        assert_eq!(opened.chatroom_id, story.recent.chatroom_id); // SPEC 23

        let message = client.caller.say(&story.old, "And in red?").await.unwrap(); // SPEC 22
        let author = message.author.unwrap().author.unwrap();
        assert_eq!(
            author,
            rapport_proto::event::v1::author::Author::AccountId(client.account.account_id.clone())
        ); // SPEC 26
        let opened = client.open_direct(member).await.unwrap();
        assert_eq!(opened.chatroom_id, story.old.chatroom_id); // SPEC 23
        let texts = client.caller.texts(&story.recent).await.unwrap();
        assert_eq!(texts, ["It does.", "Does it come in blue?"]); // SPEC 22: nothing moved
        assert_eq!(member.caller.chatrooms().await.unwrap().len(), 2); // SPEC 22
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_link_is_undone_in_chat_and_in_the_ledger() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let story = case_three(&shop).await.unwrap();
        assert_eq!(story.signed_in.outcome.kind(), SignInOutcomeKind::Linked);
        let order_id = request_id();
        shop.order(&order_id, &story.customer_id, euros(120))
            .await
            .unwrap();
        wait_for_balance(&shop, &story.member, 1_200).await;

        let link = story.signed_in.outcome.link.clone().unwrap();
        let request = RevokeLinkRequest {
            link_id: link.link_id,
            reason: "another person".to_owned(),
            request_id: request_id(),
        };
        shop.service
            .clone()
            .links
            .revoke_link(request)
            .await
            .unwrap();

        wait_for_balance(&shop, &story.member, 0).await; // SPEC 16, 43
        let attribution = shop.attribution(&order_id).await.unwrap();
        assert_eq!(attribution.outcome(), AttributionOutcome::Unattributed);
        assert_eq!(entries(&shop, &story.member).await, [1_200, -1_200]); // SPEC 43: rows only grew
        wait_until("the client no longer sees the chatroom", async || {
            let chatrooms = story.client.caller.chatrooms().await?;
            Ok((chatrooms.len() == 1).then_some(()))
        })
        .await
        .unwrap(); // SPEC 16

        // Neither the very same call nor a new one with the dead token brings any of it back.
        let anew = shop.sign_in_request(
            shop.assertion(&story.customer_id, None, None),
            Some(&story.temporary.session.session_token),
        );
        for (sign_in, kind) in [
            (story.sign_in.clone(), SignInOutcomeKind::Linked),
            (anew, SignInOutcomeKind::TemporarySessionUnusable),
        ] {
            let again = shop.send_sign_in(sign_in).await.unwrap();
            assert_eq!(again.outcome.kind(), kind);
            let chatrooms = again.visitor.caller.chatrooms().await.unwrap();
            let ids: Vec<_> = chatrooms.iter().map(|room| &room.chatroom_id).collect();
            assert_eq!(ids, [&story.old.chatroom_id], "{engine:?}"); // SPEC 16
        }
        let next = request_id();
        shop.order(&next, &story.customer_id, euros(120))
            .await
            .unwrap();
        wait_until("the next order is judged", async || {
            let outcome = shop.attribution(&next).await?.outcome();
            Ok((outcome == AttributionOutcome::Unattributed).then_some(()))
        })
        .await
        .unwrap(); // SPEC 16
        assert_eq!(entries(&shop, &story.member).await, [1_200, -1_200]);
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_credited_though_its_facts_come_later() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let story = case_three(&shop).await.unwrap();
        // Nothing is awaited: attribution may not have heard of the chat nor of the link yet.
        let order_id = request_id();
        shop.order(&order_id, &story.customer_id, euros(50))
            .await
            .unwrap();
        wait_until("the order is credited", async || {
            let attribution = shop.attribution(&order_id).await?;
            Ok((attribution.outcome() == AttributionOutcome::Conversation).then_some(()))
        })
        .await
        .unwrap(); // SPEC 35, 42
        wait_for_balance(&shop, &story.member, 500).await;
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_published_with_all_that_it_settles() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let story = case_three(&shop).await.unwrap();
        let outcome = &story.signed_in.outcome;
        let link_id = outcome.link.clone().unwrap().link_id;
        let events = identity_events(&shop).await.unwrap(); // SPEC 52
        let has = |test: &dyn Fn(&Payload) -> bool| {
            events
                .iter()
                .filter_map(|event| event.payload.as_ref())
                .any(test)
        };
        assert!(has(&|payload| {
            matches!(payload, Payload::LinkChanged(link) if link.link_id == link_id)
        })); // SPEC 17, 49
        let revoked = Subject::AccountId(outcome.temporary_account_id.clone());
        assert!(has(&|payload| {
            matches!(payload, Payload::SessionsRevoked(sessions)
                if sessions.subject.as_ref() == Some(&revoked))
        })); // SPEC 12, 17
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_shared_computer_nothing_of_the_other_is_shown() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        let computer = shop.welcome("Ann", None).await.unwrap();
        let chatroom = computer.open_direct(&member).await.unwrap();
        computer
            .caller
            .say(&chatroom, "It is a present for Bob.")
            .await
            .unwrap();
        let ann = shop.sign_in("ann", None, Some(&computer)).await.unwrap();
        let bob = shop.sign_in("bob", None, Some(&computer)).await.unwrap();
        assert_eq!(ann.outcome.kind(), SignInOutcomeKind::Upgraded);
        assert_eq!(bob.outcome.kind(), SignInOutcomeKind::LinkedElsewhere); // SPEC 11
        assert_eq!(bob.outcome.temporary_account_id, "");
        assert!(bob.visitor.caller.chatrooms().await.unwrap().is_empty());
        let again = shop.sign_in("ann", None, Some(&computer)).await.unwrap();
        assert_eq!(again.outcome.kind(), SignInOutcomeKind::AlreadyLinked); // SPEC 11
        assert_eq!(
            again.visitor.account.account_id,
            ann.visitor.account.account_id
        );
        suite.stop().await.unwrap();
    }
}

fn euros(amount: i64) -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units: amount * 100,
    }
}

async fn wait_for_balance(shop: &Shop, member: &ShopMember, minor_units: i64) {
    wait_until("the balance is booked", async || {
        let balance = shop.balance(&member.id, "EUR").await?;
        Ok((balance == minor_units).then_some(()))
    })
    .await
    .unwrap();
}

/// Returns the bookings for a Member, oldest first.
async fn entries(shop: &Shop, member: &ShopMember) -> Vec<i64> {
    let request = ListLedgerEntriesRequest {
        member_id: member.id.clone(),
        ..Default::default()
    };
    let response = shop
        .service
        .clone()
        .attributions
        .list_ledger_entries(request)
        .await;
    let mut entries = response.unwrap().into_inner().ledger_entries;
    entries.sort_by_key(|entry| (entry.order_id.clone(), entry.number));
    entries
        .into_iter()
        .map(|entry| entry.amount.map_or(0, |amount| amount.minor_units))
        .collect()
}
