//! What chat keeps, as Rust: chatrooms and messages, without SQL and without the wire.

use chrono::{DateTime, Utc};
use domain::{
    chatroom::{ChatroomSummary, Recency},
    id::{AccountId, ChatroomId, ImageId, KeyId, MemberId, MessageId},
    message::{self, MessageKind, MessageOrigin, Place, Side},
};
use rapport_proto::chat::v1::MessageContent;
use uuid::Uuid;

use crate::{
    image_files::Variant,
    rewriting::{Format, Rendering},
};

/// A thread of one visitor account and one Member, in its present state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chatroom {
    /// Its id.
    pub id: ChatroomId,
    /// The visitor's account; never rewritten.
    pub account_id: AccountId,
    /// The Member.
    pub member_id: MemberId,
    /// When it was opened.
    pub create_time: DateTime<Utc>,
    /// The place of its newest message; its sequence is also how many there are.
    pub last: Option<Place>,
    /// When the visitor's side first wrote evidence.
    pub visitor_first_time: Option<DateTime<Utc>>,
    /// When the Member first wrote evidence.
    pub member_first_time: Option<DateTime<Utc>>,
    /// How far the visitor's side has read.
    pub visitor_marker: ReadMarker,
    /// How far the Member has read.
    pub member_marker: ReadMarker,
    /// Whether the visitor's side has archived it.
    pub visitor_archived: bool,
    /// Whether the Member has archived it.
    pub member_archived: bool,
    /// Whether the visitor's side has blocked the Member in it.
    pub visitor_blocked: bool,
    /// Whether the visitor's account is erased; then nobody writes into it any more (SPEC 55).
    pub visitor_erased: bool,
}

/// How far one side of a chatroom has read (SPEC 30).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadMarker {
    /// The sequence of the last message that was read; 0: nothing yet.
    pub sequence: u64,
    /// How many messages after it are not of this side.
    ///
    /// Kept and not counted, so that a list costs the same whatever is unread.
    pub unread_count: u64,
}

/// One message of a chatroom.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The id that its sender gave it.
    pub id: MessageId,
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// Its place there.
    pub place: Place,
    /// Who wrote it, and so the side on which it stands.
    pub author: Author,
    /// Its kind; it stays when the content is erased.
    pub kind: MessageKind,
    /// How it came about.
    pub origin: MessageOrigin,
    /// What was said, or when that was erased.
    pub body: Body,
}

/// What is left of what a message said.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// All of it.
    Kept(MessageContent),
    /// Nothing, since then (SPEC 55).
    Erased(DateTime<Utc>),
}

/// Who wrote a message; never rewritten (SPEC 26).
///
/// The author tells the side: a visitor's account stands on the visitor's side, also when it is the
/// client's in a chatroom of a temporary account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Author {
    /// A visitor.
    Account(AccountId),
    /// The Member.
    Member(MemberId),
    /// A service of the Brand that wrote as itself.
    Service(KeyId),
}

/// An image of a chatroom; its bytes are in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its id.
    pub id: ImageId,
    /// The chatroom that it was uploaded into.
    pub chatroom_id: ChatroomId,
    /// Who uploaded it.
    pub uploader: Author,
    /// When.
    pub create_time: DateTime<Utc>,
    /// The whole image.
    pub full: Measures,
    /// Its thumbnail.
    pub thumbnail: Measures,
}

/// What a file of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measures {
    pub format: Format,
    pub width_pixels: i32,
    pub height_pixels: i32,
    pub size_bytes: i64,
}

impl Image {
    /// Returns what one of its files is.
    pub(crate) fn measures(&self, variant: Variant) -> Measures {
        match variant {
            Variant::Full => self.full,
            Variant::Thumbnail => self.thumbnail,
        }
    }
}

impl Measures {
    /// Returns what a rendering is; none of its numbers can be large.
    pub(crate) fn of(rendering: &Rendering) -> Self {
        let pixels = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        Self {
            format: rendering.format,
            width_pixels: pixels(rendering.width),
            height_pixels: pixels(rendering.height),
            size_bytes: i64::try_from(rendering.bytes.len()).unwrap_or(i64::MAX),
        }
    }
}

impl Author {
    /// Returns the author of that id on that side.
    pub fn on(side: Side, id: Uuid) -> Self {
        match side {
            Side::Visitor => Self::Account(id.into()),
            Side::Member => Self::Member(id.into()),
            Side::Service => Self::Service(id.into()),
        }
    }

    /// Returns the side on which what he writes stands.
    pub fn side(self) -> Side {
        match self {
            Self::Account(_) => Side::Visitor,
            Self::Member(_) => Side::Member,
            Self::Service(_) => Side::Service,
        }
    }

