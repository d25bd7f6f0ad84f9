//! The migrations, as all of the suite must be (convention 20).

use kit::testing::assert_migrations_are_reversible_and_commented;

use crate::migrations;

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_reversible_and_commented() {
    assert_migrations_are_reversible_and_commented(migrations()).await;
}
