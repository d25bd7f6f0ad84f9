//! The log on PostgreSQL, where transactions overlap.

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use super::*;
use crate::testing::TestDatabase;

/// Appends over a connection of the test's own.
async fn insert(connection: &mut AsyncPgConnection, cause: &str, transaction: &str) {
    let event = event("shop", cause);
    let bytes: String = event
        .encode_to_vec()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let sql = format!(
        "INSERT INTO event_log (transaction_id, event_id, brand_id, create_time, event) \
         VALUES ({transaction}, '{}', 'shop', now(), '\\x{bytes}')",
        event.event_id
    );
    connection.batch_execute(&sql).await.unwrap();
}

const OWN: &str = "pg_current_xact_id()";

#[tokio::test]
async fn the_row_of_a_transaction_that_began_first_and_committed_last_is_not_skipped() {
    // SPEC 50.
    let (database, db) = testing::open(TestEngine::Postgres).await;
    let mut early = testing::connect(&database).await;
    let mut late = testing::connect(&database).await;
    early.batch_execute("BEGIN").await.unwrap();
    insert(&mut early, "early", OWN).await;
    let mut reader = read_from(&db, Start::Beginning);
    late.batch_execute("BEGIN").await.unwrap();
    insert(&mut late, "late", OWN).await;
    late.batch_execute("COMMIT").await.unwrap();
    // What is committed above a transaction that still runs is not told early.
    for _ in 0..3 {
        heartbeat(&mut reader).await;
    }
    early.batch_execute("COMMIT").await.unwrap();
    let order = ["early", "late"];
    assert_eq!(causes(&mut reader, 2).await, order);
    assert_eq!(
        causes(&mut read_from(&db, Start::Beginning), 2).await,
        order
    );
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_gap_to_wait_for() {
    let (database, db) = testing::open(TestEngine::Postgres).await;
    let mut early = testing::connect(&database).await;
    early.batch_execute("BEGIN").await.unwrap();
    insert(&mut early, "never", OWN).await;
    append(&db, vec![event("shop", "kept")]).await;
    early.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(
        causes(&mut read_from(&db, Start::Beginning), 1).await,
        ["kept"]
    );
}

#[tokio::test]
async fn a_reader_far_behind_reads_no_more_than_a_batch() {
    let (database, _db) = testing::open(TestEngine::Postgres).await;
    testing::assert_rows_come_in_order(&database.url, &POSTGRES_AFTER);
}

#[tokio::test]
async fn a_role_that_owns_only_its_database_reads_the_log() {
    let url = testing::create_on_postgres().await;
    let name = url.rsplit_once('/').unwrap().1;
    let mut superuser = AsyncPgConnection::establish(&url).await.unwrap();
    superuser
        .batch_execute(&format!(
            "CREATE ROLE {name} LOGIN; ALTER DATABASE {name} OWNER TO {name}"
        ))
        .await
        .unwrap();
    let url = url.replacen("postgres@", &format!("{name}@"), 1);
    let db = Db::open(&url.parse().unwrap(), testing::migrations())
        .await
        .unwrap();
    append(&db, vec![event("shop", "seen")]).await;
    assert_eq!(
        causes(&mut read_from(&db, Start::Beginning), 1).await,
        ["seen"]
    );
}

#[tokio::test]
async fn events_of_a_dump_from_a_busier_cluster_are_read_and_come_first() {
    let (database, _) = testing::open(TestEngine::Postgres).await;
    let mut restore = testing::connect(&database).await;
    insert(&mut restore, "restored 1", "'900000000000'").await;
    insert(&mut restore, "restored 2", "'900000000001'").await;
    let of_the_dump = "UPDATE incarnation SET name = 'of the dump'";
    restore.batch_execute(of_the_dump).await.unwrap();
    let db = reopen(&database).await;
    append(&db, vec![event("shop", "new")]).await;
    let seen = causes(&mut read_from(&db, Start::Beginning), 3).await;
    assert_eq!(seen, ["restored 1", "restored 2", "new"]);
}

async fn reopen(database: &TestDatabase) -> Db {
    database.open(testing::migrations()).await
}

#[tokio::test]
async fn an_event_that_cannot_be_decoded_stops_the_reader_and_is_not_skipped() {
    let (database, db) = testing::open(TestEngine::Postgres).await;
    let mut connection = testing::connect(&database).await;
    let broken = "INSERT INTO event_log (event_id, brand_id, create_time, event) \
                  VALUES (gen_random_uuid(), 'shop', now(), '\\xff')";
    connection.batch_execute(broken).await.unwrap();
    append(&db, vec![event("shop", "behind")]).await;
    let mut reader = read_from(&db, Start::Beginning);
    loop {
        match reader.next().await.expect("an error comes before the end") {
            Ok(batch) => assert_eq!(batch.events, []),
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
                break;
            }
        }
    }
    assert!(reader.next().await.is_none());
}
