//! The migrations, forth and back (convention 20).

use diesel::{Connection as _, SqliteConnection};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::MigrationHarness;
use kit::{
    db::DatabaseUrl,
    testing::{TestDatabase, TestEngine, create_on_postgres},
};

use crate::service::{POSTGRES, SQLITE};

/// How many migrations are chat's own.
const OWN: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn they_can_be_taken_back_and_made_again_on_sqlite() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    drop(database.open(crate::migrations()).await);
    let DatabaseUrl::Sqlite(path) = &database.url else {
        panic!("{:?}", database.url);
    };
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    for _ in 0..OWN {
        connection.revert_last_migration(SQLITE).unwrap();
    }
    assert_eq!(
        connection.run_pending_migrations(SQLITE).unwrap().len(),
        OWN
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn they_can_be_taken_back_and_made_again_on_postgres() {
    let url = create_on_postgres().await;
    let opened = kit::db::Db::open(&url.parse().unwrap(), crate::migrations()).await;
    drop(opened.unwrap());
    let connection = AsyncPgConnection::establish(&url).await.unwrap();
    let mut harness = AsyncMigrationHarness::new(connection);
    tokio::task::block_in_place(|| {
        for _ in 0..OWN {
            harness.revert_last_migration(POSTGRES).unwrap();
        }
        assert_eq!(harness.run_pending_migrations(POSTGRES).unwrap().len(), OWN);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_has_a_comment() {
    let url = create_on_postgres().await;
    let opened = kit::db::Db::open(&url.parse().unwrap(), crate::migrations()).await;
    drop(opened.unwrap());
    let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
    let bare = diesel::sql_query(
        "SELECT 1 FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name IN ('chatroom', 'message') \
         AND col_description(table_name::regclass, ordinal_position) IS NULL",
    );
    assert_eq!(bare.execute(&mut connection).await.unwrap(), 0);
}
