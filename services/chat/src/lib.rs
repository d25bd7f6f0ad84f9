//! Chatrooms and messages: who talks to whom, what is said, and who sees it.
//!
//! ```text
//! grpc ─► app ─► domain          facts in, decision out
//!          └──► store ─► PostgreSQL | SQLite
//! ```
//!
//! A merge at identity moves nothing here (SPEC 22): chatrooms keep their account and messages
//! their author, and what a link changes is only whose chatrooms a person sees. That is decided
//! anew on each call, from what identity's events have told.
//!
//! It must not know who is credited for a conversation, nor keep a name or an e-mail.

mod app;
mod content;
mod convert;
mod error;
mod events;
mod grpc;
mod image_files;
mod model;
mod rewriting;
mod service;
mod store;

#[cfg(test)]
mod fixtures;

pub use image_files::ImagesUnusable;
pub use service::{Service, StartError, migrations};
