//! The suite as one program: the three services together, a first start, the demo, benchmarks, and the
//! import of orders.
//!
//! Only wiring lives here; what the services do is theirs.

pub mod bench;
pub mod client;
mod databases;
pub mod demo;
pub mod events;
pub mod first_start;
pub mod import_orders;
pub mod suite;
