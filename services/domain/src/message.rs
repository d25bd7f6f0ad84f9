//! Who may write what, at which place and time, and what counts.
//!
//! | kind          | written by a visitor or Member | by a service | evidence when written |
//! |---------------|--------------------------------|--------------|-----------------------|
//! | `TEXT`        | yes                            | yes          | yes                   |
//! | `IMAGE`       | yes                            | yes          | yes                   |
//! | `PRODUCT`     | yes                            | yes          | yes                   |
//! | `VIDEO`       | yes                            | yes          | yes                   |
//! | `EMAIL`       | yes                            | yes          | yes                   |
//! | `CONNECTION`  | no                             | yes          | no                    |
//! | `REQUEST`     | no                             | yes          | no                    |
//! | `UNAVAILABLE` | no                             | yes          | no                    |
//! | `MISSED`      | no                             | yes          | no                    |
//! | `RATING`      | asked by the Member, answered by the visitor's side; never sent | no | no  |
//!
//! | origin      | from          | evidence                                   |
//! |-------------|---------------|--------------------------------------------|
//! | `WRITTEN`   | anybody       | by its kind, unless on the service's side  |
//! | `AUTOMATIC` | services only | never                                      |
//! | `PHYGITAL`  | services only | as written by the visitor (SPEC 34)        |
//!
//! Evidence is also what establishes a dialogue: a side *has written* when it has written something
//! that counts. Rule 28 does not say which messages; an answer to a rating, or an automatic "we are
//! closed", is no conversation.
//!
//! Source: SPEC 26 to 29, 34, 39.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{instant, label::labels};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// A text.
    Text,
    /// An image.
    Image,
    /// A product of the Brand's shop.
    Product,
    /// A video.
    Video,
    /// An e-mail to the other side.
    Email,
    /// The two were connected.
    Connection,
    /// The visitor asked for a Member.
    Request,
    /// The Member was not available.
    Unavailable,
    /// The visitor's request was missed.
    Missed,
    /// The Member asks for a rating.
    Rating,
}

labels!(MessageKind {
    Text => "TEXT",
    Image => "IMAGE",
    Product => "PRODUCT",
    Video => "VIDEO",
    Email => "EMAIL",
    Connection => "CONNECTION",
    Request => "REQUEST",
    Unavailable => "UNAVAILABLE",
    Missed => "MISSED",
    Rating => "RATING",
});

/// How a message came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageOrigin {
    /// Its author wrote it.
    Written,
    /// An automatic answer.
    Automatic,
    /// The visitor's first message of a phygital start, written for him when he redeemed the code.
    Phygital,
}

labels!(MessageOrigin {
    Written => "WRITTEN",
    Automatic => "AUTOMATIC",
    Phygital => "PHYGITAL",
});

/// Where a message stands in its chatroom, and who may have written it.
///
/// A temporary account and the client that it is linked to with history are one side (SPEC 26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The visitor's.
    Visitor,
    /// The Member's.
    Member,
    /// Neither: a service of the Brand wrote as itself.
    Service,
}

labels!(Side { Visitor => "VISITOR", Member => "MEMBER", Service => "SERVICE" });

impl MessageKind {
    /// Returns whether one may send a message of this kind and origin. `sender` is who calls, not
    /// the side on which the message will stand.
    ///
    /// Source: SPEC 27, 34.
    pub const fn may_be_sent_by(self, sender: Side, origin: MessageOrigin) -> bool {
        let from_participants = self.is_conversation();
        match (sender, origin) {
            (Side::Service, _) => !matches!(self, Self::Rating),
            (Side::Visitor | Side::Member, MessageOrigin::Written) => from_participants,
            (Side::Visitor | Side::Member, _) => false,
        }
    }

    /// Returns whether a message of this kind says something to the other side.
    pub const fn is_conversation(self) -> bool {
        match self {
            Self::Text | Self::Image | Self::Product | Self::Video | Self::Email => true,
            Self::Connection | Self::Request | Self::Unavailable | Self::Missed | Self::Rating => {
                false
            }
        }
    }
}

/// Returns whether a message can count towards an attribution and a dialogue.
///
/// Source: SPEC 28, 34, 39.
pub const fn is_evidence(kind: MessageKind, origin: MessageOrigin, side: Side) -> bool {
    match (side, origin) {
        (Side::Service, _) | (_, MessageOrigin::Automatic) => false,
        (Side::Visitor, MessageOrigin::Written | MessageOrigin::Phygital)
        | (Side::Member, MessageOrigin::Written) => kind.is_conversation(),
        (Side::Member, MessageOrigin::Phygital) => false,
    }
}

/// A visitor's answer to a rating: 0 to 5. "Not rated" is the absence of one, and not 0 (SPEC 27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stars(u8);

