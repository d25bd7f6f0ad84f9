//! Who calls.

use std::collections::BTreeSet;

use domain::id::{AccountId, BrandId, KeyId, MemberId, SessionId};
use rapport_proto::access::v1::{Caller, Scope};
use tonic::Request;
use uuid::Uuid;

use crate::error::CallError;

/// A caller whose credential was verified, or one who has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody in particular.
    Anonymous,
    /// A visitor in a temporary session.
    Temporary(Subject<AccountId>),
    /// A signed-in visitor.
    Client(Subject<AccountId>),
    /// A Member.
    Member(Subject<MemberId>),
    /// A service of a Brand.
    Service {
        /// The Brand whose service it is.
        brand_id: BrandId,
        /// The API key that its token was issued for.
        key_id: KeyId,
        /// What the key allows.
        scopes: BTreeSet<i32>,
    },
    /// The installation's operator.
    Operator,
    /// Another service of the suite.
    Suite,
}

/// A person with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<Id> {
    /// The Brand that he belongs to.
    pub brand_id: BrandId,
    /// The account or Member.
    pub id: Id,
    /// The session that the token was issued for.
    pub session_id: SessionId,
    /// The client account's link revision when the token was issued; 0 for others (SPEC 54).
    pub link_revision: i64,
}

impl Principal {
    /// Returns the kind of caller, as methods name it.
    pub fn caller(&self) -> Caller {
        match self {
            Self::Anonymous => Caller::Anonymous,
            Self::Temporary(_) => Caller::Temporary,
            Self::Client(_) => Caller::Client,
            Self::Member(_) => Caller::Member,
            Self::Service { .. } => Caller::Service,
            Self::Operator => Caller::Operator,
            Self::Suite => Caller::Suite,
        }
    }

    /// Returns the Brand that the credential names; operators and the suite have none.
    pub fn brand_id(&self) -> Option<&BrandId> {
        match self {
            Self::Temporary(subject) | Self::Client(subject) => Some(&subject.brand_id),
            Self::Member(subject) => Some(&subject.brand_id),
            Self::Service { brand_id, .. } => Some(brand_id),
            Self::Anonymous | Self::Operator | Self::Suite => None,
        }
    }

    /// Returns the Brand that a call is about: the credential's own, or for operators and the suite
    /// the one that the request names.
    ///
    /// # Errors
    ///
    /// [`CallError::FieldInvalid`] when the request's Brand is missing or malformed;
    /// `Ok(None)` when it names another Brand than the caller's own, which must be answered like one
    /// that does not exist (SPEC 1).
    pub fn brand_of_call(&self, requested: &str) -> Result<Option<BrandId>, CallError> {
        match self.brand_id() {
            Some(own) if requested.is_empty() || requested == own.as_str() => Ok(Some(own.clone())),
            Some(_) => Ok(None),
            None => crate::convert::field("brand_id", BrandId::parse(requested)).map(Some),
        }
    }

    /// Returns which account, Member or API key calls; the other kinds have no id.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Temporary(subject) | Self::Client(subject) => Some(subject.id.uuid()),
            Self::Member(subject) => Some(subject.id.uuid()),
            Self::Service { key_id, .. } => Some(key_id.uuid()),
            Self::Anonymous | Self::Operator | Self::Suite => None,
        }
    }

    /// Returns the caller as kind and id, for request keys.
    pub fn name(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Temporary(subject) | Self::Client(subject) => format!("account/{}", subject.id),
            Self::Member(subject) => format!("member/{}", subject.id),
            Self::Service { key_id, .. } => format!("service/{key_id}"),
            Self::Operator => "operator".to_owned(),
            Self::Suite => "suite".to_owned(),
        }
    }

    /// Tells whether a service's key allows `scope`; other callers have no scopes.
    pub fn has_scope(&self, scope: Scope) -> bool {
        matches!(self, Self::Service { scopes, .. } if scopes.contains(&i32::from(scope)))
    }
}

/// Returns who calls, as [`AccessLayer`](super::AccessLayer) found out.
///
/// # Errors
///
/// [`CallError::Unauthenticated`] when no layer has looked.
pub fn principal<T>(request: &Request<T>) -> Result<Principal, CallError> {
    request
        .extensions()
        .get()
        .cloned()
        .ok_or(CallError::Unauthenticated)
}
