//! Recording orders by the thousands (SPEC 48).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt, stream};
use kit::{convert::timestamp, testing::TestEngine};
use rapport_proto::attribution::v1::{
    self as wire, AttributionOutcome, ErrorReason, ImportOrdersRequest, ImportOrdersResponse,
    import_orders_response::Result as Told,
};
use tonic::Code;
use tonic_types::StatusExt;

use super::{World, account, by_account, day, events, member, minute, order_id};
use crate::{
    app::{App, digest, orders},
    error::Error,
    grpc::imports::import,
};

/// An order of 100 euros by the visitor of that number, paid.
fn request(line_number: i64, id: &str, visitor: u128) -> ImportOrdersRequest {
    ImportOrdersRequest {
        line_number,
        order: Some(wire::OrderReport {
            order_id: id.to_owned(),
            order_time: Some(timestamp(minute(line_number))),
            buyer: Some(wire::Buyer {
                account_id: account(visitor).to_string(),
                ..wire::Buyer::default()
            }),
            total: money("EUR", 10_000),
            shipping: money("EUR", 1_000),
            status: status("OK", false),
        }),
        statuses: Vec::new(),
        refunds: Vec::new(),
    }
}

fn money(currency_code: &str, minor_units: i64) -> Option<wire::Money> {
    Some(wire::Money {
        currency_code: currency_code.to_owned(),
        minor_units,
    })
}

fn status(label: &str, is_dated: bool) -> Option<wire::OrderStatus> {
    Some(wire::OrderStatus {
        label: label.to_owned(),
        status_time: is_dated.then(|| timestamp(day(2))),
    })
}

fn refund(id: &str, currency_code: &str, minor_units: i64) -> wire::Refund {
    wire::Refund {
        refund_id: id.to_owned(),
        amount: money(currency_code, minor_units),
        refund_time: None,
    }
}

