//! Following a log over a real socket, through restarts and events that cannot be applied.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use diesel::sql_types::BigInt;
use rapport_proto::event::v1::{MemberChanged, event::Payload};

use super::*;
use crate::{
    directory,
    testing::{
        self, TestEngine, append,
        stub::{RunningStub, Stub, anywhere},
        wait_until,
    },
};

const LONG: Duration = Duration::from_secs(30);

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn members(db: &Db) -> i64 {
    let mut connection = db.read().await.unwrap();
    let row: Result<Number, StoreError> = query!(&mut *connection, |c| {
        diesel::sql_query("SELECT count(*) AS number FROM member")
            .get_result(c)
            .await
    });
    row.unwrap().number
}

/// Appends the facts of `count` new Members, each in a transaction.
async fn append_members(log: &Db, count: usize) {
    for _ in 0..count {
        let mut event = testing::event("shop", "");
        event.payload = Some(Payload::MemberChanged(MemberChanged {
            member_id: uuid::Uuid::new_v4().to_string(),
            revision: 1,
            ..Default::default()
        }));
        append(log, vec![event]).await;
    }
}

fn apply<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    _: DateTime<Utc>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(directory::apply(connection, &batch.events))
}

type Follower = (
    CancellationToken,
    Arc<Mutex<Vec<Batch>>>,
    tokio::task::JoinHandle<()>,
);

/// Follows from the kept place until the token is cancelled; what was observed is kept.
async fn start(running: &RunningStub, db: &Db, apply: Apply) -> Follower {
    let place = place(db, ServiceName::Identity).await.unwrap();
    start_at(place, running, db, apply)
}

fn start_at(place: String, running: &RunningStub, db: &Db, apply: Apply) -> Follower {
    let shutdown = CancellationToken::new();
    let observed = Arc::new(Mutex::new(Vec::new()));
    let observe = {
        let observed = Arc::clone(&observed);
        move |batch: &Batch| observed.lock().unwrap().push(batch.clone())
    };
    let following = follow(
        running.event_source(),
        place,
        db.clone(),
        Clock::system(),
        apply,
        observe,
        shutdown.clone(),
    );
    (shutdown, observed, tokio::spawn(following))
}

async fn run_log(log: &Db, listen: std::net::SocketAddr) -> RunningStub {
    let stub = Stub {
        log: Some(log.clone()),
        ..Stub::default()
    };
    stub.run_for_suite(listen, log).await
}

#[tokio::test]
async fn a_log_is_followed_through_a_restart_of_its_service() {
    for engine in TestEngine::ALL {
        let (_log_database, log) = testing::open(TestEngine::Sqlite).await;
        let (_database, db) = testing::open(engine).await;
        append_members(&log, 5).await;
        let running = run_log(&log, anywhere()).await;
        let (shutdown, observed, task) = start(&running, &db, apply).await;
        wait_until(LONG, async || members(&db).await == 5).await;
        let kept = place(&db, ServiceName::Identity).await.unwrap();
        let last = |observed: &Mutex<Vec<Batch>>| {
            let observed = observed.lock().unwrap();
            observed
                .iter()
                .rfind(|batch| !batch.events.is_empty())
                .map(|b| b.position.clone())
        };
        wait_until(LONG, async || last(&observed) == Some(kept.clone())).await;

        let addr = running.addr;
        running.stop().await;
        append_members(&log, 5).await;
        let running = run_log(&log, addr).await;
        wait_until(LONG, async || members(&db).await == 10).await;
        assert_ne!(
            place(&db, ServiceName::Identity).await.unwrap(),
            kept,
            "{engine:?}"
        );

        assert!(
            event_count(&observed) <= 10,
            "{engine:?}: what was applied before the restart came again"
        );
        shutdown.cancel();
        task.await.unwrap();
        running.stop().await;
    }
}

fn event_count(observed: &Mutex<Vec<Batch>>) -> usize {
    let observed = observed.lock().unwrap();
    observed.iter().map(|batch| batch.events.len()).sum()
}

