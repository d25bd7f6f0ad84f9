//! The wire: parses a request, calls one use case, answers.

mod caller;
mod chat_service;
mod chatrooms;
mod images;
mod message_event_service;
mod messages;
mod persons;
mod phygital;
mod watching;

pub(crate) use chat_service::ChatGrpc;
pub(crate) use message_event_service::MessageEventGrpc;
