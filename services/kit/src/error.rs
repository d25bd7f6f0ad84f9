//! From a failure to an answer on the wire.
//!
//! Every answer that is not OK carries `google.rpc.ErrorInfo` with a stable reason, and each
//! variable of its message also as metadata (AIP-193). What the database or a library said stays
//! inside the process.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    db::{StoreError, TxError},
    limit::LimitName,
};

/// An answer that is not OK, before it is tied to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    field: Option<(&'static str, String)>,
    retry_delay: Option<Duration>,
}

impl Refusal {
    /// Returns a refusal with a reason of the service's closed set.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: Vec::new(),
            field: None,
            retry_delay: None,
        }
    }

    /// Adds a variable of the message, under a lowerCamelCase key.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Adds when the caller may try again, as `google.rpc.RetryInfo`.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Returns its reason.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns what it says to people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the field at fault, where it is one.
    pub fn field(&self) -> Option<&'static str> {
        self.field.as_ref().map(|(field, _)| *field)
    }

    /// Returns the status of the service whose reasons these are: `domain` is `identity.rapport`.
    pub fn into_status(self, domain: &str) -> Status {
        let metadata: HashMap<String, String> = self
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason, domain, metadata);
        if let Some((field, description)) = self.field {
            details.add_bad_request_violation(field, description);
        }
        if self.retry_delay.is_some() {
            details.set_retry_info(self.retry_delay);
        }
        Status::with_error_details(self.code, self.message, details)
    }
}

/// The failures that the methods of all services share.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A field of the request is missing or wrong.
    #[error("{field} {problem}")]
    FieldInvalid {
        /// The field's name in the proto.
        field: &'static str,
        /// What is wrong with it, without its value.
        problem: String,
    },
    /// No credential, or one that is not valid; the answer does not say which.
    #[error("a valid credential is required")]
    Unauthenticated,
    /// The credential is valid, and not for this method.
    #[error("the caller may not call this method")]
    PermissionDenied,
    /// Another request was sent under the same `request_id` (SPEC 61).
    #[error("request_id was used for another request")]
    RequestIdReused,
    /// The token was not given by this method for this request.
    #[error("page_token is not one that this method gave")]
    PageTokenInvalid,
    /// Identity, which has to be asked, does not answer.
    #[error("identity does not answer")]
    IdentityUnavailable,
    /// A sign-in that the caller knows of cannot be seen yet (SPEC 54).
    #[error("the sign-in that the token tells of cannot be seen yet")]
    ConsistencyUnavailable,
    /// The position is not one that this method gave.
    #[error("resume_position is not one that this method gave")]
    ResumePositionInvalid,
    /// The Brand's calls are not served.
    #[error("the Brand is suspended")]
    BrandSuspended,
    /// Too many calls by nobody in particular (SPEC 59), or by all together at once.
    #[error("too many calls: the limit per {limit} is reached")]
    RateLimited {
        /// Which limit.
        limit: LimitName,
        /// When to try again.
        retry_delay: Duration,
    },
    /// The caller's deadline passed; what was begun may have been carried out.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// The message is larger than the service takes.
    #[error("the message is too large")]
    RequestTooLarge,
    /// The server is about to stop.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The method's turn has not come.
    #[error("{method} is not implemented yet")]
    Unimplemented {
        /// The full name of the method.
        method: &'static str,
    },
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// A defect of this program.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CallError {
    /// Returns the refusal of one field.
    pub fn field(field: &'static str, problem: impl ToString) -> Self {
        Self::FieldInvalid {
            field,
            problem: problem.to_string(),
        }
    }

    /// Returns the answer, and logs the failures that the caller is not told about.
    pub fn refusal(&self) -> Refusal {
        let message = self.to_string();
        match self {
            Self::FieldInvalid { field, problem } => Refusal {
                field: Some((field, problem.clone())),
                ..Refusal::new(Code::InvalidArgument, "FIELD_INVALID", message)
            }
            .with("field", field)
            .with("problem", problem),
            Self::Unauthenticated => {
                Refusal::new(Code::Unauthenticated, "UNAUTHENTICATED", message)
            }
            Self::PermissionDenied => {
                Refusal::new(Code::PermissionDenied, "PERMISSION_DENIED", message)
            }
            Self::RequestIdReused => {
                Refusal::new(Code::AlreadyExists, "REQUEST_ID_REUSED", message)
            }
            Self::PageTokenInvalid => {
                Refusal::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", message)
            }
            Self::IdentityUnavailable => {
                Refusal::new(Code::Unavailable, "IDENTITY_UNAVAILABLE", message)
            }
            Self::ConsistencyUnavailable => {
                Refusal::new(Code::Unavailable, "CONSISTENCY_UNAVAILABLE", message)
            }
            Self::ResumePositionInvalid => {
                Refusal::new(Code::InvalidArgument, "RESUME_POSITION_INVALID", message)
            }
            Self::BrandSuspended => {
                Refusal::new(Code::FailedPrecondition, "BRAND_SUSPENDED", message)
            }
            Self::RateLimited { limit, retry_delay } => {
                Refusal::new(Code::ResourceExhausted, "RATE_LIMITED", message)
                    .with("limit", limit)
                    .retry_after(*retry_delay)
            }
            Self::DeadlineExceeded => {
                Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
            }
            Self::RequestTooLarge => {
                Refusal::new(Code::ResourceExhausted, "REQUEST_TOO_LARGE", message)
            }
            Self::ShuttingDown => Refusal::new(Code::Unavailable, "SHUTTING_DOWN", message),
            Self::Unimplemented { method } => {
                Refusal::new(Code::Unimplemented, "UNIMPLEMENTED", message).with("method", method)
            }
            Self::Store(error) => store_refusal(error),
            Self::Internal(error) => {
                tracing::error!(error = error.as_ref(), "call failed");
                Refusal::new(Code::Internal, "INTERNAL", message)
            }
        }
    }
}

impl TxError for CallError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

fn store_refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Unavailable(_) | StoreError::Conflict(_) => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "database unavailable"
            );
            Refusal::new(
                Code::Unavailable,
                "DATABASE_UNAVAILABLE",
                "the database is unavailable or too busy",
            )
        }
        StoreError::Constraint { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Migration(_)
        | StoreError::Query(_)
        | StoreError::Defect(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "database failed");
            Refusal::new(Code::Internal, "INTERNAL", "internal error")
        }
    }
}

#[cfg(test)]
mod tests;