    /// Returns the id; what it is the id of is told by the side.
    pub fn id(self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
            Self::Member(id) => id.uuid(),
            Self::Service(id) => id.uuid(),
        }
    }
}

impl Chatroom {
    /// Returns a chatroom in which nothing has been said.
    pub fn open(
        id: ChatroomId,
        account_id: AccountId,
        member_id: MemberId,
        create_time: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            account_id,
            member_id,
            create_time,
            last: None,
            visitor_first_time: None,
            member_first_time: None,
            visitor_marker: ReadMarker::default(),
            member_marker: ReadMarker::default(),
            visitor_archived: false,
            member_archived: false,
            visitor_blocked: false,
            visitor_erased: false,
        }
    }

    /// Returns its place among others.
    pub fn recency(&self) -> Recency {
        Recency {
            last_message_time: self.last.map(|last| last.message_time),
            create_time: self.create_time,
            chatroom: self.id,
        }
    }

    /// Returns what the choice of a chatroom depends on.
    pub fn summary(&self) -> ChatroomSummary {
        ChatroomSummary {
            visitor: self.account_id,
            member: self.member_id,
            recency: self.recency(),
        }
    }

    /// Returns the sequence of the newest message, 0 while there is none.
    pub fn last_sequence(&self) -> u64 {
        self.last.map_or(0, |last| last.sequence)
    }

    /// Returns when both sides had written for the first time (SPEC 28).
    pub fn dialogue_time(&self) -> Option<DateTime<Utc>> {
        message::dialogue_time(self.visitor_first_time, self.member_first_time)
    }

    /// Returns how far a side has read; a service has no marker and has read nothing.
    pub fn marker(&self, side: Side) -> ReadMarker {
        match side {
            Side::Visitor => self.visitor_marker,
            Side::Member => self.member_marker,
            Side::Service => ReadMarker::default(),
        }
    }

    /// Returns whether a side has archived it; a service has no archive.
    pub fn is_archived_by(&self, side: Side) -> bool {
        match side {
            Side::Visitor => self.visitor_archived,
            Side::Member => self.member_archived,
            Side::Service => false,
        }
    }

    /// Returns the chatroom after `message`, the one that follows its newest.
    pub fn after(mut self, message: &Message) -> Self {
        let side = message.author.side();
        self.last = Some(message.place);
        if message::is_evidence(message.kind, message.origin, side) {
            let first = match side {
                Side::Visitor => &mut self.visitor_first_time,
                Side::Member | Side::Service => &mut self.member_first_time,
            };
            first.get_or_insert(message.place.message_time);
        }
        if side != Side::Visitor {
            self.visitor_marker.unread_count += 1;
        }
        if side != Side::Member {
            self.member_marker.unread_count += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const VISITOR: Author = Author::Account(AccountId::new(Uuid::from_u128(1)));
    const MEMBER: Author = Author::Member(MemberId::new(Uuid::from_u128(2)));
    const SERVICE: Author = Author::Service(KeyId::new(Uuid::from_u128(3)));

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn chatroom() -> Chatroom {
        let (id, account) = (Uuid::from_u128(9), Uuid::from_u128(1));
        Chatroom::open(id.into(), account.into(), Uuid::from_u128(2).into(), at(0))
    }

    fn write(chatroom: Chatroom, author: Author, origin: MessageOrigin, second: i64) -> Chatroom {
        let message = Message {
            id: Uuid::from_u128(77).into(),
            chatroom_id: chatroom.id,
            place: Place::following(chatroom.last, at(second)),
            author,
            kind: MessageKind::Text,
            origin,
            body: Body::Kept(MessageContent::default()),
        };
        chatroom.after(&message)
    }

    #[test]
    fn a_dialogue_is_set_once_when_both_sides_have_written() {
        let written = MessageOrigin::Written;
        let mut room = write(chatroom(), VISITOR, written, 1);
        room = write(room, SERVICE, written, 2);
        room = write(room, MEMBER, MessageOrigin::Automatic, 3);
        assert_eq!(room.dialogue_time(), None); // SPEC 28
        room = write(room, MEMBER, written, 4);
        room = write(room, MEMBER, written, 5);
        room = write(room, VISITOR, written, 6);
        assert_eq!(room.dialogue_time(), Some(at(4)));
        assert_eq!(room.last_sequence(), 6);
    }

    #[test]
    fn what_others_write_is_unread() {
        let written = MessageOrigin::Written;
        let mut room = write(chatroom(), VISITOR, written, 1);
        room = write(room, MEMBER, written, 2);
        room = write(room, SERVICE, written, 3);
        assert_eq!(room.marker(Side::Visitor).unread_count, 2); // SPEC 30
        assert_eq!(room.marker(Side::Member).unread_count, 2);
    }
}
