//! PostgreSQL alone: conflicts, connections, migrations by several at once.

use super::*;
use crate::telemetry;

/// Raises one counter, waits until another transaction can have raised the other, and raises that.
fn raise_both<'a>(
    connection: &'a mut Connection,
    (first, second): &'a (i64, i64),
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        execute(
            connection,
            &format!("UPDATE counter SET n = n + 1 WHERE id = {first}"),
        )
        .await?;
        execute(connection, "SELECT pg_sleep(0.1)").await?;
        execute(
            connection,
            &format!("UPDATE counter SET n = n + 1 WHERE id = {second}"),
        )
        .await
    })
}

#[tokio::test]
async fn a_deadlock_is_run_again() {
    let (database, db) = open(TestEngine::Postgres).await;
    let (one, other) = tokio::join!(
        db.run_locked_tx("raise_both", (1, 2), raise_both),
        db.run_locked_tx("raise_both", (2, 1), raise_both),
    );
    one.unwrap();
    other.unwrap();
    let sum = count(&db, "SELECT sum(n)::bigint AS number FROM counter").await;
    assert_eq!(sum, 4);
    let mut outside = testing::connect(&database).await;
    let deadlocks = "SELECT deadlocks AS number FROM pg_stat_database \
                     WHERE datname = current_database()";
    wait_until(LONG, async || {
        outside_number(&mut outside, deadlocks).await > 0
    })
    .await;
}

async fn outside_number(connection: &mut AsyncPgConnection, sql: &str) -> i64 {
    let row: Number = diesel::sql_query(sql).get_result(connection).await.unwrap();
    row.number
}

/// Takes the one free place, if it sees it free. Two of these at once conflict only at their end.
fn take_if_free<'a>(
    connection: &'a mut Connection,
    id: &'a i64,
) -> BoxFuture<'a, Result<bool, StoreError>> {
    Box::pin(async move {
        let taken = select(connection, "SELECT count(*) AS number FROM mark").await?;
        execute(connection, "SELECT pg_sleep(0.05)").await?;
        if taken > 0 {
            return Ok(false);
        }
        mark(connection, id).await?;
        Ok(true)
    })
}

#[tokio::test]
async fn a_conflict_at_commit_is_run_again_and_counted() {
    let registry = telemetry::tests::registry();
    let (_database, db) = open(TestEngine::Postgres).await;
    let taken = join_all((0..8).map(|id| db.run_tx("take", id, take_if_free))).await;
    let taken: Vec<bool> = taken.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
    assert_eq!(marks(&db).await, 1);

    let sample = |name| telemetry::tests::sample(&registry, name, &[("transaction", "take")]);
    let retries = sample("rapport_transaction_retries_total").unwrap();
    assert!(retries.get_counter().get_value() >= 1.0);
    // However often its body ran, a transaction is one.
    let duration = sample("rapport_transaction_duration_seconds").unwrap();
    assert_eq!(duration.get_histogram().get_sample_count(), 8);
    let wait = "db_client_connection_wait_time_seconds";
    let wait = telemetry::tests::sample(&registry, wait, &[]).unwrap();
    assert!(wait.get_histogram().get_sample_count() >= 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_leave_no_transaction_open() {
    let (database, db) = open(TestEngine::Postgres).await;
    let calls: Vec<_> = (0..300)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.run_tx("increment", (), read_and_increment).await })
        })
        .collect();
    for (index, call) in calls.into_iter().enumerate() {
        if index % 7 == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
    }
    let mut outside = testing::connect(&database).await;
    let open = "SELECT count(*) AS number FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'rapport' \
                AND state <> 'idle'";
    wait_until(LONG, async || outside_number(&mut outside, open).await == 0).await;
    let calls = (0..32).map(|id| db.run_tx("mark", id, mark));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let lost = "SELECT count(*) AS number FROM pg_stat_activity \
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let backends = "SELECT count(*) AS number FROM pg_stat_activity \
                    WHERE datname = current_database() AND application_name = 'rapport'";
    let before = outside_number(&mut outside, backends).await;
    // What was begun may still run to its end. A transaction that nobody ends would be ended by the
    // server, and its connection with it: none may be missing.
    wait_until(LONG, async || outside_number(&mut outside, lost).await == 0).await;
    assert_eq!(outside_number(&mut outside, backends).await, before);
}

#[tokio::test]
async fn connections_that_the_server_closed_are_replaced() {
    let (database, db) = open(TestEngine::Postgres).await;
    let calls = (0..16).map(|id| db.run_tx("mark", id, mark));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let mut outside = testing::connect(&database).await;
    let terminate = "SELECT count(pg_terminate_backend(pid)) AS number FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = 'rapport'";
    assert!(outside_number(&mut outside, terminate).await > 0);
    let calls = (100..132).map(|id| db.run_tx("mark", id, mark));
    for result in join_all(calls).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let (database, _) = open(TestEngine::Postgres).await;
    let db = database.open(testing::migrations()).await;
    let connection = &mut *db.read().await.unwrap();
    let setting = "SELECT setting::bigint AS number FROM pg_settings WHERE name = ";
    let timeout = format!("{setting}'statement_timeout'");
    assert_eq!(select(connection, &timeout).await.unwrap(), 10_000);
    let timeout = format!("{setting}'idle_in_transaction_session_timeout'");
    assert_eq!(select(connection, &timeout).await.unwrap(), 1_000);
    execute(connection, "SET statement_timeout = 50")
        .await
        .unwrap();
    let slow = execute(connection, "SELECT pg_sleep(30)").await;
    assert!(matches!(slow, Err(StoreError::Unavailable(_))), "{slow:?}");
}

#[tokio::test]
async fn replicas_that_start_together_migrate_in_turn_and_release_the_lock() {
    let database = TestDatabase::create(TestEngine::Postgres).await;
    let opened = join_all((0..6).map(|_| Db::open(&database.url, testing::migrations()))).await;
    assert!(opened.iter().all(Result::is_ok));
    let mut outside = testing::connect(&database).await;
    let locks = "SELECT count(*) AS number FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait_until(LONG, async || {
        outside_number(&mut outside, locks).await == 0
    })
    .await;
}

#[tokio::test]
async fn options_of_the_url_reach_the_server() {
    let url = format!(
        "{}?options=-c%20work_mem%3D5MB",
        testing::create_on_postgres().await
    );
    let db = Db::open(&url.parse().unwrap(), testing::migrations())
        .await
        .unwrap();
    let connection = &mut *db.read().await.unwrap();
    let work_mem = "SELECT setting::bigint AS number FROM pg_settings WHERE name = 'work_mem'";
    assert_eq!(select(connection, work_mem).await.unwrap(), 5 * 1024);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable() {
    let url = "postgres://nobody@127.0.0.1:1/none".parse().unwrap();
    let opened = Db::open(&url, testing::migrations()).await;
    assert!(matches!(
        opened.map(|_| ()),
        Err(StoreError::Unavailable(_))
    ));
}
