//! The service as its callers meet it: over gRPC, on both engines.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod audit;
mod export;
mod harness;
mod input;
mod key_host;
mod limits;
mod links;
mod published_keys;
mod secrets;
mod story;
