//! Whose conversation an order is credited to: links, upgrades, keys, self-purchase, erasure.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    attribution::{Outcome, Reason},
    buyer::BuyerKey,
    email::EmailDigest,
    id::{AccountId, LinkId},
    order::BuyerKeys,
};
use kit::testing::TestEngine;
use rapport_proto::event::v1::{EmailProvenance, LinkScope};

use super::{
    World, account, by_account, by_customer, day, eur, events, member, minute, order, order_id,
    outcome,
};
use crate::{
    app::{
        digest,
        erasures::find_applied,
        explanations::{
            self,
            buyer_keys::{Attempt, AttemptResult},
        },
    },
    error::Error,
};

const CLIENT: u128 = 1;
const TEMPORARY: u128 = 2;

/// Case 3: a client whom the Member never answered, and a temporary account that he did answer.
async fn case_3(engine: TestEngine) -> World {
    let world = World::create(engine).await;
    world.policy(day(-100), |_| ()).await.unwrap();
    let (client, temporary) = (account(CLIENT), account(TEMPORARY));
    world
        .hear_identity([
            events::client(client, "ann"),
            events::temporary(temporary),
            events::member_changed(member(1), 1, &[]),
        ])
        .await;
    world
        .hear_chat([events::said(
            1,
            client,
            member(1),
            rapport_proto::event::v1::Side::Visitor,
            day(-9),
        )])
        .await;
    let talk = events::talk(2, temporary, member(1), day(-2), day(-1));
    world.hear_chat(talk).await;
    world
}

fn link(scope: LinkScope, time: DateTime<Utc>) -> rapport_proto::event::v1::Event {
    events::linked(1, account(TEMPORARY), account(CLIENT), scope, time)
}

fn revocation(time: DateTime<Utc>) -> rapport_proto::event::v1::Event {
    let (temporary, client) = (account(TEMPORARY), account(CLIENT));
    events::unlinked(1, temporary, client, LinkScope::Tracking, time)
}

async fn reasons(world: &World, without: Option<LinkId>) -> (Outcome, Vec<Reason>) {
    let id = order_id("o");
    let explanation = explanations::explain(&world.app, &world.brand, &id, without, None)
        .await
        .unwrap();
    let considered = explanation.attribution.considered;
    let reasons = considered.iter().map(|one| one.reason).collect();
    (explanation.attribution.outcome, reasons)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_either_scope_credits_the_temporary_conversation() {
    for engine in TestEngine::ALL {
        for scope in [LinkScope::Tracking, LinkScope::History] {
            let world = case_3(engine).await; // SPEC 37
            world.hear_identity([link(scope, day(0))]).await;
            let mut report = order("o", minute(3), by_customer("ann"));
            report.status = Some(crate::app::record_order::StatusReport {
                label: domain::order::StatusLabel::parse("OK").unwrap(),
                given_time: None,
            });
            let view = world.record(report).await.unwrap();
            assert_eq!(outcome(&view), Some(Outcome::Conversation), "{scope:?}");
            let finding = view.stored.unwrap().finding;
            assert_eq!(finding.credits[0].chatroom, events::chatroom(2));
            assert_eq!(finding.credits[0].link, Some(events::link_id(1)));
            assert_eq!(finding.person, Some(account(CLIENT)));
            // 5 % of 90 euros.
            assert_eq!(world.balance(member(1)).await, 450);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_conversation_is_not_credited() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await; // SPEC 6: ABANDON makes no link
        let report = order("o", minute(3), by_customer("ann"));
        let view = world.record(report).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::NoQualifyingChatroom));
        let (_, considered) = reasons(&world, None).await;
        assert_eq!(considered, [Reason::OneSidedVisitor]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credit_follows_a_link_event_that_comes_late_or_again() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        let report = order("o", minute(3), by_customer("ann"));
        world.record(report).await.unwrap();
        world.status("o", "OK", minute(4)).await;
        assert_eq!(world.balance(member(1)).await, 0);
        for _ in 0..2 {
            world
                .hear_identity([link(LinkScope::Tracking, day(0))])
                .await; // SPEC 42: the time in the fact decides, not that of its arrival
            world.settle().await;
            assert_eq!(world.outcome("o").await, Some(Outcome::Conversation));
            assert_eq!(world.entries().await, [450]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_serves_orders_after_it_less_the_tolerance() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        world
            .hear_identity([link(LinkScope::History, minute(2))])
            .await;
        let report = order("o", minute(0), by_customer("ann"));
        let view = world.record(report).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::Conversation)); // SPEC 42: exactly 2 minutes
        let early = minute(0) - TimeDelta::microseconds(1);
        let report = order("early", early, by_customer("ann"));
        let view = world.record(report).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::NoQualifyingChatroom));
        world
            .policy(day(-50), |policy| policy.retroactive_links = true)
            .await
            .unwrap();
        world.settle().await;
        assert_eq!(world.outcome("early").await, Some(Outcome::Conversation));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_is_booked_back_and_the_ledger_only_grows() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        world
            .hear_identity([link(LinkScope::Tracking, day(0))])
            .await;
        let report = order("o", minute(3), by_customer("ann"));
        world.record(report).await.unwrap();
        world.status("o", "OK", minute(4)).await;
        assert_eq!(world.entries().await, [450]);
        world.hear_identity([revocation(day(0))]).await; // SPEC 16, 43
        world.settle().await;
        assert_eq!(world.entries().await, [450, -450]);
        assert_eq!(world.balance(member(1)).await, 0);
        let (outcome, considered) = reasons(&world, None).await;
        assert_eq!(outcome, Outcome::NoQualifyingChatroom);
        assert_eq!(considered, [Reason::OneSidedVisitor, Reason::LinkRevoked]);
        world
            .hear_identity([link(LinkScope::Tracking, day(0))])
            .await; // SPEC 51: the link that was revoked, again
        world.settle().await;
        assert_eq!(world.entries().await, [450, -450]);
    }
}

