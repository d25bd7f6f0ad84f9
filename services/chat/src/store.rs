//! SQL, and nothing else: a module is a table, a function an action on it.
//!
//! No function decides anything, opens a transaction or knows who calls; each takes a connection,
//! on either engine, and says its query once.

pub(crate) mod account_erasures;
pub(crate) mod appending;
pub(crate) mod chatroom_changes;
pub(crate) mod chatrooms;
pub(crate) mod images;
pub(crate) mod member_blocks;
pub(crate) mod messages;
pub(crate) mod moments;
pub(crate) mod phygital_codes;
pub(crate) mod schema;

use kit::db::StoreError;

/// Returns the column's form of a count or sequence, all of which fit.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a count or sequence that the schema keeps from being negative.
fn from_column(what: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt { what })
}

#[cfg(test)]
mod tests;
