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

/// Prints a line for whoever reads it. Where nobody does any more the program goes on: the suite serves its
/// callers, also after `rapport | head`.
#[macro_export]
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}
