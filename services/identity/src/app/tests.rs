//! The use cases on both engines, with a clock that the tests move.

mod brands;
mod erasures;
mod links;
mod races;
mod refusals;
mod sessions;
mod sign_in;
mod world;
