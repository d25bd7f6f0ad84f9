//! What can go wrong between a service and its database.
//!
//! diesel hides the SQLSTATE of most PostgreSQL errors, so some are told by the text of the server,
//! which must speak English (`lc_messages`); [`Db::open`](super::Db::open) warns where it does not.

use diesel::result::{DatabaseErrorKind, Error};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the database. Its texts and sources stay inside the process (convention 14).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or the connection broke; the same call may succeed later.
    #[error("database is unavailable")]
    Unavailable(#[source] Cause),
    /// Another transaction won; [`Db::run_tx`](super::Db::run_tx) retries these by itself.
    #[error("transaction conflicts with another")]
    Conflict(#[source] Error),
    /// A constraint of the schema refused a row that the code should not have written.
    #[error("constraint {name} refused a row")]
    Constraint {
        /// The constraint's name, where the engine tells it.
        name: String,
        /// What the engine said.
        #[source]
        source: Error,
    },
    /// A stored value is not what its column promises.
    #[error("stored {what} cannot be read")]
    Corrupt {
        /// The table and column.
        what: &'static str,
    },
    /// A migration failed.
    #[error("database cannot be migrated")]
    Migration(#[source] Cause),
    /// Any other failure of a statement.
    #[error("query failed")]
    Query(#[source] Error),
    /// The body of a transaction broke its rules: it panicked, went on after a statement had failed,
    /// or awaited something else than its connection. Nothing of it was committed.
    #[error("the body of a transaction is at fault")]
    Defect(#[source] Cause),
}

impl StoreError {
    /// Tells whether the same will fail again, so that a person must look.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Corrupt { .. }
            | Self::Constraint { .. }
            | Self::Query(_)
            | Self::Defect(_)
            | Self::Migration(_) => true,
            Self::Unavailable(_) | Self::Conflict(_) => false,
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        if let Error::DatabaseError(..) = error {
            super::body::note_failed_statement();
        }
        match error {
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => {
                Self::Conflict(error)
            }
            // diesel-async has no kind for a deadlock (SQLSTATE 40P01).
            Error::DatabaseError(DatabaseErrorKind::Unknown, ref information)
                if information.message() == "deadlock detected" =>
            {
                Self::Conflict(error)
            }
            // A server that takes no writes is a standby that is not promoted yet.
            Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::ReadOnlyTransaction,
                _,
            )
            | Error::BrokenTransactionManager => Self::Unavailable(error.into()),
            Error::DatabaseError(
                DatabaseErrorKind::Unknown | DatabaseErrorKind::UnableToSendCommand,
                ref information,
            ) if is_passing(information.message()) => Self::Unavailable(error.into()),
            Error::DatabaseError(
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::NotNullViolation,
                ref information,
            ) => Self::Constraint {
                name: information
                    .constraint_name()
                    .unwrap_or("unnamed")
                    .to_owned(),
                source: error,
            },
            // What the commit failed with matters, not that the rollback after it failed too.
            Error::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            error => Self::Query(error),
        }
    }
}

/// Tells whether an error without a kind of its own says that the database cannot be used just now,
/// rather than that the statement is wrong.
fn is_passing(message: &str) -> bool {
    const BEGINNINGS: [&str; 11] = [
        // The client's side of PostgreSQL's protocol.
        "connection closed",
        "error communicating with the server",
        "timeout waiting for server",
        // PostgreSQL: shutdown, failover, limits of the session.
        "terminating connection",
        "the database system is",
        "canceling statement due to statement timeout",
        "canceling statement due to lock timeout",
        "server closed the connection",
        // SQLite.
        "database is locked",
        "database or disk is full",
        "disk I/O error",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| message.starts_with(beginning))
}

/// The error of a transaction's body: a store error, or a refusal of the service's own.
pub trait TxError: From<StoreError> + Send + 'static {
    /// Returns the store error inside, if this is one.
    fn store_error(&self) -> Option<&StoreError>;
}

impl TxError for StoreError {
    fn store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}

/// Tells whether running the same transaction again may help.
pub(super) fn is_conflict<E: TxError>(error: &E) -> bool {
    matches!(error.store_error(), Some(StoreError::Conflict(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_server(message: &str) -> StoreError {
        let information = Box::new(message.to_owned());
        Error::DatabaseError(DatabaseErrorKind::Unknown, information).into()
    }

    #[test]
    fn a_deadlock_is_a_conflict() {
        let error = from_server("deadlock detected");
        assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    }

    #[test]
    fn what_passes_is_told_from_what_is_wrong() {
        for message in [
            "terminating connection due to administrator command",
            "the database system is shutting down",
            "canceling statement due to statement timeout",
            "database is locked",
            "database or disk is full",
        ] {
            let error = from_server(message);
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
        let error = from_server("relation \"x\" does not exist");
        assert!(matches!(error, StoreError::Query(_)), "{error:?}");
    }
}
