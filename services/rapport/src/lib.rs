//! The suite as one program: the three services together, a first start, and the demo.
//!
//! Only wiring lives here; what the services do is theirs.

pub mod client;
pub mod demo;
pub mod first_start;
pub mod suite;
