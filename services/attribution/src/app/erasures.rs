//! What is told of a person who was erased (SPEC 55).

use std::collections::BTreeSet;

use domain::id::{AccountId, BrandId};

use super::App;
use crate::{
    error::Error,
    store::account_erasures::{self, AppliedErasure},
};

/// Returns the last erasure that was applied to a person, once one has been to all of its accounts.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn find_applied(
    app: &App,
    brand_id: &BrandId,
    accounts: &BTreeSet<AccountId>,
) -> Result<Option<AppliedErasure>, Error> {
    let ids: Vec<AccountId> = accounts.iter().copied().collect();
    let mut connection = app.db.read().await?;
    let applied = account_erasures::list(&mut connection, brand_id, &ids).await?;
    if applied.len() < ids.len() {
        return Ok(None);
    }
    Ok(applied.into_iter().max_by_key(|one| one.apply_time))
}
