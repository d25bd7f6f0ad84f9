//! What a transaction promises, on both engines.

mod postgres;
mod sqlite;

use std::time::Duration;

use diesel::{QueryableByName, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::{
    query,
    testing::{self, TestDatabase, TestEngine, wait_until},
};

const LONG: Duration = Duration::from_secs(30);

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn execute(connection: &mut Connection, sql: &str) -> Result<(), StoreError> {
    query!(connection, |c| diesel::sql_query(sql).execute(c).await)?;
    Ok(())
}

async fn select(connection: &mut Connection, sql: &str) -> Result<i64, StoreError> {
    let row: Number = query!(connection, |c| diesel::sql_query(sql).get_result(c).await)?;
    Ok(row.number)
}

/// Returns a database with the counters 1 and 2, both 0, and a table of marks.
async fn open(engine: TestEngine) -> (TestDatabase, Db) {
    let (database, db) = testing::open(engine).await;
    let made: Result<(), StoreError> = db
        .run_tx("make_tables", (), |connection, ()| {
            Box::pin(async move {
                let counter = "CREATE TABLE counter (id bigint PRIMARY KEY, n bigint NOT NULL)";
                execute(connection, counter).await?;
                execute(connection, "INSERT INTO counter VALUES (1, 0), (2, 0)").await?;
                execute(connection, "CREATE TABLE mark (id bigint PRIMARY KEY)").await
            })
        })
        .await;
    made.unwrap();
    (database, db)
}

async fn count(db: &Db, sql: &str) -> i64 {
    let mut connection = db.read().await.unwrap();
    select(&mut connection, sql).await.unwrap()
}

async fn marks(db: &Db) -> i64 {
    count(db, "SELECT count(*) AS number FROM mark").await
}

/// Inserts a mark.
fn mark<'a>(connection: &'a mut Connection, id: &'a i64) -> BoxFuture<'a, Result<i64, StoreError>> {
    Box::pin(async move {
        execute(connection, &format!("INSERT INTO mark VALUES ({id})")).await?;
        Ok(*id)
    })
}

/// Inserts a mark, and then refuses.
fn mark_and_refuse<'a>(
    connection: &'a mut Connection,
    id: &'a i64,
) -> BoxFuture<'a, Result<i64, StoreError>> {
    Box::pin(async move {
        mark(connection, id).await?;
        Err(StoreError::Corrupt { what: "refused" })
    })
}

/// Inserts a mark, and then panics.
fn mark_and_panic<'a>(
    connection: &'a mut Connection,
    id: &'a i64,
) -> BoxFuture<'a, Result<i64, StoreError>> {
    Box::pin(async move {
        mark(connection, id).await?;
        panic!("mark {id} is one too many")
    })
}

/// Inserts a mark, then one that is there already, and says that all is well.
fn mark_and_swallow<'a>(
    connection: &'a mut Connection,
    id: &'a i64,
) -> BoxFuture<'a, Result<i64, StoreError>> {
    Box::pin(async move {
        mark(connection, id).await?;
        let second = mark(connection, id).await;
        assert!(matches!(second, Err(StoreError::Constraint { .. })));
        Ok(*id)
    })
}

/// Reads counter 1, and writes one more: correct only if nobody comes between.
fn read_and_increment<'a>(
    connection: &'a mut Connection,
    (): &'a (),
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        let n = select(connection, "SELECT n AS number FROM counter WHERE id = 1").await?;
        execute(
            connection,
            &format!("UPDATE counter SET n = {} WHERE id = 1", n + 1),
        )
        .await
    })
}

#[tokio::test]
async fn what_a_body_returns_is_committed_and_what_it_refuses_is_not() {
    for engine in TestEngine::ALL {
        let (_database, db) = open(engine).await;
        assert_eq!(db.run_tx("mark", 7, mark).await.unwrap(), 7);
        assert_eq!(db.run_locked_tx("mark", 8, mark).await.unwrap(), 8);
        let refused = db.run_tx("mark", 9, mark_and_refuse).await;
        assert!(matches!(
            refused,
            Err(StoreError::Corrupt { what: "refused" })
        ));
        assert_eq!(marks(&db).await, 2, "{engine:?}");
    }
}

