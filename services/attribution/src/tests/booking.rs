//! What is booked: statuses, refunds, windows, policies.

use chrono::TimeDelta;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use domain::attribution::Outcome;
use kit::{db::DatabaseUrl, testing::TestEngine};
use rapport_proto::attribution::v1::AttributionModel;
use secrecy::ExposeSecret;

use super::{World, account, by_account, day, eur, events, member, minute, order, order_id};
use crate::{
    app::{
        digest, explanations,
        ledger::{self, Reader},
    },
    error::Error,
    store::{first_instant, last_instant, ledger_entries::Filter},
};

/// A visitor who talked with the Member yesterday, at a Brand that pays 5 %.
async fn talked(engine: TestEngine) -> World {
    let world = World::create(engine).await;
    world.policy(day(-100), |_| ()).await.unwrap();
    let members = [member(1), member(2)].map(|one| events::member_changed(one, 1, &[]));
    world.hear_identity(members).await;
    world.hear_identity([events::temporary(account(1))]).await;
    let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
    world.hear_chat(talk).await;
    world
}

async fn buy(world: &World, id: &str) {
    let report = order(id, minute(0), by_account(account(1)));
    world.record(report).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_earned_before_ok_and_after_a_cancellation() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        buy(&world, "o").await;
        world.status("o", "NEW", minute(1)).await;
        assert_eq!(world.entries().await, [0; 0]); // SPEC 43, 45
        world.status("o", "OK", minute(2)).await;
        assert_eq!(world.entries().await, [450]);
        world.status("o", "OK", minute(2)).await;
        assert_eq!(world.entries().await, [450]);
        world.status("o", "RETURNED", minute(3)).await;
        assert_eq!(world.entries().await, [450, -450]);
        world.status("o", "OK", minute(4)).await;
        assert_eq!(world.entries().await, [450, -450, 450]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_its_order_is_kept_for_it() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        world.status("o", "OK", minute(2)).await; // SPEC 45
        world.refund("o", "r", eur(1_000)).await.unwrap();
        world.settle().await;
        buy(&world, "o").await;
        assert_eq!(world.entries().await, [400]);
        let mut by_cart = order("c", minute(0), by_account(account(9)));
        by_cart.keys.cart = Some("cart".parse().unwrap());
        by_cart.digest = crate::convert::report_digest(&by_cart);
        world.record(by_cart).await.unwrap();
        assert_eq!(world.outcome("c").await, Some(Outcome::BuyerUnknown));
        world.checkout("cart", account(1), day(-1)).await.unwrap();
        world.settle().await;
        assert_eq!(world.outcome("c").await, Some(Outcome::Conversation));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_booked_back_down_to_nothing() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        buy(&world, "o").await;
        world.status("o", "OK", minute(1)).await;
        world.refund("o", "r1", eur(1_010)).await.unwrap(); // SPEC 43: 5 % of 79.90, rounded down
        assert_eq!(world.entries().await, [450, -51]);
        world.refund("o", "r2", eur(99_999)).await.unwrap();
        assert_eq!(world.entries().await, [450, -51, -399]);
        let id = order_id("o");
        let explanation = explanations::explain(&world.app, &world.brand, &id, None, None);
        assert_eq!(explanation.await.unwrap().targets.net, eur(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_includes_its_bound_to_the_microsecond() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        let last = day(-1) + TimeDelta::days(14);
        world.clock.advance(TimeDelta::days(20));
        let at_bound = order("in", last, by_account(account(1)));
        world.record(at_bound).await.unwrap();
        assert_eq!(world.outcome("in").await, Some(Outcome::Conversation)); // SPEC 38
        let beyond = last + TimeDelta::microseconds(1);
        let outside = order("out", beyond, by_account(account(1)));
        world.record(outside).await.unwrap();
        assert_eq!(
            world.outcome("out").await,
            Some(Outcome::NoQualifyingChatroom)
        );
        // A message of the order's very instant is none before it.
        let side = rapport_proto::event::v1::Side::Member;
        let late = events::said(1, account(1), member(1), side, beyond);
        world.hear_chat([late]).await;
        world.settle().await;
        assert_eq!(
            world.outcome("out").await,
            Some(Outcome::NoQualifyingChatroom)
        );
        let just_before = events::said(1, account(1), member(1), side, last);
        world.hear_chat([just_before]).await;
        world.settle().await;
        assert_eq!(world.outcome("out").await, Some(Outcome::Conversation));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_past_is_a_recomputation() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        let talk = events::talk(2, account(1), member(2), day(-4), day(-3));
        world.hear_chat(talk).await;
        buy(&world, "o").await;
        world.status("o", "OK", minute(1)).await;
        assert_eq!(world.balance(member(1)).await, 450);
        let set = world.policy(day(-1), |policy| {
            policy.model = AttributionModel::EvenSplit.into();
            policy.commission_rate_ppm = 100_000;
        });
        assert_eq!(set.await.unwrap(), 2); // SPEC 44
        world.settle().await;
        assert_eq!(world.balance(member(1)).await, 450);
        assert_eq!(world.balance(member(2)).await, 450);
        // It counts from its effective time, so an earlier revision with a later one is not undone.
        let set = world.policy(day(-2), |policy| policy.commission_rate_ppm = 1);
        assert_eq!(set.await.unwrap(), 3);
        world.settle().await;
        assert_eq!(world.balance(member(2)).await, 450);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_sees_his_own_ledger_and_no_other() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        let read = async |reader, requested| {
            ledger::member_to_read(&world.app, &world.brand, reader, requested).await
        };
        let own = Reader::Member(member(1));
        assert_eq!(read(own, None).await.unwrap(), Some(member(1)));
        assert_eq!(read(own, Some(member(1))).await.unwrap(), Some(member(1)));
        let foreign = read(own, Some(member(2))).await;
        assert!(matches!(foreign, Err(Error::MemberNotFound { .. }))); // SPEC 58
        assert_eq!(read(Reader::Service, None).await.unwrap(), None);
        let known = read(Reader::Service, Some(member(2))).await;
        assert_eq!(known.unwrap(), Some(member(2)));
        let unknown = read(Reader::Service, Some(member(7))).await;
        assert!(matches!(unknown, Err(Error::MemberNotFound { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_settled_once_everything_is_evaluated() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        buy(&world, "o").await;
        world.settle().await;
        let read = async || digest::digest(&world.app, &world.brand).await.unwrap();
        let before = read().await;
        assert!(before.is_settled);
        assert_eq!(before.order_count, 1);
        let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
        assert!(!read().await.is_settled);
        world.settle().await;
        assert_eq!(read().await, before);
        world.status("o", "OK", minute(1)).await;
        assert_ne!(read().await.digest, before.digest);
    }
}

/// Everything of everybody.
fn statement() -> Filter {
    Filter {
        member: None,
        order_id: None,
        currency: None,
        from_time: first_instant(),
        until_time: last_instant(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_that_of_the_moment_when_its_paging_began() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        for id in ["a", "b", "c"] {
            world.clock.advance(TimeDelta::seconds(1));
            buy(&world, id).await;
            world.status(id, "OK", minute(1)).await;
        }
        let (mut shown, mut after, all) = (Vec::new(), None, statement());
        loop {
            let listed = ledger::list_entries(&world.app, &world.brand, &all, after, 2);
            let (entries, moment) = listed.await.unwrap();
            let Some(last) = entries.last() else {
                break;
            };
            after = Some(((last.book_time, last.id), moment));
            shown.extend(entries.iter().map(|entry| entry.order_id.to_string()));
            // By its time it would stand behind what is shown: it belongs to the next statement.
            let id = format!("late-{}", shown.len());
            buy(&world, &id).await;
            world.status(&id, "OK", minute(1)).await;
        }
        assert_eq!(shown, ["a", "b", "c"]);
        let listed = ledger::list_entries(&world.app, &world.brand, &all, None, 9);
        assert_eq!(listed.await.unwrap().0.len(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_committed_late_is_in_no_page_but_in_the_next_statement() {
    let world = talked(TestEngine::Postgres).await;
    for id in ["a", "b"] {
        buy(&world, id).await;
        world.status(id, "OK", minute(1)).await;
        world.clock.advance(TimeDelta::seconds(1));
    }
    let DatabaseUrl::Postgres(url) = &world.database.url else {
        panic!("it is PostgreSQL");
    };
    let url = url.expose_secret();
    let mut late = AsyncPgConnection::establish(url).await.unwrap();
    // A second entry for each, of the time of the first.
    let book = "BEGIN; INSERT INTO ledger_entry (brand_id, order_id, member_id, number, \
                ledger_entry_id, currency_code, minor_units, target_minor_units, \
                attribution_revision, policy_revision, book_time) \
                SELECT brand_id, order_id, member_id, 2, gen_random_uuid(), currency_code, 50, \
                500, 1, 1, book_time FROM ledger_entry";
    late.batch_execute(book).await.unwrap();
    let all = statement();
    let list = async |after, limit| {
        let listed = ledger::list_entries(&world.app, &world.brand, &all, after, limit);
        listed.await.unwrap()
    };
    let (first, moment) = list(None, 1).await;
    late.batch_execute("COMMIT").await.unwrap();
    let place = (first[0].book_time, first[0].id);
    let (rest, _) = list(Some((place, moment)), 9).await;
    let shown = first.iter().chain(&rest);
    let shown: Vec<i64> = shown.map(|entry| entry.amount.minor_units()).collect();
    assert_eq!(shown, [450, 450]);
    let (next, _) = list(None, 9).await;
    assert_eq!(next.len(), 4);
}
