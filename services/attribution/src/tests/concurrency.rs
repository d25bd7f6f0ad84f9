//! Several processes on one database.

use std::sync::Arc;

use domain::attribution::Outcome;
use kit::testing::TestEngine;

use super::{World, account, by_account, day, events, member, minute, order, order_id};
use crate::evaluate;

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

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_its_last_fact_at_one_instant_still_meet() {
    for (engine, rounds) in [(TestEngine::Sqlite, 30), (TestEngine::Postgres, 30)] {
        let world = Arc::new(World::create(engine).await);
        let other = world.another().await;
        for round in 0..rounds {
            let visitor = account(100 + round);
            world.hear_identity([events::temporary(visitor)]).await;
            let id = format!("o{round}");
            let report = order(&id, minute(0), by_account(visitor));
            let talk = events::talk(100 + round, visitor, member(1), day(-2), day(-1));
            let evaluating = {
                let other = Arc::clone(&other);
                tokio::spawn(async move { evaluate::evaluate_marked(&other).await })
            };
            let telling = {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.hear_chat(talk).await })
            };
            world.record(report).await.unwrap();
            telling.await.unwrap();
            evaluating.await.unwrap().unwrap();
            world.settle().await;
            let outcome = world.outcome(&id).await;
            assert_eq!(outcome, Some(Outcome::Conversation), "round {round}");
        }
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
