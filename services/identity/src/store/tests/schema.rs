//! What the schema refuses, and that its migration can be undone.

use diesel_async::RunQueryDsl;
use kit::query;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_refuses_what_must_never_be() {
    check_refused("two clients of one customer (SPEC 4)", |c, ()| {
        Box::pin(async move { accounts::insert(c, &client(9, "c-1")).await })
    })
    .await;
    check_refused("two active links of one temporary (SPEC 10)", |c, ()| {
        Box::pin(async move {
            accounts::insert(c, &client(4, "c-2")).await?;
            links::insert(c, &link(1, 3, 1)).await?;
            links::insert(c, &link(2, 4, 1)).await
        })
    })
    .await;
    check_refused("two settlements of one temporary (SPEC 13)", |c, ()| {
        Box::pin(async move {
            for client_account_id in [id(2), id(3)] {
                let settlement = Settlement {
                    brand_id: shop(),
                    temporary_account_id: id(1),
                    outcome: OutcomeKind::Abandoned,
                    merge_case: MergeCase::Case3,
                    client_account_id,
                    link_id: None,
                    policy_revision: 1,
                    settle_time: at(1),
                };
                settlements::insert(c, &settlement).await?;
            }
            Ok(())
        })
    })
    .await;
    check_refused("a temporary account with a customer id", |c, ()| {
        Box::pin(async move {
            let account = Account {
                customer_id: Some("c-5".parse().unwrap()),
                ..temporary(9)
            };
            accounts::insert(c, &account).await
        })
    })
    .await;
    check_refused("a link of an account with itself", |c, ()| {
        Box::pin(async move { links::insert(c, &link(1, 3, 3)).await })
    })
    .await;
    check_refused("a row of a Brand that does not exist", |c, ()| {
        Box::pin(async move {
            let account = Account {
                brand_id: BrandId::parse("nobody").unwrap(),
                ..temporary(9)
            };
            accounts::insert(c, &account).await
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn down_undoes_up() {
    const POSTGRES: &str =
        include_str!("../../../migrations/postgres/2026-11-22-000100_identity/down.sql");
    const SQLITE: &str =
        include_str!("../../../migrations/sqlite/2026-11-22-000100_identity/down.sql");
    const POSTGRES_UP: &str =
        include_str!("../../../migrations/postgres/2026-11-22-000100_identity/up.sql");
    const SQLITE_UP: &str =
        include_str!("../../../migrations/sqlite/2026-11-22-000100_identity/up.sql");
    async fn statements(c: &mut Connection, sql: &str) -> Result<(), StoreError> {
        let without_comments: Vec<&str> =
            sql.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in without_comments.join("\n").split(";\n") {
            if !statement.trim().is_empty() {
                query!(c, |c| diesel::sql_query(statement).execute(c).await)?;
            }
        }
        Ok(())
    }
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let db = database.open(crate::migrations()).await;
        let redo: Body = |c, ()| {
            Box::pin(async move {
                let (down, up) = match c {
                    Connection::Postgres(_) => (POSTGRES, POSTGRES_UP),
                    Connection::Sqlite(_) => (SQLITE, SQLITE_UP),
                };
                statements(c, down).await?;
                statements(c, up).await?;
                brands::insert(c, &brand("shop")).await
            })
        };
        db.run_tx("redo", (), redo).await.unwrap();
    }
}
