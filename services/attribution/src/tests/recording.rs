//! What is recorded, and what is refused.

use chrono::TimeDelta;
use domain::{
    attribution::Outcome,
    id::BrandId,
    money::{Currency, Money},
};
use kit::{config::Secrets, consistency::ConsistencyToken, error::CallError, testing::TestEngine};
use rapport_proto::attribution::v1 as wire;

use super::{
    World, account, by_account, by_customer, day, eur, events, member, minute, order, order_id,
    outcome,
};
use crate::{
    app::{attributions, orders, record_order::record_order},
    convert,
    error::Error,
    evaluate::settle_sign_in,
    store::{awaited_sign_ins, last_instant, orders::pages::Filter},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_recorded_once() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let report = order("o", day(0), by_customer("ann"));
        world.record(report.clone()).await.unwrap();
        world.clock.advance(TimeDelta::hours(1));
        world.record(report).await.unwrap(); // SPEC 35: the same again
        let id = order_id("o");
        let kept = orders::get_order(&world.app, &world.brand, &id);
        assert_eq!(kept.await.unwrap().order.receive_time, day(0));
        let mut other = order("o", day(0), by_customer("ann"));
        other.total = eur(10_001);
        other.digest = convert::report_digest(&other);
        let refused = world.record(other).await;
        assert!(
            matches!(refused, Err(Error::OrderIdReused { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_one_request() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let record = async |tag: &str, id: &str| {
            let key = world.request("RecordOrder", 7, tag);
            let report = order(id, day(0), by_customer("ann"));
            record_order(&world.app, &world.brand, key, report, None).await
        };
        record("body", "o").await.unwrap();
        record("body", "o").await.unwrap(); // SPEC 61
        let refused = record("other body", "o2").await;
        assert!(matches!(
            refused,
            Err(Error::Call(CallError::RequestIdReused))
        ));
        let unknown = orders::get_order(&world.app, &world.brand, &order_id("o2")).await;
        assert!(matches!(unknown, Err(Error::OrderNotFound { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_at_most_five_minutes_ahead() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let ahead = order("ahead", minute(5), by_customer("ann"));
        world.record(ahead).await.unwrap(); // SPEC 38
        let late = minute(5) + TimeDelta::microseconds(1);
        let refused = world.record(order("late", late, by_customer("ann"))).await;
        assert!(matches!(refused, Err(Error::OrderInFuture)));
        let mut undated = order("undated", day(0), by_customer("ann"));
        undated.given_time = None;
        world.record(undated).await.unwrap();
        let id = order_id("undated");
        let kept = orders::get_order(&world.app, &world.brand, &id);
        assert_eq!(kept.await.unwrap().order.order_time, day(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_or_refund_has_one_body() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        world.checkout("cart", account(1), day(-1)).await.unwrap();
        world.checkout("cart", account(1), day(-1)).await.unwrap();
        let refused = world.checkout("cart", account(2), day(-1)).await;
        assert!(matches!(refused, Err(Error::CheckoutReused { .. })));
        world.refund("o", "r", eur(5)).await.unwrap();
        world.refund("o", "r", eur(5)).await.unwrap(); // SPEC 45
        let refused = world.refund("o", "r", eur(6)).await;
        assert!(matches!(refused, Err(Error::RefundIdReused { .. })));
        let report = order("o", day(0), by_customer("ann"));
        world.record(report).await.unwrap();
        let dollars = Money::new(5, Currency::parse("USD").unwrap());
        let refused = world.refund("o", "r2", dollars).await; // SPEC 46
        assert!(matches!(
            refused,
            Err(Error::Call(CallError::FieldInvalid { .. }))
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_the_sign_in_of_its_token() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let ann = account(1);
        let talk = events::talk(1, ann, member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
        world.hear_identity([events::client(ann, "ann")]).await;
        let token = ConsistencyToken {
            account_id: ann,
            link_revision: 2,
        };
        let report = order("o", minute(1), by_customer("ann"));
        let view = world.record_after(report, Some(token)).await.unwrap();
        assert!(view.awaits_sign_in); // SPEC 54: identity does not answer
        assert_eq!(view.stored, None);
        let id = order_id("o");
        let read = attributions::get_attribution(&world.app, &world.brand, &id, Some(token)).await;
        assert!(matches!(
            read,
            Err(Error::Call(CallError::ConsistencyUnavailable))
        ));
        world.settle().await;
        assert!(world.attribution("o").await.awaits_sign_in);
        let signed_in = events::account_changed(ann, 2, "ann", None, &[]);
        world.hear_identity([signed_in]).await;
        world.settle().await;
        let view = world.attribution("o").await;
        assert_eq!(outcome(&view), Some(Outcome::Conversation));
        assert!(!view.awaits_sign_in);
        let mut connection = world.app.db.read().await.unwrap();
        let waiting = awaited_sign_ins::list(&mut connection, 9).await.unwrap();
        assert_eq!(waiting, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_told_again_after_a_newer_sign_in_waits_for_it() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let ann = account(1);
        world.hear_identity([events::client(ann, "ann")]).await;
        let report = order("o", minute(1), by_customer("ann"));
        let view = world.record(report.clone()).await.unwrap();
        assert_eq!(outcome(&view), Some(Outcome::NoChatroom));
        let token = |link_revision| ConsistencyToken {
            account_id: ann,
            link_revision,
        };
        for link_revision in [2, 3] {
            let again = world.record_after(report.clone(), Some(token(link_revision)));
            assert!(again.await.unwrap().awaits_sign_in); // SPEC 54
        }
        for (link_revision, awaits) in [(2, true), (3, false)] {
            let signed_in = events::account_changed(ann, link_revision, "ann", None, &[]);
            world.hear_identity([signed_in]).await;
            world.settle().await;
            assert_eq!(world.attribution("o").await.awaits_sign_in, awaits);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_no_longer_is_evaluated_by_whoever_comes_next() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let ann = account(1);
        let talk = events::talk(1, ann, member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
        world.hear_identity([events::client(ann, "ann")]).await;
        let overclaimed = ConsistencyToken {
            account_id: ann,
            link_revision: 9,
        };
        let report = order("o", minute(1), by_customer("ann"));
        world.record_after(report, Some(overclaimed)).await.unwrap();
        world.settle().await;
        assert!(world.attribution("o").await.awaits_sign_in);
        settle_sign_in(&world.app, &world.brand, &order_id("o"))
            .await
            .unwrap();
        // Here the process ends; another one looks at the marks.
        world.settle().await;
        let view = world.attribution("o").await;
        assert_eq!(outcome(&view), Some(Outcome::Conversation)); // SPEC 35, 54
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_orders_neither_skip_nor_repeat() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        for (id, minutes) in [("a", -1), ("b", -2), ("c", -2), ("d", -2), ("e", -3)] {
            let report = order(id, minute(minutes), by_account(account(1)));
            world.record(report).await.unwrap();
        }
        let filter = Filter {
            from_time: minute(-9),
            until_time: last_instant(),
            outcomes: Outcome::ALL.to_vec(),
            with_unevaluated: true,
        };
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = orders::list_orders(&world.app, &world.brand, &filter, after.as_ref(), 2);
            let page = page.await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.order.order_time, last.order.id.clone()));
            seen.extend(page.iter().map(|view| view.order.id.to_string()));
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
        let credited = Filter {
            outcomes: vec![Outcome::Conversation],
            with_unevaluated: false,
            ..filter
        };
        let page = orders::list_orders(&world.app, &world.brand, &credited, None, 9).await;
        assert_eq!(page.unwrap(), []);
    }
}

/// Returns the field that is refused in a report that `change` has changed.
fn check_report(change: impl FnOnce(&mut wire::OrderReport)) -> Option<&'static str> {
    let money = |minor_units| {
        Some(wire::Money {
            currency_code: "EUR".to_owned(),
            minor_units,
        })
    };
    let mut report = wire::OrderReport {
        order_id: "o".to_owned(),
        buyer: Some(wire::Buyer {
            email: " Ann@Shop.example ".to_owned(),
            ..wire::Buyer::default()
        }),
        total: money(100),
        shipping: money(10),
        ..wire::OrderReport::default()
    };
    change(&mut report);
    let brand = BrandId::parse("shop").unwrap();
    let key = Secrets::random().email_digest_key;
    match convert::order_report(&key, &brand, Some(&report)) {
        Ok(parsed) => {
            let kept = format!("{parsed:?} {:?}", convert::without_email(&parsed).buyer);
            assert!(!kept.to_lowercase().contains("ann@"), "{kept}"); // SPEC 36
            None
        }
        Err(CallError::FieldInvalid { field, .. }) => Some(field),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn money_is_whole_known_and_of_one_currency() {
    let currency = |code: &str| code.to_owned();
    assert_eq!(check_report(|_| ()), None);
    let total = |change: fn(&mut wire::Money)| {
        check_report(|report| change(report.total.as_mut().unwrap()))
    };
    let shipping = |change: fn(&mut wire::Money)| {
        check_report(|report| change(report.shipping.as_mut().unwrap()))
    };
    let code = Some("order.total.currency_code"); // SPEC 46
    assert_eq!(total(|money| money.currency_code = "XYZ".to_owned()), code);
    assert_eq!(total(|money| money.currency_code = "eur".to_owned()), code);
    let units = Some("order.total.minor_units");
    assert_eq!(total(|money| money.minor_units = -1), units);
    let mixed = Some("order.shipping.currency_code");
    assert_eq!(
        shipping(|money| money.currency_code = "USD".to_owned()),
        mixed
    );
    let too_much = Some("order.shipping.minor_units");
    assert_eq!(shipping(|money| money.minor_units = 101), too_much);
    assert_eq!(
        check_report(|report| report.total = None),
        Some("order.total")
    );
    assert_eq!(check_report(|report| report.shipping = None), None);
    let nobody = |report: &mut wire::OrderReport| report.buyer = Some(wire::Buyer::default());
    assert_eq!(check_report(nobody), Some("order.buyer"));
    let no_id = |report: &mut wire::OrderReport| report.order_id = currency("");
    assert_eq!(check_report(no_id), Some("order.order_id"));
}
