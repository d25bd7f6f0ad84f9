//! What can go wrong between a service and its database.

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
    /// A migration failed, or the database is newer than this program.
    #[error("database cannot be migrated")]
    Migration(#[source] Cause),
    /// Any other failure of a statement.
    #[error("query failed")]
    Query(#[source] Error),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => {
                Self::Conflict(error)
            }
            // diesel-async has no kind for a deadlock (SQLSTATE 40P01) and hides the SQLSTATE, so
            // only the text is left to tell one by.
            Error::DatabaseError(DatabaseErrorKind::Unknown, ref information)
                if information.message() == "deadlock detected" =>
            {
                Self::Conflict(error)
            }
            Error::DatabaseError(DatabaseErrorKind::ClosedConnection, _)
            | Error::BrokenTransactionManager => Self::Unavailable(error.into()),
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
            error => Self::Query(error),
        }
    }
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
