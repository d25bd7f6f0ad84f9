//! From the model outwards, to the wire.

use domain::message::Side;
use kit::convert::timestamp;
use rapport_proto::chat::v1 as chat;

use crate::{
    app::ChatroomView,
    events,
    image_files::Variant,
    model::{Body, Image, Message},
    rewriting::Format,
};

impl From<ChatroomView> for chat::Chatroom {
    fn from(view: ChatroomView) -> Self {
        let ChatroomView {
            chatroom,
            last_message,
            person_id,
            side,
            blocked,
            writable,
        } = view;
        let marker = chatroom.marker(side);
        Self {
            chatroom_id: chatroom.id.to_string(),
            account_id: chatroom.account_id.to_string(),
            member_id: chatroom.member_id.to_string(),
            person_id: person_id.to_string(),
            create_time: Some(timestamp(chatroom.create_time)),
            last_message: last_message.map(Into::into),
            last_message_time: chatroom.last.map(|last| timestamp(last.message_time)),
            last_sequence: number(chatroom.last_sequence()),
            dialogue_time: chatroom.dialogue_time().map(timestamp),
            read_sequence: number(marker.sequence),
            unread_count: number(marker.unread_count),
            archived: chatroom.is_archived_by(side),
            blocked,
            writable: writable && side != Side::Service,
        }
    }
}

impl From<Message> for chat::Message {
    fn from(message: Message) -> Self {
        let (content, erase_time) = match message.body {
            Body::Kept(content) => (Some(content), None),
            Body::Erased(time) => (None, Some(timestamp(time))),
        };
        Self {
            message_id: message.id.to_string(),
            chatroom_id: message.chatroom_id.to_string(),
            sequence: number(message.place.sequence),
            author: Some(events::author(message.author)),
            side: events::side(message.author.side()).into(),
            kind: events::kind(message.kind).into(),
            origin: events::origin(message.origin).into(),
            content,
            create_time: Some(timestamp(message.place.message_time)),
            erase_time,
        }
    }
}

impl Image {
    /// Returns the wire form of one of its files.
    pub(crate) fn to_wire(&self, variant: Variant) -> chat::Image {
        let measures = self.measures(variant);
        let format = match measures.format {
            Format::Jpeg => chat::ImageFormat::Jpeg,
            Format::Png => chat::ImageFormat::Png,
            Format::Webp => chat::ImageFormat::Webp,
            Format::Gif => chat::ImageFormat::Gif,
        };
        chat::Image {
            image_id: self.id.to_string(),
            chatroom_id: self.chatroom_id.to_string(),
            format: format.into(),
            width_pixels: measures.width_pixels,
            height_pixels: measures.height_pixels,
            size_bytes: measures.size_bytes,
            create_time: Some(timestamp(self.create_time)),
        }
    }
}

impl From<Image> for chat::Image {
    fn from(image: Image) -> Self {
        image.to_wire(Variant::Full)
    }
}

/// Returns the wire form of a count or sequence, all of which fit.
pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
