//! Orders of a span of time, evaluated again (SPEC 44), and what is behind the marks of many.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{attribution::Outcome, id::BrandId};
use kit::{
    error::CallError,
    testing::{TestEngine, wait_until},
};
use tokio_util::sync::CancellationToken;

use super::{World, account, by_account, day, events, member, order};
use crate::{
    app::recomputations::{self, Progress},
    error::Error,
    evaluate::{self, recompute},
    store::{
        dirty_marks,
        recomputations::{self as store, Recomputation},
    },
};

/// Three paid orders, of days 1 to 3, by a visitor who talked with the Member before, at 5 %.
async fn three_orders(engine: TestEngine) -> World {
    let world = World::create(engine).await;
    world.policy(day(-100), |_| ()).await.unwrap();
    world.clock.advance(TimeDelta::days(5));
    world.hear_identity([events::temporary(account(1))]).await;
    let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
    world.hear_chat(talk).await;
    for number in 1..=3 {
        let id = format!("o{number}");
        let report = order(&id, day(number), by_account(account(1)));
        world.record(report).await.unwrap();
        world.status(&id, "OK", day(4)).await;
    }
    world.settle().await;
    assert_eq!(world.balance(member(1)).await, 3 * 450);
    world
}

/// Forgets what the latest fact has touched, as a defect would.
async fn lose_marks(world: &World) {
    let brands = {
        let mut connection = world.app.db.read().await.unwrap();
        dirty_marks::list_brands(&mut connection).await.unwrap()
    };
    let (_, last) = brands
        .into_iter()
        .find(|(brand_id, _)| *brand_id == world.brand)
        .expect("the fact has left a mark");
    let numbers: Vec<i64> = (1..=last).collect();
    let deleted: Result<(), kit::db::StoreError> = world
        .app
        .db
        .run_locked_tx(
            "lose_marks",
            (world.brand.clone(), numbers),
            |connection, (brand_id, numbers)| {
                Box::pin(dirty_marks::delete(connection, brand_id, numbers))
            },
        )
        .await;
    deleted.unwrap();
}

