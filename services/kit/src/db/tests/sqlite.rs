//! SQLite alone: batches of the one writer, its readers.

use std::sync::{Arc, Barrier};

use super::*;

/// Keeps the writer busy from the first fall of the barrier to the second, so that what is called
/// meanwhile is one batch.
fn wait_for<'a>(
    _: &'a mut Connection,
    barrier: &'a Arc<Barrier>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        barrier.wait();
        barrier.wait();
        Ok(())
    })
}

/// What a full disk or a trigger may do behind the back of the transaction.
fn mark_and_lose<'a>(
    connection: &'a mut Connection,
    id: &'a i64,
) -> BoxFuture<'a, Result<i64, StoreError>> {
    Box::pin(async move {
        mark(connection, id).await?;
        execute(connection, "ROLLBACK").await?;
        Ok(*id)
    })
}

/// Calls `middle` between two good jobs, all three in one batch.
async fn batch_around(
    db: &Db,
    middle: TxBody<i64, i64, StoreError>,
) -> [Result<i64, StoreError>; 3] {
    let barrier = Arc::new(Barrier::new(2));
    let mut busy = Box::pin(db.run_tx("wait", Arc::clone(&barrier), wait_for));
    assert!(busy.as_mut().now_or_never().is_none());
    fall(&barrier).await;
    let calls = async {
        tokio::join!(
            db.run_tx("mark", 1, mark),
            db.run_tx("mark", 2, middle),
            db.run_tx("mark", 3, mark),
        )
    };
    let mut calls = Box::pin(calls);
    assert!(calls.as_mut().now_or_never().is_none());
    fall(&barrier).await;
    let (first, second, third) = calls.await;
    busy.await.unwrap();
    [first, second, third]
}

async fn fall(barrier: &Arc<Barrier>) {
    let barrier = Arc::clone(barrier);
    tokio::task::spawn_blocking(move || barrier.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_job_of_a_batch_that_fails_fails_alone() {
    let (_database, db) = open(TestEngine::Sqlite).await;
    let [first, second, third] = batch_around(&db, mark_and_refuse).await;
    assert!(
        matches!((&first, &third), (Ok(1), Ok(3))),
        "{first:?} {third:?}"
    );
    assert!(
        matches!(second, Err(StoreError::Corrupt { .. })),
        "{second:?}"
    );
    assert_eq!(marks(&db).await, 2);
}

#[tokio::test]
async fn a_batch_whose_transaction_is_lost_fails_whole_and_the_writer_goes_on() {
    let (_database, db) = open(TestEngine::Sqlite).await;
    for _ in 0..3 {
        for result in batch_around(&db, mark_and_lose).await {
            assert!(
                matches!(result, Err(StoreError::Unavailable(_))),
                "{result:?}"
            );
        }
        assert_eq!(marks(&db).await, 0);
    }
    db.run_tx("mark", 4, mark).await.unwrap();
    assert_eq!(marks(&db).await, 1);
}

#[tokio::test]
async fn a_body_that_awaits_anything_else_is_refused() {
    let (_database, db) = open(TestEngine::Sqlite).await;
    let result: Result<(), StoreError> = db
        .run_tx("wait", (), |connection, ()| {
            Box::pin(async move {
                mark(connection, &1).await?;
                std::future::pending().await
            })
        })
        .await;
    assert!(matches!(result, Err(StoreError::Defect(_))), "{result:?}");
    db.run_tx("mark", 1, mark).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_cannot_be_had_in_time_is_unavailable() {
    let (_database, db) = open(TestEngine::Sqlite).await;
    let held = join_all((0..4).map(|_| db.read())).await;
    assert!(held.iter().all(Result::is_ok));
    assert!(matches!(db.read().await, Err(StoreError::Unavailable(_))));
    drop(held);
    assert!(db.read().await.is_ok());
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let (_database, db) = open(TestEngine::Sqlite).await;
    let mut connection = db.read().await.unwrap();
    let written = execute(&mut connection, "INSERT INTO mark VALUES (1)").await;
    assert!(written.is_err());
}

#[tokio::test]
async fn two_that_open_one_file_at_once_migrate_it_once() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let opened = (0..4).map(|_| {
        let url = database.url.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime
                .block_on(Db::open(&url, testing::migrations()))
                .map(|_| ())
        })
    });
    for thread in opened.collect::<Vec<_>>() {
        thread.join().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_log_holds_nothing_and_the_writer_goes_on() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let db = database.open(testing::migrations()).await;
    let DatabaseUrl::Sqlite(file) = &database.url else {
        panic!("{:?}", database.url);
    };
    let log = file.with_extension("sqlite3-wal");
    let append = || testing::append(&db, vec![testing::event("shop", "a-word-of-its-own")]);
    append().await;
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    db.empty_log().await.unwrap(); // SPEC 55
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    append().await;
}
