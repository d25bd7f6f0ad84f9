//! Following attributions and the ledger as they happen.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use domain::id::BrandId;
use futures_util::{StreamExt, TryStreamExt};
use kit::{
    db::DatabaseUrl,
    testing::{TestEngine, wait_until},
};
use rapport_proto::attribution::v1::{
    WatchAttributionsResponse, watch_attributions_response::Update,
};
use secrecy::ExposeSecret;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{World, account, by_account, day, events, member, minute, order};
use crate::grpc::watching::{Watch, watch};

const PATIENCE: Duration = Duration::from_secs(60);

fn watch_from(world: &World, position: &str) -> Watch {
    let brand = world.brand.clone();
    watch(&world.app, brand, position, PATIENCE)
        .map_err(crate::error::Error::into_status)
        .unwrap()
}

/// Returns a reader who is told all that happens from now on.
async fn begin(world: &World) -> Watch {
    let mut reader = watch_from(world, "");
    let first = reader.try_next().await.unwrap().unwrap();
    assert_eq!(name(&first), None, "{first:?}");
    reader
}

/// What is told, or `None` for a heartbeat.
fn name(told: &WatchAttributionsResponse) -> Option<String> {
    match told.update.as_ref().unwrap() {
        Update::Attribution(one) => Some(format!("{} {}", one.order_id, one.revision)),
        Update::LedgerEntry(one) => {
            let amount = one.amount.as_ref().unwrap().minor_units;
            Some(format!("{} books {amount}", one.order_id))
        }
        Update::Heartbeat(_) => None,
    }
}

/// Returns the next `count` things that are told, with their positions.
async fn told(reader: &mut Watch, count: usize) -> Vec<(String, String)> {
    let mut told = Vec::new();
    while told.len() < count {
        let one = reader.try_next().await.unwrap().unwrap();
        assert!(one.position.len() <= 128, "{}", one.position);
        told.extend(name(&one).map(|name| (name, one.position)));
    }
    told
}

async fn heartbeat(reader: &mut Watch) {
    let told = reader.try_next().await.unwrap().unwrap();
    assert_eq!(name(&told), None, "{told:?}");
}

fn names(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).collect()
}

fn check(status: &Status, code: Code, reason: &str) {
    let found = status.get_details_error_info().unwrap().reason;
    assert_eq!((status.code(), found.as_str()), (code, reason));
}

/// A visitor who talked with a Member, at a Brand that pays 5 %.
async fn talked(engine: TestEngine) -> World {
    let world = World::create(engine).await;
    world.policy(day(-100), |_| ()).await.unwrap();
    world.hear_identity([events::temporary(account(1))]).await;
    let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
    world.hear_chat(talk).await;
    world.settle().await;
    world.clock.advance(TimeDelta::days(1));
    world
}

async fn buy(world: &World, id: &str) {
    let report = order(id, minute(1), by_account(account(1)));
    world.record(report).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_order_and_goes_on_from_any_position() {
    for engine in TestEngine::ALL {
        let mut world = talked(engine).await;
        buy(&world, "before").await;
        let mut reader = begin(&world).await;
        buy(&world, "o").await;
        world.status("o", "OK", minute(2)).await;
        // The same once more changes nothing, and is not told.
        buy(&world, "o").await;
        let shop = std::mem::replace(&mut world.brand, BrandId::parse("other").unwrap());
        buy(&world, "elsewhere").await;
        world.brand = shop;
        world.status("o", "CANCELLED", minute(3)).await;
        let mut all = told(&mut reader, 1).await;
        while all.last().is_none_or(|(name, _)| name != "o books -450") {
            all.extend(told(&mut reader, 1).await);
        }
        // What was committed just before may be told where another transaction of the server still runs, and
        // what an attribution was between two looks is not.
        all.retain(|(name, _)| !["before 1", "o 1", "o 2"].contains(&name.as_str()));
        assert_eq!(names(&all), ["o books 450", "o 3", "o books -450"]);
        let mut late = watch_from(&world, &all[0].1);
        assert_eq!(names(&told(&mut late, 2).await), ["o 3", "o books -450"]);
        heartbeat(&mut late).await;
        // A position of a database that was put back from a backup: all is told again.
        let (_, place) = all[1].1.split_once(':').unwrap();
        let mut again = watch_from(&world, &format!("before:{place}"));
        let expected = ["before 1", "o books 450", "o 3", "o books -450"];
        assert_eq!(names(&told(&mut again, 4).await), expected);
        let refused = watch(&world.app, world.brand.clone(), "nowhere", PATIENCE);
        let status = refused.map(|_| ()).unwrap_err().into_status();
        check(&status, Code::InvalidArgument, "RESUME_POSITION_INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_began_first_and_was_committed_last_is_not_skipped() {
    let world = talked(TestEngine::Postgres).await;
    buy(&world, "early").await;
    let DatabaseUrl::Postgres(url) = &world.database.url else {
        panic!("it is PostgreSQL");
    };
    let mut early = AsyncPgConnection::establish(url.expose_secret())
        .await
        .unwrap();
    let mut reader = begin(&world).await;
    let change = "BEGIN; UPDATE attribution SET transaction_id = pg_current_xact_id(), \
         change_number = nextval('change_number') WHERE order_id = 'early'";
    early.batch_execute(change).await.unwrap();
    buy(&world, "late").await;
    for _ in 0..2 {
        heartbeat(&mut reader).await;
    }
    early.batch_execute("COMMIT").await.unwrap();
    assert_eq!(names(&told(&mut reader, 2).await), ["early 1", "late 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_is_told_to_come_again_and_loses_nothing() {
    let world = talked(TestEngine::Sqlite).await;
    buy(&world, "o").await;
    let holders = Arc::strong_count(&world.app);
    let brand = world.brand.clone();
    let impatient = watch(&world.app, brand, "of another life:0:0", Duration::ZERO);
    let mut reader = impatient.map_err(crate::error::Error::into_status).unwrap();
    // Heartbeats fill what may wait for him, and who tells him is gone.
    wait_until(PATIENCE, async || {
        Arc::strong_count(&world.app) == holders + 1
    })
    .await;
    buy(&world, "late").await;
    let taken = told(&mut reader, 1).await;
    assert_eq!(names(&taken), ["o 1"]);
    let status = loop {
        match reader.next().await.unwrap() {
            Ok(heartbeat) => assert_eq!(name(&heartbeat), None),
            Err(status) => break status,
        }
    };
    check(&status, Code::ResourceExhausted, "WATCHER_TOO_SLOW");
    assert!(reader.next().await.is_none());
    let mut resumed = watch_from(&world, &taken[0].1);
    assert_eq!(names(&told(&mut resumed, 1).await), ["late 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_service_ends_the_stream() {
    let world = talked(TestEngine::Sqlite).await;
    let mut reader = begin(&world).await;
    world.app.shutdown.cancel();
    let status = loop {
        if let Err(status) = reader.next().await.unwrap() {
            break status;
        }
    };
    check(&status, Code::Unavailable, "SHUTTING_DOWN");
}
