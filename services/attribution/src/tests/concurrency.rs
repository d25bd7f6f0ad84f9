//! Several processes on one database.

use std::sync::Arc;

use domain::{attribution::Outcome, order::StatusLabel};
use kit::testing::TestEngine;
use tokio::sync::Barrier;

use super::{World, account, by_account, day, events, member, minute, order, order_id};
use crate::{app::record_order::StatusReport, evaluate};

#[tokio::test(flavor = "multi_thread")]
async fn two_evaluators_at_once_book_once() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        world.policy(day(-100), |_| ()).await.unwrap();
        world.hear_identity([events::temporary(account(1))]).await;
        for index in 0..20 {
            let id = format!("o{index}");
            let report = order(&id, minute(0), by_account(account(1)));
            world.record(report).await.unwrap();
            world.status(&id, "OK", minute(1)).await;
        }
        let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
        let replicas = [Arc::clone(&world.app), world.another().await];
        let passes = replicas
            .map(|app| tokio::spawn(async move { evaluate::evaluate_marked(&app).await.unwrap() }));
        for pass in passes {
            pass.await.unwrap();
        }
        assert_eq!(world.entries().await, [450; 20]); // SPEC 43
        assert_eq!(world.balance(member(1)).await, 20 * 450);
    }
}

/// The visitor of a round talks, as far as chat knows, and buys, at the same instant on another
/// replica; then both look at what there is to do.
async fn meet(worlds: [Arc<World>; 2], at_once: Arc<Barrier>, round: u128) {
    let [one, other] = worlds;
    let (visitor, id) = (account(100 + round), format!("o{round}"));
    let mut report = order(&id, minute(0), by_account(visitor));
    report.status = Some(StatusReport {
        label: StatusLabel::parse(StatusLabel::OK).unwrap(),
        given_time: None,
    });
    let talk = events::talk(100 + round, visitor, member(1), day(-2), day(-1));
    let instant = Arc::clone(&at_once);
    let telling = tokio::spawn(async move {
        instant.wait().await;
        one.hear_chat(talk).await;
        evaluate::evaluate_marked(&one.app).await.unwrap();
    });
    at_once.wait().await;
    other.record(report).await.unwrap();
    evaluate::evaluate_marked(&other.app).await.unwrap();
    telling.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_its_last_fact_at_one_instant_still_meet() {
    const AT_ONCE: u128 = 10;
    for (engine, rounds) in [(TestEngine::Sqlite, 100), (TestEngine::Postgres, 1_000)] {
        let world = Arc::new(World::create(engine).await);
        let other = Arc::new(world.beside().await);
        world.policy(day(-100), |_| ()).await.unwrap();
        let visitors = (0..rounds).map(|round| events::temporary(account(100 + round)));
        world.hear_identity(visitors).await;
        world.settle().await;
        for first in (0..rounds).step_by(usize::try_from(AT_ONCE).unwrap()) {
            let at_once = Arc::new(Barrier::new(2 * usize::try_from(AT_ONCE).unwrap()));
            let pairs: Vec<_> = (first..first + AT_ONCE)
                .map(|round| {
                    let worlds = [Arc::clone(&world), Arc::clone(&other)];
                    tokio::spawn(meet(worlds, Arc::clone(&at_once), round))
                })
                .collect();
            for pair in pairs {
                pair.await.unwrap();
            }
        }
        world.settle().await;
        for round in 0..rounds {
            let outcome = world.outcome(&format!("o{round}")).await;
            assert_eq!(outcome, Some(Outcome::Conversation), "round {round}");
        }
        // Each is booked, and once (SPEC 43).
        let credited = i64::try_from(rounds).unwrap();
        assert_eq!(world.balance(member(1)).await, credited * 450);
        let entries = world.entries().await;
        assert!(entries.iter().all(|amount| *amount == 450), "{entries:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_recorded_by_many_is_one_order() {
    for engine in TestEngine::ALL {
        let world = Arc::new(World::create(engine).await);
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let world = Arc::clone(&world);
                let report = order("o", minute(0), by_account(account(1)));
                tokio::spawn(async move { world.record(report).await.map(|view| view.order_id) })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), order_id("o")); // SPEC 35
        }
    }
}