/// Two visitors who talked with the Member, at a Brand that pays 5 %.
async fn talked(engine: TestEngine) -> World {
    let world = World::create(engine).await;
    world.policy(day(-100), |_| ()).await.unwrap();
    for number in 1..=2 {
        let visitor = account(number);
        world.hear_identity([events::temporary(visitor)]).await;
        let talk = events::talk(number, visitor, member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
    }
    world.settle().await;
    world.clock.advance(TimeDelta::days(3));
    world
}

async fn send(
    app: &Arc<App>,
    world: &World,
    requests: Vec<ImportOrdersRequest>,
) -> Vec<ImportOrdersResponse> {
    let requests = stream::iter(requests).map(Ok);
    let answers = import(app, world.brand.clone(), requests);
    answers.try_collect().await.unwrap()
}

fn refusal(answer: &ImportOrdersResponse) -> (ErrorReason, &str) {
    match answer.result.as_ref().unwrap() {
        Told::Refusal(refusal) => (refusal.reason(), refusal.field.as_str()),
        Told::Attribution(attribution) => panic!("{attribution:?}"),
    }
}

fn outcome(answer: &ImportOrdersResponse) -> AttributionOutcome {
    match answer.result.as_ref().unwrap() {
        Told::Attribution(attribution) => attribution.outcome(),
        Told::Refusal(refusal) => panic!("{refusal:?}"),
    }
}

/// The answers, without the times of booking.
async fn digest_of(world: &World) -> digest::BrandDigest {
    digest::digest(&world.app, &world.brand).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_of_an_import_has_its_answer_and_a_bad_one_fails_alone() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        let changed = |line, id: &str, change: fn(&mut ImportOrdersRequest)| {
            let mut request = request(line, id, 1);
            change(&mut request);
            request
        };
        let requests = vec![
            request(1, "good", 1),
            changed(2, "dollars", |one| {
                one.order.as_mut().unwrap().shipping = money("USD", 1);
            }),
            changed(3, "nobody", |one| one.order.as_mut().unwrap().buyer = None),
            changed(4, "good", |one| {
                one.order.as_mut().unwrap().total = money("EUR", 1_001);
            }),
            changed(5, "ahead", |one| {
                one.order.as_mut().unwrap().order_time = Some(timestamp(day(4)));
            }),
            changed(6, "refunded", |one| {
                one.statuses.extend(status("SHIPPED", true));
                one.refunds.push(refund("r", "USD", 1));
            }),
            changed(7, "twice", |one| {
                one.refunds = vec![refund("r", "EUR", 1), refund("r", "EUR", 2)];
            }),
            changed(8, "", |_| ()),
            changed(9, "returned", |one| {
                one.refunds.push(refund("r", "EUR", 4_000));
                one.statuses.extend(status("PACKED", false));
            }),
            changed(10, "labelled", |one| one.statuses.extend(status("", true))),
            request(11, "last", 3),
        ];
        let answers = send(&world.app, &world, requests).await;
        let lines: Vec<i64> = answers.iter().map(|answer| answer.line_number).collect();
        assert_eq!(lines, (1..=11).collect::<Vec<i64>>()); // SPEC 48: in their order
        let field = ErrorReason::FieldInvalid;
        for (line, expected) in [
            (2, (field, "order.shipping.currency_code")),
            (3, (field, "order.buyer")),
            (4, (ErrorReason::OrderIdReused, "")),
            (5, (ErrorReason::OrderInFuture, "")),
            (6, (field, "refunds.amount.currency_code")),
            (7, (ErrorReason::RefundIdReused, "")),
            (8, (field, "order.order_id")),
            (10, (field, "statuses.label")),
        ] {
            assert_eq!(refusal(&answers[line - 1]), expected, "line {line}");
        }
        assert_eq!(outcome(&answers[0]), AttributionOutcome::Conversation);
        assert_eq!(outcome(&answers[8]), AttributionOutcome::Conversation);
        assert_eq!(outcome(&answers[10]), AttributionOutcome::Pending);
        assert_eq!(
            (answers[7].order_id.as_str(), answers[9].order_id.as_str()),
            ("", "labelled")
        );
        // Nothing of a refused order is recorded.
        for id in ["refunded", "twice"] {
            let found = orders::get_order(&world.app, &world.brand, &order_id(id)).await;
            assert!(matches!(found, Err(Error::OrderNotFound { .. })), "{id}");
            world
                .record(super::order(id, minute(0), by_account(account(9))))
                .await
                .unwrap();
            let view = orders::get_order(&world.app, &world.brand, &order_id(id))
                .await
                .unwrap();
            assert_eq!((view.statuses.len(), view.refunds.len()), (0, 0), "{id}");
        }
        // 5 % of 90 euros, and of 50.
        assert_eq!(world.balance(member(1)).await, 450 + 250); // SPEC 43
        assert!(digest_of(&world).await.is_settled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_sent_again_answers_the_same_and_changes_nothing() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        let requests: Vec<ImportOrdersRequest> = (0..300)
            .map(|index| {
                let mut request = request(index, &format!("o{index}"), 1);
                request.statuses.extend(status("PACKED", index % 2 == 0));
                request.refunds.push(refund("r", "EUR", 100));
                request
            })
            .collect();
        // It breaks after a hundred.
        let first = send(&world.app, &world, requests[..100].to_vec()).await;
        let whole = send(&world.app, &world, requests.clone()).await;
        assert_eq!(first, whole[..100]);
        assert_eq!(world.balance(member(1)).await, 300 * 445);
        world.status("o7", "CANCELLED", day(3)).await;
        let (before, entries) = (digest_of(&world).await, world.entries().await);
        world.clock.advance(TimeDelta::days(1));
        let again = send(&world.app, &world, requests).await;
        for index in (0..300).filter(|index| *index != 7) {
            assert_eq!(again[index], whole[index]); // SPEC 35
        }
        // Its statuses without a time are not told anew: it stays cancelled (SPEC 45).
        assert_eq!(digest_of(&world).await, before);
        assert_eq!(world.entries().await, entries);
        let view = orders::get_order(&world.app, &world.brand, &order_id("o7")).await;
        assert_eq!(view.unwrap().statuses.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_before_or_is_imported_by_two_at_once_is_one_order() {
    for engine in TestEngine::ALL {
        let world = talked(engine).await;
        // Statuses and refunds may precede their order (SPEC 45).
        world.status("o0", "CANCELLED", day(2)).await;
        world.refund("o1", "r", super::eur(9_000)).await.unwrap();
        let mut requests: Vec<_> = (0..200)
            .map(|index| request(index, &format!("o{index}"), 1))
            .collect();
        requests[1].refunds.push(refund("r", "EUR", 9_000));
        let mut backwards = requests.clone();
        backwards.reverse();
        let other = world.another().await;
        let (one, two) = tokio::join!(
            send(&world.app, &world, requests),
            send(&other, &world, backwards)
        );
        for answer in one.iter().chain(&two) {
            assert_eq!(outcome(answer), AttributionOutcome::Conversation);
        }
        world.settle().await;
        // The first `OK` has no time, so it is later than the cancellation.
        assert_eq!(world.balance(member(1)).await, 199 * 450);
        assert_eq!(world.entries().await, [450; 199]); // SPEC 43
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_read_than_a_few_batches_ahead_of_the_reader() {
    let world = talked(TestEngine::Sqlite).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let endless = (0..).map(move |index| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(request(index % 9, &format!("o{}", index % 9), 1))
    });
    let mut answers = import(&world.app, world.brand.clone(), stream::iter(endless));
    for line in 0..1_000 {
        let answer = answers.try_next().await.unwrap().unwrap();
        assert_eq!(answer.line_number, line % 9);
    }
    // What was answered, and four batches: one that is told, two that are evaluated, one that is
    // recorded.
    assert!(taken.load(Ordering::SeqCst) <= 1_000 + 4 * 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_ends_when_the_service_stops_and_can_be_gone_on_with() {
    let world = talked(TestEngine::Sqlite).await;
    let requests = stream::iter([Ok(request(1, "o", 1))]).chain(stream::pending());
    let mut answers = import(&world.app, world.brand.clone(), requests);
    // Who sends one at a time is answered at once.
    let answer = answers.try_next().await.unwrap().unwrap();
    assert_eq!(outcome(&answer), AttributionOutcome::Conversation);
    world.app.shutdown.cancel();
    let status = answers.try_next().await.unwrap_err();
    let reason = status.get_details_error_info().unwrap().reason;
    assert_eq!(
        (status.code(), reason.as_str()),
        (Code::Unavailable, "SHUTTING_DOWN")
    );
}