/// What a process remembers besides the database, it learns by observing alone: revocations, SPEC 59.
#[tokio::test]
async fn what_another_replica_has_applied_is_observed_nevertheless() {
    for engine in TestEngine::ALL {
        let (_log_database, log) = testing::open(TestEngine::Sqlite).await;
        let (_database, db) = testing::open(engine).await;
        let running = run_log(&log, anywhere()).await;
        let place_before = place(&db, ServiceName::Identity).await.unwrap();
        let (shutdown, observed, task) = start(&running, &db, apply).await;
        append_members(&log, 5).await;
        wait_until(LONG, async || event_count(&observed) == 5).await;

        // One that was starting meanwhile, and has loaded what it remembers before.
        let (other_shutdown, others, other_task) = start_at(place_before, &running, &db, apply);
        wait_until(LONG, async || event_count(&others) == 5).await;
        other_shutdown.cancel();
        other_task.await.unwrap();

        // One whose connection is lost, while another's is not.
        let addr = running.addr;
        running.stop().await;
        append_members(&log, 5).await;
        let elsewhere = run_log(&log, anywhere()).await;
        let (other_shutdown, others, other_task) = start(&elsewhere, &db, apply).await;
        wait_until(LONG, async || event_count(&others) == 5).await;
        assert_eq!(event_count(&observed), 5, "{engine:?}");
        let running = run_log(&log, addr).await;
        wait_until(LONG, async || event_count(&observed) == 10).await;
        for (shutdown, task) in [(shutdown, task), (other_shutdown, other_task)] {
            shutdown.cancel();
            task.await.unwrap();
        }
        running.stop().await;
        elsewhere.stop().await;
    }
}

#[tokio::test]
async fn what_is_delivered_again_changes_nothing() {
    for engine in TestEngine::ALL {
        let (_log_database, log) = testing::open(TestEngine::Sqlite).await;
        let (_database, db) = testing::open(engine).await;
        append_members(&log, 20).await;
        let running = run_log(&log, anywhere()).await;
        for _ in 0..2 {
            let (shutdown, observed, task) = start(&running, &db, apply).await;
            wait_until(LONG, async || event_count(&observed) == 20).await;
            shutdown.cancel();
            task.await.unwrap();
            assert_eq!(members(&db).await, 20, "{engine:?}");
            // As after a restore of the consumer's own database to where it had read nothing.
            let forgotten: Result<(), StoreError> = db
                .run_tx("forget", (), |connection, ()| {
                    Box::pin(move_cursor(
                        connection,
                        "identity",
                        "",
                        DateTime::UNIX_EPOCH,
                    ))
                })
                .await;
            forgotten.unwrap();
        }
        running.stop().await;
    }
}

static ATTEMPTS: Mutex<usize> = Mutex::new(0);
static HEALED: Mutex<bool> = Mutex::new(false);

fn refuse_until_healed<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    now: DateTime<Utc>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        apply(connection, batch, now).await?;
        *ATTEMPTS.lock().unwrap() += 1;
        if *HEALED.lock().unwrap() {
            return Ok(());
        }
        Err(StoreError::Corrupt { what: "event" })
    })
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_is_neither_skipped_nor_tried_without_pause() {
    let (_log_database, log) = testing::open(TestEngine::Sqlite).await;
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    append_members(&log, 1).await;
    let running = run_log(&log, anywhere()).await;
    let begin = Instant::now();
    let (shutdown, observed, task) = start(&running, &db, refuse_until_healed).await;
    wait_until(LONG, async || *ATTEMPTS.lock().unwrap() >= 5).await;
    // 100, 200, 400 and 800 ms lie between five attempts.
    assert!(
        begin.elapsed() >= Duration::from_millis(1_500),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(members(&db).await, 0, "its effects are rolled back");
    assert_eq!(
        place(&db, ServiceName::Identity).await.unwrap(),
        "",
        "the cursor stays before it"
    );
    let told = observed
        .lock()
        .unwrap()
        .iter()
        .any(|batch| !batch.events.is_empty());
    assert!(!told, "what was not applied is not observed");
    *HEALED.lock().unwrap() = true;
    wait_until(LONG, async || members(&db).await == 1).await;
    shutdown.cancel();
    task.await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn following_ends_with_the_service_also_while_the_log_cannot_be_reached() {
    let (_log_database, log) = testing::open(TestEngine::Sqlite).await;
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let running = run_log(&log, anywhere()).await;
    let (shutdown, _, task) = start(&running, &db, apply).await;
    running.stop().await;
    shutdown.cancel();
    tokio::time::timeout(LONG, task).await.unwrap().unwrap();
}
