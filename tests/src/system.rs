//! What no service can show alone: stories, races and bad input across the suite, over real sockets,
//! on both engines.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_table;
mod attacks;
mod bad_input;
mod broker;
mod certificates;
mod completeness;
mod erasure;
mod exports;
mod foreign_client;
mod forged_assertions;
mod harness;
mod images;
mod races;
mod restoring;
mod revocation;
mod signing_keys;
mod stories;
mod watching;