#[tokio::test]
async fn of_increments_that_conflict_none_is_lost() {
    for engine in TestEngine::ALL {
        let (_database, db) = open(engine).await;
        let tasks = (0..50).map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.run_tx("increment", (), read_and_increment).await })
        });
        for result in join_all(tasks).await {
            result.unwrap().unwrap();
        }
        let n = count(&db, "SELECT n AS number FROM counter WHERE id = 1").await;
        assert_eq!(n, 50, "{engine:?}");
    }
}

#[tokio::test]
async fn the_write_of_a_caller_who_went_away_is_committed() {
    for engine in TestEngine::ALL {
        let (_database, db) = open(engine).await;
        for id in 0..300 {
            // Polled once, then dropped.
            let answer = db.run_tx("mark", id, mark).now_or_never();
            assert!(answer.is_none(), "nothing is committed at once");
            // Else this task would have had its turn before it has begun them all.
            tokio::task::yield_now().await;
        }
        wait_until(LONG, async || marks(&db).await == 300).await;
        // All of the pool is still of use, at once.
        let calls = (1_000..1_032).map(|id| db.run_tx("mark", id, mark));
        assert!(
            join_all(calls).await.iter().all(Result::is_ok),
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_panics_fails_alone() {
    for engine in TestEngine::ALL {
        let (_database, db) = open(engine).await;
        for round in 0..20 {
            let good = (0..8).map(|n| db.run_tx("mark", 100 * round + n, mark));
            let bad = db.run_tx("mark", 100 * round + 99, mark_and_panic);
            let (good, bad) = tokio::join!(join_all(good), bad);
            assert!(good.iter().all(Result::is_ok), "{engine:?}: {good:?}");
            assert!(
                matches!(bad, Err(StoreError::Defect(_))),
                "{engine:?}: {bad:?}"
            );
        }
        assert_eq!(marks(&db).await, 160, "{engine:?}");
    }
}

#[tokio::test]
async fn a_body_that_swallows_the_failure_of_a_statement_commits_nothing() {
    for engine in TestEngine::ALL {
        let (_database, db) = open(engine).await;
        let result = db.run_tx("mark", 1, mark_and_swallow).await;
        assert!(
            matches!(result, Err(StoreError::Defect(_))),
            "{engine:?}: {result:?}"
        );
        assert_eq!(marks(&db).await, 0, "{engine:?}");
        // The next transaction on that connection starts without a blemish.
        db.run_tx("mark", 2, mark).await.unwrap();
    }
}

#[tokio::test]
async fn a_constraint_is_told_from_other_failures() {
    for engine in TestEngine::ALL {
        let (_database, db) = open(engine).await;
        db.run_tx("mark", 1, mark).await.unwrap();
        let again = db.run_tx("mark", 1, mark).await;
        assert!(
            matches!(again, Err(StoreError::Constraint { .. })),
            "{engine:?}: {again:?}"
        );
    }
}

#[tokio::test]
async fn the_migrations_of_the_kit_are_reversible_and_commented() {
    testing::assert_migrations_are_reversible_and_commented(testing::migrations()).await;
}

#[test]
fn a_postgres_url_is_never_shown() {
    let url: DatabaseUrl = "postgres://user:hunter2@host/db".parse().unwrap();
    assert!(!format!("{url:?}").contains("hunter2"));
}

#[test]
fn other_urls_are_refused() {
    for text in [
        "mysql://host/db",
        "sqlite://",
        "sqlite://:memory:",
        "sqlite://file:x?mode=memory",
        "",
        "file.db",
    ] {
        assert!(text.parse::<DatabaseUrl>().is_err(), "{text}");
    }
}
