//! SQL, and nothing else: one module per table, one function per query.
//!
//! Rows come and go as the plain types of [`model`](crate::model). What may be done to them is
//! decided in `app` and `domain`; what must never be is also refused by the schema.

pub(crate) mod accounts;
pub(crate) mod api_keys;
pub(crate) mod assertion_keys;
pub(crate) mod audit_entries;
pub(crate) mod brands;
mod entity;
pub(crate) mod erasures;
pub(crate) mod links;
pub(crate) mod members;
pub(crate) mod merge_policies;
mod schema;
pub(crate) mod sessions;
pub(crate) mod settlements;
pub(crate) mod sign_ins;
pub(crate) mod signing_keys;
#[cfg(test)]
mod tests;
