//! Why identity refuses a call, and what the caller is told.

use domain::id::KeyId;
use kit::{
    db::{StoreError, TxError},
    error::{CallError, Refusal},
};
use tonic::{Code, Status};

use crate::assertion::AssertionRefusal;

/// The `ErrorInfo` domain of identity's reasons.
pub(crate) const DOMAIN: &str = "identity.rapport";

/// A call that is refused, or could not be carried out. One variant for each thing a caller can do
/// something about; the reasons are those of `rapport.identity.v1.ErrorReason`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// What the methods of all services share.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The call made something with a secret before, which is not repeated (SPEC 61).
    #[error("request_id was used before, and the answer to it held a secret")]
    SecretNotRepeated {
        /// The metadata key and the id of what was made then.
        made: Option<(&'static str, KeyId)>,
    },
    /// No such Brand for this caller.
    #[error("there is no such Brand")]
    BrandNotFound,
    /// Another Brand has the slug.
    #[error("the Brand id is taken")]
    BrandIdTaken,
    /// No such account for this caller.
    #[error("there is no such account")]
    AccountNotFound,
    /// A sign-in has settled the temporary account.
    #[error("the account is settled by a sign-in")]
    AccountSettled,
    /// Nothing personal is left of the account.
    #[error("the account is erased")]
    AccountErased,
    /// Another service did not tell its part.
    #[error("{peer} did not answer")]
    PeerUnavailable {
        /// Which one.
        peer: &'static str,
    },
    /// No such Member in the Brand.
    #[error("there is no such Member")]
    MemberNotFound,
    /// The Member does not answer visitors any more.
    #[error("the Member is deactivated")]
    MemberDeactivated,
    /// The thing has changed since the caller read it.
    #[error("the resource has changed since it was read")]
    EtagMismatch,
    /// A temporary account may not act in this widget (SPEC 2).
    #[error("this widget takes client accounts only")]
    WidgetNeedsClient,
    /// The widget policy was not accepted in the Brand's version (SPEC 2).
    #[error("the widget policy '{version}' has not been accepted")]
    WidgetPolicyNotAccepted {
        /// The Brand's version; empty where any will do.
        version: String,
    },
    /// The assertion proves nothing. The cause is for the audit log, and never told.
    #[error("the assertion is refused")]
    AssertionRefused {
        /// Why.
        cause: AssertionRefusal,
    },
    /// The Brand's key server is away, and what it last said does not decide (SPEC 4).
    #[error("the Brand's key set could not be fetched")]
    KeySetUnavailable,
    /// No such assertion key in the Brand.
    #[error("there is no such assertion key")]
    AssertionKeyNotFound,
    /// As many keys of the kind are in force as may be.
    #[error("at most {limit} keys of this kind may be in force")]
    AssertionKeyLimitReached {
        /// How many.
        limit: usize,
    },
    /// No such API key in the Brand.
    #[error("there is no such API key")]
    ApiKeyNotFound,
    /// The API key gives no token.
    #[error("the API key is refused")]
    ApiKeyRefused,
    /// The session token opens nothing.
    #[error("the session token is refused")]
    SessionRefused,
    /// No such link in the Brand.
    #[error("there is no such link")]
    LinkNotFound,
    /// The link was revoked before.
    #[error("the link is revoked already")]
    LinkRevoked,
    /// The id is that of an upgraded account, and an upgrade is final (SPEC 16).
    #[error("an upgrade cannot be revoked")]
    UpgradeNotRevocable,
    /// No such erasure in the Brand.
    #[error("there is no such erasure")]
    ErasureNotFound,
}

impl IdentityError {
    /// Returns the refusal of one field.
    pub(crate) fn field(field: &'static str, problem: impl ToString) -> Self {
        CallError::field(field, problem).into()
    }

