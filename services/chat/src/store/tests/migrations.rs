//! The migrations, forth and back, and their comments (convention 20).

use kit::testing::assert_migrations_are_reversible_and_commented;

#[tokio::test(flavor = "multi_thread")]
async fn they_can_be_taken_back_and_made_again() {
    assert_migrations_are_reversible_and_commented(crate::migrations()).await;
}