/// A rating is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 0 to 5")]
pub struct InvalidStars;

impl Stars {
    /// Returns so many stars.
    ///
    /// # Errors
    ///
    /// [`InvalidStars`] above 5.
    pub const fn new(stars: u8) -> Result<Self, InvalidStars> {
        if stars > 5 {
            return Err(InvalidStars);
        }
        Ok(Self(stars))
    }

    /// Returns how many: 0 to 5.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The place of a message in its chatroom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1, gapless, strictly increasing.
    pub sequence: u64,
    /// Strictly increasing with the sequence.
    pub message_time: DateTime<Utc>,
}

impl Place {
    /// Returns the place of the message that follows `last` and is sent at `now`: at the later of
    /// now and one microsecond after the one before it, so that a clock that goes back does not
    /// reverse a conversation.
    ///
    /// Source: SPEC 29.
    pub fn following(last: Option<Self>, now: DateTime<Utc>) -> Self {
        match last {
            None => Self {
                sequence: 1,
                message_time: now,
            },
            Some(last) => Self {
                sequence: last.sequence.saturating_add(1),
                message_time: now.max(instant::after(
                    last.message_time,
                    TimeDelta::microseconds(1),
                )),
            },
        }
    }
}

/// Returns when the dialogue was established: when the second side first wrote evidence. Set once,
/// since the first message of a side does not change.
///
/// Source: SPEC 28.
pub fn dialogue_time(
    visitor_first_time: Option<DateTime<Utc>>,
    member_first_time: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    Some(visitor_first_time?.max(member_first_time?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    /// One row of the module's first table.
    fn check(kind: MessageKind, participant: bool, service: bool, evidence: bool) {
        let written = MessageOrigin::Written;
        for side in [Side::Visitor, Side::Member] {
            assert_eq!(kind.may_be_sent_by(side, written), participant, "{kind}");
            assert_eq!(is_evidence(kind, written, side), evidence, "{kind}");
        }
        assert_eq!(kind.may_be_sent_by(Side::Service, written), service);
        assert!(!is_evidence(kind, written, Side::Service));
    }

    #[test]
    fn what_people_say_is_evidence_and_what_services_note_is_not() {
        use MessageKind::*;
        for kind in [Text, Image, Product, Video, Email] {
            check(kind, true, true, true); // SPEC 27, 39
        }
        for kind in [Connection, Request, Unavailable, Missed] {
            check(kind, false, true, false); // SPEC 27, 39
        }
        check(Rating, false, false, false); // SPEC 27: asked and answered, never sent
    }

    #[test]
    fn automatic_answers_come_from_services_and_never_count() {
        for side in [Side::Visitor, Side::Member, Side::Service] {
            let automatic = MessageOrigin::Automatic;
            assert!(!is_evidence(MessageKind::Text, automatic, side)); // SPEC 39
            let may = MessageKind::Text.may_be_sent_by(side, automatic);
            assert_eq!(may, side == Side::Service); // SPEC 27
        }
    }

    #[test]
    fn the_phygital_message_counts_for_the_visitor_and_is_not_forged() {
        let (text, phygital) = (MessageKind::Text, MessageOrigin::Phygital);
        assert!(is_evidence(text, phygital, Side::Visitor)); // SPEC 34
        assert!(!is_evidence(text, phygital, Side::Member));
        assert!(!text.may_be_sent_by(Side::Visitor, phygital));
    }

    #[test]
    fn a_message_is_later_than_the_one_before_it() {
        let first = Place::following(None, at(50)); // SPEC 29
        assert_eq!((first.sequence, first.message_time), (1, at(50)));
        let behind = Place::following(Some(first), at(20));
        assert_eq!((behind.sequence, behind.message_time), (2, at(51)));
        let same = Place::following(Some(behind), at(51));
        assert_eq!((same.sequence, same.message_time), (3, at(52)));
        let ahead = Place::following(Some(same), at(90));
        assert_eq!((ahead.sequence, ahead.message_time), (4, at(90)));
    }

    #[test]
    fn a_dialogue_takes_two_sides() {
        assert_eq!(dialogue_time(None, None), None); // SPEC 28
        assert_eq!(dialogue_time(Some(at(1)), None), None);
        assert_eq!(dialogue_time(None, Some(at(1))), None);
        assert_eq!(dialogue_time(Some(at(1)), Some(at(2))), Some(at(2)));
        assert_eq!(dialogue_time(Some(at(3)), Some(at(2))), Some(at(3)));
    }

    #[test]
    fn a_rating_is_0_to_5() {
        assert_eq!(Stars::new(0).map(Stars::get), Ok(0)); // SPEC 27
        assert_eq!(Stars::new(5).map(Stars::get), Ok(5));
        assert_eq!(Stars::new(6), Err(InvalidStars));
    }
}
