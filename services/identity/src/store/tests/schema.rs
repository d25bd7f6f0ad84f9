//! What the schema refuses, and that its migrations can be undone.

use kit::testing::assert_migrations_are_reversible_and_commented;

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
async fn migrations_are_reversible_and_commented() {
    assert_migrations_are_reversible_and_commented(crate::migrations()).await;
}
