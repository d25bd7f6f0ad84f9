//! SQL, and nothing else: a module is a table, a function an action on it.
//!
//! No function decides anything, opens a transaction or knows who calls; each takes a connection, on
//! either engine, and says its query once. Facts are inserted where they are not known yet, so that
//! telling one twice is telling it once.

pub(crate) mod account_erasures;
pub(crate) mod attribution_policies;
pub(crate) mod attributions;
pub(crate) mod awaited_sign_ins;
pub(crate) mod brands;
pub(crate) mod changes;
pub(crate) mod chatrooms;
pub(crate) mod checkouts;
pub(crate) mod dirty_marks;
pub(crate) mod ledger_entries;
pub(crate) mod messages;
pub(crate) mod order_statuses;
pub(crate) mod orders;
pub(crate) mod recomputations;
pub(crate) mod refunds;
mod schema;

use chrono::{DateTime, Utc};
use domain::{
    email::EmailDigest,
    money::{Currency, Money},
};
use kit::db::{Sql, StoreError};

/// Returns the first instant that a request or an event can name: the year 1, as
/// `google.protobuf.Timestamp` has it. Both engines can keep it, unlike chrono's own first one.
pub(crate) fn first_instant() -> DateTime<Utc> {
    const YEAR_1: i64 = -62_135_596_800;
    DateTime::from_timestamp(YEAR_1, 0).expect("chrono's years begin far before the year 1")
}

/// Returns an instant behind every one that a request or an event can name: the year 10000.
pub(crate) fn last_instant() -> DateTime<Utc> {
    const YEAR_10000: i64 = 253_402_300_800;
    DateTime::from_timestamp(YEAR_10000, 0).expect("chrono's years go on far past the year 10000")
}

/// Returns the failure of a transaction that has to run again, since somebody else has inserted what
/// was found not to be there.
fn conflict_unless(all_inserted: bool) -> Result<(), StoreError> {
    if all_inserted {
        return Ok(());
    }
    Err(StoreError::Conflict(diesel::result::Error::NotFound))
}

/// Returns the amount in two columns.
fn money(minor_units: i64, currency: Sql<Currency>) -> Money {
    Money::new(minor_units, currency.0)
}

/// Returns the digest in a column that the schema keeps to 32 bytes.
fn digest(bytes: Vec<u8>) -> Result<EmailDigest, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt {
        what: "order.email_digest",
    })?;
    Ok(EmailDigest::new(bytes))
}

/// Returns a revision that the schema keeps from being negative.
fn revision(what: &'static str, stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| StoreError::Corrupt { what })
}

/// Returns the column's form of a revision or count, all of which fit.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