/// Orders, a refund and a cancellation of a client who talks to one Member himself, and as a temporary
/// account to another.
async fn buy_and_give_back(world: &World) {
    let talk = events::talk(3, account(CLIENT), member(2), day(-4), day(-3));
    world.hear_chat(talk).await;
    for (id, minutes) in [("a", 3), ("b", 4), ("c", 5)] {
        let report = order(id, minute(minutes), by_customer("ann"));
        world.record(report).await.unwrap();
        world.status(id, "OK", minute(6)).await;
    }
    world.refund("a", "r", eur(1_000)).await.unwrap();
    world.settle().await;
    world.status("c", "CANCELLED", minute(7)).await;
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_leaves_the_balances_of_a_world_without_it() {
    for engine in TestEngine::ALL {
        let without = case_3(engine).await;
        buy_and_give_back(&without).await;
        let linked = case_3(engine).await;
        linked
            .hear_identity([link(LinkScope::History, day(0))])
            .await;
        buy_and_give_back(&linked).await;
        assert_eq!(linked.balance(member(1)).await, 400 + 450);
        assert_eq!(linked.balance(member(2)).await, 0);
        let before = linked.entries().await;
        linked.clock.advance(TimeDelta::hours(1));
        linked.hear_identity([revocation(day(0))]).await;
        linked.settle().await;
        let after = linked.entries().await;
        assert!(after.starts_with(&before) && after.len() > before.len()); // SPEC 43
        for number in [1, 2] {
            let balance = linked.balance(member(number)).await;
            assert_eq!(balance, without.balance(member(number)).await); // SPEC 16
        }
        let digest = async |world: &World| digest::digest(&world.app, &world.brand).await.unwrap();
        assert_eq!(digest(&linked).await, digest(&without).await);
        assert_eq!(without.balance(member(2)).await, 400 + 450);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_what_it_would_be_without_a_link() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        world
            .hear_identity([link(LinkScope::Tracking, day(0))])
            .await;
        let report = order("o", minute(3), by_customer("ann"));
        world.record(report).await.unwrap();
        let (outcome, considered) = reasons(&world, None).await; // SPEC 47
        assert_eq!(outcome, Outcome::Conversation);
        assert_eq!(considered, [Reason::OneSidedVisitor, Reason::Won]);
        let (outcome, considered) = reasons(&world, Some(events::link_id(1))).await;
        assert_eq!(outcome, Outcome::NoQualifyingChatroom);
        assert_eq!(considered, [Reason::OneSidedVisitor]);
        let (id, other) = (order_id("o"), events::link_id(7));
        let refused = explanations::explain(&world.app, &world.brand, &id, Some(other), None);
        assert!(matches!(
            refused.await,
            Err(Error::LinkNotFound { link_id }) if link_id == other
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_account_keeps_its_conversations() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let ann = account(3);
        let talk = events::talk(3, ann, member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
        let report = order("o", minute(3), by_customer("ann"));
        let view = world.record(report).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::BuyerUnknown)); // SPEC 35: kept until it is known
        let upgraded = events::account_changed(ann, 2, "ann", Some(minute(1)), &[]);
        world.hear_identity([upgraded]).await; // SPEC 42
        world.settle().await;
        assert_eq!(world.outcome("o").await, Some(Outcome::Conversation));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_that_resolves_finds_the_buyer() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let (ann, bob) = (account(3), account(4));
        let attested = (7, EmailProvenance::Attested, day(-20));
        let typed = (7, EmailProvenance::Typed, day(-20));
        world
            .hear_identity([
                events::account_changed(ann, 1, "ann", None, &[attested]),
                events::account_changed(bob, 1, "", None, &[typed]),
            ])
            .await;
        world.checkout("cart", bob, day(-1)).await.unwrap();
        let email = Some(EmailDigest::new([7; 32]));
        let keys = |account: Option<AccountId>, cart: &str| BuyerKeys {
            account,
            customer: Some("nobody".parse().unwrap()),
            cart: Some(cart.parse().unwrap()),
            email,
        };
        let found = [
            (keys(Some(bob), "cart"), BuyerKey::Account, bob), // SPEC 36
            (keys(None, "cart"), BuyerKey::Cart, bob),
            (keys(None, "other cart"), BuyerKey::AttestedEmail, ann),
        ];
        for (index, (keys, key, account)) in found.into_iter().enumerate() {
            let id = format!("o{index}");
            let view = world.record(order(&id, day(0), keys)).await.unwrap();
            let buyer = view.stored.unwrap().finding.buyer.unwrap();
            assert_eq!((buyer.key, buyer.account), (key, account));
        }
        let id = order_id("o2");
        let explanation = explanations::explain(&world.app, &world.brand, &id, None, None);
        let attempts = explanation.await.unwrap().attempts;
        let attempt = |key, result, accounts| Attempt {
            key,
            result,
            accounts,
        };
        let none = Vec::new;
        assert_eq!(
            attempts,
            [
                attempt(BuyerKey::Account, AttemptResult::NotGiven, none()),
                attempt(BuyerKey::Customer, AttemptResult::NotFound, none()),
                attempt(BuyerKey::Cart, AttemptResult::NotFound, none()),
                attempt(BuyerKey::AttestedEmail, AttemptResult::Found, vec![ann]),
                attempt(BuyerKey::TypedEmail, AttemptResult::NotTried, none()),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_fact_reaches_its_persons_orders_under_every_key() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let (client, temporary) = (account(CLIENT), account(TEMPORARY));
        let attested = (7, EmailProvenance::Attested, day(-20));
        world
            .hear_identity([
                events::account_changed(client, 1, "ann", None, &[attested]),
                events::temporary(temporary),
                link(LinkScope::Tracking, day(-3)),
            ])
            .await;
        world.checkout("cart", client, day(-1)).await.unwrap();
        let none = BuyerKeys::default;
        let each = [
            by_account(client),
            by_account(temporary),
            by_customer("ann"),
            BuyerKeys {
                cart: Some("cart".parse().unwrap()),
                ..none()
            },
            BuyerKeys {
                email: Some(EmailDigest::new([7; 32])),
                ..none()
            },
        ];
        for (index, keys) in each.iter().enumerate() {
            let report = order(&format!("o{index}"), day(0), keys.clone());
            let view = world.record(report).await.unwrap();
            assert_eq!(outcome(&view), Some(Outcome::NoChatroom), "{keys:?}");
        }
        let mut talk = events::talk(2, temporary, member(1), day(-2), day(-1)).into_iter();
        let expected = [Outcome::NoQualifyingChatroom, Outcome::Conversation]; // SPEC 42
        for (facts, expected) in [1, 2].into_iter().zip(expected) {
            world.hear_chat(talk.by_ref().take(facts)).await;
            world.settle().await;
            for (index, keys) in each.iter().enumerate() {
                let found = world.outcome(&format!("o{index}")).await;
                assert_eq!(found, Some(expected), "{keys:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_buys_from_himself_earns_nothing() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        world
            .hear_identity([link(LinkScope::History, day(0))])
            .await;
        let report = order("o", minute(3), by_customer("ann"));
        world.record(report).await.unwrap();
        world.status("o", "OK", minute(4)).await;
        let own = events::member_changed(member(1), 2, &[("ann", minute(3))]);
        world.hear_identity([own]).await; // SPEC 41
        world.settle().await;
        assert_eq!(world.outcome("o").await, Some(Outcome::SelfPurchase));
        assert_eq!(world.balance(member(1)).await, 0);
        let not_own = events::member_changed(member(1), 3, &[("ann", minute(4))]);
        world.hear_identity([not_own]).await;
        world.settle().await;
        assert_eq!(world.outcome("o").await, Some(Outcome::Conversation));
        assert_eq!(world.entries().await, [450, -450, 450]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_applied_when_all_accounts_of_the_person_are_erased() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        let person = [account(CLIENT), account(TEMPORARY)].into();
        let applied = async || {
            let found = find_applied(&world.app, &world.brand, &person).await;
            found.unwrap().map(|applied| applied.apply_time)
        };
        assert_eq!(applied().await, None);
        let client = events::erased(account(CLIENT), "ann", minute(5));
        world.hear_identity([client.clone()]).await;
        assert_eq!(applied().await, None);
        let temporary = events::erased(account(TEMPORARY), "", minute(5));
        world.hear_identity([temporary.clone()]).await;
        let first = applied().await;
        assert!(first.is_some()); // SPEC 55
        world.clock.advance(TimeDelta::hours(1));
        world.hear_identity([client, temporary]).await;
        assert_eq!(applied().await, first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_freezes_what_is_booked() {
    for engine in TestEngine::ALL {
        let world = case_3(engine).await;
        world
            .hear_identity([link(LinkScope::History, day(0))])
            .await;
        let report = order("o", minute(3), by_customer("ann"));
        world.record(report).await.unwrap();
        world.status("o", "OK", minute(4)).await;
        let erased = events::erased(account(CLIENT), "ann", minute(5));
        world.hear_identity([erased]).await; // SPEC 55
        world.clock.advance(TimeDelta::minutes(6));
        world.refund("o", "r", eur(9_000)).await.unwrap();
        world.status("o", "CANCELLED", minute(6)).await;
        world
            .policy(day(-50), |policy| policy.commission_rate_ppm = 0)
            .await
            .unwrap();
        world.hear_identity([revocation(day(0))]).await;
        world.settle().await;
        let finding = world.attribution("o").await.stored.unwrap().finding;
        assert_eq!(
            (finding.outcome, finding.is_frozen),
            (Outcome::Conversation, true)
        );
        assert_eq!(world.entries().await, [450]);
        let later = order("later", minute(6), by_customer("ann"));
        let view = world.record(later).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::BuyerErased));
        let stranger = order("other", minute(3), by_account(account(77)));
        let view = world.record(stranger).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::BuyerUnknown));
    }
}
