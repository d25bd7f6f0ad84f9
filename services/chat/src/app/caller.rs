//! For whom a call is made, and what it must know of.

use domain::{
    id::{AccountId, BrandId, KeyId, MemberId},
    message::Side,
};
use kit::consistency::ConsistencyToken;

use crate::model::Author;

/// A call's caller, as the use cases see him: one party of one Brand.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// His Brand; nothing of another is ever looked at (SPEC 1).
    pub brand_id: BrandId,
    /// Who calls, as kind and id, for request keys; a service by its key, for whomever it acts.
    pub name: String,
    /// Whether a service calls, be it on behalf of a participant: some messages come from services
    /// only (SPEC 27).
    pub is_service: bool,
    /// For whom.
    pub party: Party,
    /// The account, and its link revision, that must be known before anything is read (SPEC 54).
    pub needed: Option<ConsistencyToken>,
}

/// For whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// A visitor with a temporary session: his own account and nothing else. Where that account has
    /// just been linked, its sessions are being revoked, and must not show the client's history.
    Temporary(AccountId),
    /// A visitor and the accounts that are linked to his with history: a client, or whom a service
    /// of the Brand acts for under any of his accounts' ids (SPEC 19).
    Person(AccountId),
    /// A Member.
    Member(MemberId),
    /// A service of the Brand, as itself.
    Service(KeyId),
}

impl Party {
    /// Returns the author of what he writes.
    pub(crate) fn author(self) -> Author {
        match self {
            Self::Temporary(id) | Self::Person(id) => Author::Account(id),
            Self::Member(id) => Author::Member(id),
            Self::Service(id) => Author::Service(id),
        }
    }

    /// Returns the side on which he stands.
    pub(crate) fn side(self) -> Side {
        self.author().side()
    }
}
