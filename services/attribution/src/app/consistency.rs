//! Whether the sign-in that a token tells of is seen (SPEC 54).

use domain::id::BrandId;
use kit::{
    consistency::ConsistencyToken,
    directory::{self, links},
    error::CallError,
};

use super::App;
use crate::error::Error;

/// Returns `token` where its sign-in is not seen and cannot be asked for now.
///
/// Identity is asked at most once. Where it has answered, everything that it can tell is known: a
/// token that claims more is none that it gave, and is passed over.
pub(crate) async fn unseen(
    app: &App,
    brand_id: &BrandId,
    token: Option<ConsistencyToken>,
) -> Result<Option<ConsistencyToken>, Error> {
    let Some(token) = token else {
        return Ok(None);
    };
    let known = {
        let mut connection = app.db.read().await?;
        links::known_revision(&mut connection, brand_id, token.account_id).await?
    };
    if known >= token.link_revision {
        return Ok(None);
    }
    match directory::refresh(&app.db, &app.identity, brand_id, token.account_id).await {
        Ok(_) => Ok(None),
        Err(CallError::IdentityUnavailable) => Ok(Some(token)),
        Err(error) => Err(error.into()),
    }
}