async fn ask(world: &World, request: u128) -> Result<Progress, Error> {
    let key = world.request("RecomputeAttributions", request, "all");
    recomputations::recompute(&world.app, &world.brand, key, None, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_mark_left_out_is_booked_by_a_recomputation() {
    for engine in TestEngine::ALL {
        let world = three_orders(engine).await;
        // Later messages with another Member win orders 2 and 3.
        let answer_time = day(1) + TimeDelta::hours(1);
        let talk = events::talk(2, account(1), member(2), day(1), answer_time);
        world.hear_chat(talk).await;
        lose_marks(&world).await;
        world.settle().await;
        assert_eq!(world.balance(member(2)).await, 0);
        let asked = ask(&world, 7).await.unwrap();
        assert_eq!((asked.order_count, asked.evaluated_count), (3, 0));
        world.settle().await;
        assert_eq!(world.balance(member(2)).await, 2 * 450);
        assert_eq!(world.balance(member(1)).await, 450);
        let done = ask(&world, 7).await.unwrap(); // SPEC 61: the same call tells how far it is.
        assert_eq!((done.order_count, done.evaluated_count), (3, 3));
        assert_eq!(done.changed_count, 2);
        assert_eq!(done.complete_time, Some(world.clock.now()));
        // Where nothing is amiss it changes nothing.
        ask(&world, 8).await.unwrap();
        world.settle().await;
        assert_eq!(ask(&world, 8).await.unwrap().changed_count, 0);
        assert_eq!(world.entries().await.len(), 3 + 2 * 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_requested_recomputation_runs_at_a_time() {
    for engine in TestEngine::ALL {
        let world = three_orders(engine).await;
        // One behind a policy is none that was requested.
        world.policy(day(0), |_| ()).await.unwrap();
        ask(&world, 7).await.unwrap();
        let second = ask(&world, 8).await;
        assert!(matches!(second, Err(Error::RecomputationRunning)));
        world.settle().await;
        ask(&world, 8).await.unwrap();
        let key = world.request("RecomputeAttributions", 9, "none");
        let empty = Some(day(1));
        let refused = recomputations::recompute(&world.app, &world.brand, key, empty, empty).await;
        assert!(matches!(
            refused,
            Err(Error::Call(CallError::FieldInvalid { .. }))
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_recomputed_up_to_the_next_one() {
    for engine in TestEngine::ALL {
        let world = three_orders(engine).await;
        world.policy(day(3), |_| ()).await.unwrap();
        world.settle().await;
        let doubled = world.policy(day(1) + TimeDelta::hours(1), |policy| {
            policy.commission_rate_ppm = 100_000;
        });
        doubled.await.unwrap();
        let running = {
            let mut connection = world.app.db.read().await.unwrap();
            store::list_running(&mut connection, 9).await.unwrap()
        };
        let [(brand_id, id)] = running.as_slice() else {
            panic!("{running:?}");
        };
        world.settle().await;
        let mut connection = world.app.db.read().await.unwrap();
        let done = store::find(&mut connection, brand_id, *id).await.unwrap();
        let Recomputation {
            evaluated_count,
            changed_count,
            ..
        } = done.unwrap();
        assert_eq!((evaluated_count, changed_count), (1, 1)); // SPEC 44: order 2 alone
        drop(connection);
        assert_eq!(world.balance(member(1)).await, 450 + 900 + 450);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recomputation_goes_on_after_its_process_is_gone() {
    for engine in TestEngine::ALL {
        let world = three_orders(engine).await;
        ask(&world, 7).await.unwrap();
        let running = {
            let mut connection = world.app.db.read().await.unwrap();
            store::list_running(&mut connection, 9).await.unwrap()
        };
        // Another process takes it up and dies.
        let input = (running[0].clone(), world.clock.now());
        let claimed: Result<bool, kit::db::StoreError> = world
            .app
            .db
            .run_locked_tx("claim", input, |connection, ((brand_id, id), now)| {
                Box::pin(store::claim(connection, brand_id, *id, *now, *now))
            })
            .await;
        assert!(claimed.unwrap());
        assert_eq!(recompute::recompute(&world.app).await.unwrap(), 0);
        world.clock.advance(TimeDelta::seconds(31));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(recompute::run(world.another().await, shutdown.clone()));
        wait_until(Duration::from_secs(20), async || {
            ask(&world, 7).await.unwrap().complete_time.is_some()
        })
        .await;
        shutdown.cancel();
        task.await.unwrap();
        assert_eq!(ask(&world, 7).await.unwrap().evaluated_count, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_several_persons_at_once_reach_the_orders_of_each() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        world.policy(day(-100), |_| ()).await.unwrap();
        for number in 1..=4 {
            world
                .hear_identity([events::temporary(account(number))])
                .await;
            let report = order(&format!("o{number}"), day(0), by_account(account(number)));
            world.record(report).await.unwrap();
        }
        world.settle().await;
        // One page of marks: of two persons before their order, of one after it, of one none.
        let facts = [
            events::talk(1, account(1), member(1), day(-2), day(-1)),
            events::talk(2, account(2), member(2), day(-2), day(-1)),
            events::talk(3, account(3), member(3), day(1), day(2)),
        ];
        world.hear_chat(facts.into_iter().flatten()).await;
        assert_eq!(evaluate::evaluate_marked(&world.app).await.unwrap(), 3);
        for (id, outcome) in [
            ("o1", Outcome::Conversation),
            ("o2", Outcome::Conversation),
            ("o3", Outcome::NoQualifyingChatroom),
            ("o4", Outcome::NoChatroom),
        ] {
            assert_eq!(world.outcome(id).await, Some(outcome), "{id}");
        }
        // A message behind every order there is touches none (SPEC 38).
        let side = rapport_proto::event::v1::Side::Visitor;
        let later = events::said(1, account(1), member(1), side, day(1));
        world.hear_chat([later]).await;
        assert_eq!(evaluate::evaluate_marked(&world.app).await.unwrap(), 0);
        let other = BrandId::parse("other").unwrap();
        let mut connection = world.app.db.read().await.unwrap();
        let left = dirty_marks::exist(&mut connection, &world.brand).await;
        assert!(!left.unwrap() && !dirty_marks::exist(&mut connection, &other).await.unwrap());
    }
}