    fn refusal(&self) -> Refusal {
        let with = |code, reason| Refusal::new(code, reason, self.to_string());
        match self {
            Self::Call(error) => error.refusal(),
            Self::SecretNotRepeated { made } => {
                let refusal = with(Code::AlreadyExists, "REQUEST_ID_REUSED");
                match made {
                    Some((key, id)) => refusal.with(key, id),
                    None => refusal,
                }
            }
            Self::BrandNotFound => with(Code::NotFound, "BRAND_NOT_FOUND"),
            Self::BrandIdTaken => with(Code::AlreadyExists, "BRAND_ID_TAKEN"),
            Self::AccountNotFound => with(Code::NotFound, "ACCOUNT_NOT_FOUND"),
            Self::AccountSettled => with(Code::FailedPrecondition, "ACCOUNT_SETTLED"),
            Self::AccountErased => with(Code::FailedPrecondition, "ACCOUNT_ERASED"),
            Self::PeerUnavailable { peer } => {
                with(Code::Unavailable, "PEER_UNAVAILABLE").with("peer", peer)
            }
            Self::MemberNotFound => with(Code::NotFound, "MEMBER_NOT_FOUND"),
            Self::MemberDeactivated => with(Code::FailedPrecondition, "MEMBER_DEACTIVATED"),
            Self::EtagMismatch => with(Code::Aborted, "ETAG_MISMATCH"),
            Self::WidgetNeedsClient => with(Code::FailedPrecondition, "WIDGET_NEEDS_CLIENT"),
            Self::WidgetPolicyNotAccepted { version } => {
                with(Code::FailedPrecondition, "WIDGET_POLICY_NOT_ACCEPTED")
                    .with("widgetPolicyVersion", version)
            }
            Self::AssertionRefused { .. } => with(Code::Unauthenticated, "ASSERTION_REFUSED"),
            Self::KeySetUnavailable => with(Code::Unavailable, "KEY_SET_UNAVAILABLE"),
            Self::AssertionKeyNotFound => with(Code::NotFound, "ASSERTION_KEY_NOT_FOUND"),
            Self::AssertionKeyLimitReached { limit } => {
                with(Code::FailedPrecondition, "ASSERTION_KEY_LIMIT_REACHED").with("limit", limit)
            }
            Self::ApiKeyNotFound => with(Code::NotFound, "API_KEY_NOT_FOUND"),
            Self::ApiKeyRefused => with(Code::Unauthenticated, "API_KEY_REFUSED"),
            Self::SessionRefused => with(Code::Unauthenticated, "SESSION_REFUSED"),
            Self::LinkNotFound => with(Code::NotFound, "LINK_NOT_FOUND"),
            Self::LinkRevoked => with(Code::FailedPrecondition, "LINK_REVOKED"),
            Self::UpgradeNotRevocable => with(Code::FailedPrecondition, "UPGRADE_NOT_REVOCABLE"),
            Self::ErasureNotFound => with(Code::NotFound, "ERASURE_NOT_FOUND"),
        }
    }
}

impl From<StoreError> for IdentityError {
    fn from(error: StoreError) -> Self {
        Self::Call(error.into())
    }
}

impl TxError for IdentityError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Call(error) => error.store_error(),
            _ => None,
        }
    }
}

impl From<IdentityError> for Status {
    fn from(error: IdentityError) -> Self {
        error.refusal().into_status(DOMAIN)
    }
}

#[cfg(test)]
mod tests {
    use rapport_proto::identity::v1::ErrorReason;
    use tonic_types::StatusExt;
    use uuid::Uuid;

    use super::*;

    fn check(error: IdentityError, code: Code, reason: ErrorReason) {
        let text = error.to_string();
        let status = Status::from(error);
        let info = status.get_details_error_info().unwrap();
        let name = format!("ERROR_REASON_{}", info.reason);
        assert_eq!(ErrorReason::from_str_name(&name), Some(reason), "{text}");
        assert_eq!(
            (status.code(), info.domain.as_str()),
            (code, DOMAIN),
            "{text}"
        );
    }

    #[test]
    fn every_refusal_has_a_reason_of_the_contract() {
        use Code::*;
        use ErrorReason as R;
        use IdentityError::*;
        let made = Some(("apiKeyId", Uuid::nil().into()));
        check(
            SecretNotRepeated { made },
            AlreadyExists,
            R::RequestIdReused,
        );
        check(BrandNotFound, NotFound, R::BrandNotFound);
        check(BrandIdTaken, AlreadyExists, R::BrandIdTaken);
        check(AccountNotFound, NotFound, R::AccountNotFound);
        check(AccountSettled, FailedPrecondition, R::AccountSettled);
        check(AccountErased, FailedPrecondition, R::AccountErased);
        let peer = "chat";
        check(PeerUnavailable { peer }, Unavailable, R::PeerUnavailable);
        check(MemberNotFound, NotFound, R::MemberNotFound);
        check(MemberDeactivated, FailedPrecondition, R::MemberDeactivated);
        check(EtagMismatch, Aborted, R::EtagMismatch);
        check(WidgetNeedsClient, FailedPrecondition, R::WidgetNeedsClient);
        let version = "2".to_owned();
        check(
            WidgetPolicyNotAccepted { version },
            FailedPrecondition,
            R::WidgetPolicyNotAccepted,
        );
        let cause = AssertionRefusal::SignatureInvalid;
        check(
            AssertionRefused { cause },
            Unauthenticated,
            R::AssertionRefused,
        );
        check(KeySetUnavailable, Unavailable, R::KeySetUnavailable);
        check(AssertionKeyNotFound, NotFound, R::AssertionKeyNotFound);
        let limit = 2;
        check(
            AssertionKeyLimitReached { limit },
            FailedPrecondition,
            R::AssertionKeyLimitReached,
        );
        check(ApiKeyNotFound, NotFound, R::ApiKeyNotFound);
        check(ApiKeyRefused, Unauthenticated, R::ApiKeyRefused);
        check(SessionRefused, Unauthenticated, R::SessionRefused);
        check(LinkNotFound, NotFound, R::LinkNotFound);
        check(LinkRevoked, FailedPrecondition, R::LinkRevoked);
        check(
            UpgradeNotRevocable,
            FailedPrecondition,
            R::UpgradeNotRevocable,
        );
        check(ErasureNotFound, NotFound, R::ErasureNotFound);
        let field = IdentityError::field("username", "is blank");
        check(field, InvalidArgument, R::FieldInvalid);
    }
}
