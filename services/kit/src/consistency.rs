//! The token by which a caller asks not to be answered from before a sign-in (SPEC 54).

use domain::id::AccountId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{error::CallError, page};

/// A client account, and the link revision that an answer must at least know of.
///
/// Identity gives it as an opaque text with each sign-in; the other services read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsistencyToken {
    /// The client account.
    pub account_id: AccountId,
    /// Its link revision at the sign-in.
    pub link_revision: i64,
}

#[derive(Deserialize, Serialize)]
struct Wire {
    account: Uuid,
    link_revision: i64,
}

impl ConsistencyToken {
    /// Returns the opaque text.
    pub fn to_text(self) -> String {
        page::token(&Wire {
            account: self.account_id.uuid(),
            link_revision: self.link_revision,
        })
    }

    /// Returns what the text of a request's `consistency_token` says, or `None` where it is empty.
    ///
    /// # Errors
    ///
    /// [`CallError::FieldInvalid`] when identity gave no such token.
    pub fn parse(text: &str) -> Result<Option<Self>, CallError> {
        let wire: Option<Wire> = page::cursor(text)
            .map_err(|_| CallError::field("consistency_token", "is not one that identity gave"))?;
        Ok(wire.map(|wire| Self {
            account_id: wire.account.into(),
            link_revision: wire.link_revision,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back() {
        let token = ConsistencyToken {
            account_id: AccountId::new(Uuid::nil()),
            link_revision: 7,
        };
        assert_eq!(
            ConsistencyToken::parse(&token.to_text()).unwrap(),
            Some(token)
        );
        assert_eq!(ConsistencyToken::parse("").unwrap(), None);
        assert!(ConsistencyToken::parse("x").is_err());
    }
}
