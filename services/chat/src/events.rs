//! What chat tells the others: who, when and of what kind, and never what was said (SPEC 53).

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, EventId},
    message::{MessageKind, MessageOrigin, Side},
};
use kit::convert::timestamp;
use rapport_proto::event::v1::{self as event, Event, event::Payload};

use crate::model::{Author, Chatroom, Message};

/// A chatroom and a message never change in what is told of them, so each has one revision.
const ONLY_REVISION: i64 = 1;

/// Returns the event of a chatroom that was opened; `cause` is the `request_id` that asked for it.
pub(crate) fn chatroom_opened(
    id: EventId,
    brand_id: &BrandId,
    cause: &str,
    chatroom: &Chatroom,
) -> Event {
    let payload = Payload::ChatroomOpened(event::ChatroomOpened {
        chatroom_id: chatroom.id.to_string(),
        account_id: chatroom.account_id.to_string(),
        member_id: chatroom.member_id.to_string(),
        create_time: Some(timestamp(chatroom.create_time)),
        revision: ONLY_REVISION,
    });
    event(id, brand_id, chatroom.create_time, cause, payload)
}

/// Returns the event of a message that was sent; its cause is the message id, which stands in the
/// place of a request id (SPEC 29).
pub(crate) fn message_sent(
    id: EventId,
    brand_id: &BrandId,
    chatroom: &Chatroom,
    message: &Message,
) -> Event {
    let message_id = message.id.to_string();
    let payload = Payload::MessageSent(event::MessageSent {
        message_id: message_id.clone(),
        chatroom_id: chatroom.id.to_string(),
        account_id: chatroom.account_id.to_string(),
        member_id: chatroom.member_id.to_string(),
        sequence: i64::try_from(message.place.sequence).unwrap_or(i64::MAX),
        author: Some(author(message.author)),
        side: side(message.author.side()).into(),
        kind: kind(message.kind).into(),
        origin: origin(message.origin).into(),
        message_time: Some(timestamp(message.place.message_time)),
        revision: ONLY_REVISION,
    });
    event(
        id,
        brand_id,
        message.place.message_time,
        &message_id,
        payload,
    )
}

fn event(
    id: EventId,
    brand_id: &BrandId,
    time: DateTime<Utc>,
    cause: &str,
    payload: Payload,
) -> Event {
    Event {
        event_id: id.to_string(),
        brand_id: brand_id.to_string(),
        event_time: Some(timestamp(time)),
        cause_id: cause.to_owned(),
        trace_parent: String::new(),
        payload: Some(payload),
    }
}

/// Returns the wire form of an author.
pub(crate) fn author(author: Author) -> event::Author {
    use event::author::Author as Wire;
    let wire = match author {
        Author::Account(id) => Wire::AccountId(id.to_string()),
        Author::Member(id) => Wire::MemberId(id.to_string()),
        Author::Service(id) => Wire::ServiceId(id.to_string()),
    };
    event::Author { author: Some(wire) }
}

/// Returns the wire form of a side.
pub(crate) fn side(side: Side) -> event::Side {
    match side {
        Side::Visitor => event::Side::Visitor,
        Side::Member => event::Side::Member,
        Side::Service => event::Side::Service,
    }
}

/// Returns the wire form of a kind.
pub(crate) fn kind(kind: MessageKind) -> event::MessageKind {
    match kind {
        MessageKind::Text => event::MessageKind::Text,
        MessageKind::Image => event::MessageKind::Image,
        MessageKind::Product => event::MessageKind::Product,
        MessageKind::Video => event::MessageKind::Video,
        MessageKind::Email => event::MessageKind::Email,
        MessageKind::Connection => event::MessageKind::Connection,
        MessageKind::Request => event::MessageKind::Request,
        MessageKind::Unavailable => event::MessageKind::Unavailable,
        MessageKind::Missed => event::MessageKind::Missed,
        MessageKind::Rating => event::MessageKind::Rating,
    }
}

/// Returns the wire form of an origin.
pub(crate) fn origin(origin: MessageOrigin) -> event::MessageOrigin {
    match origin {
        MessageOrigin::Written => event::MessageOrigin::Written,
        MessageOrigin::Automatic => event::MessageOrigin::Automatic,
        MessageOrigin::Phygital => event::MessageOrigin::Phygital,
    }
}
