//! How a service of the suite runs: configuration, clock, ids, database, event log, access control,
//! telemetry, health, errors, drain.
//!
//! It knows the words of `domain` (ids, instants) to store them and to authorise callers; it decides
//! nothing about them, and it knows no service.

pub mod access;
pub mod backoff;
pub mod batches;
pub mod broker;
pub mod clock;
pub mod config;
pub mod consistency;
pub mod consumer;
pub mod convert;
pub mod db;
mod deadline;
pub mod directory;
pub mod error;
pub mod event_log;
pub mod ids;
pub mod limit;
pub mod page;
pub mod parts;
pub mod request;
pub mod retry;
pub mod secret;
pub mod server;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
