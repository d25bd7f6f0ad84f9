//! What a chatroom proves for one order, and whether that is enough.
//!
//! Messages fold into a summary that a store can as well look up in an index, however many there are: for
//! each side the times of the first and the last evidence message **strictly before the order**. What
//! comes at the order's instant or after it is as if it were never written.
//!
//! | visitor's evidence | Member's evidence | last of either                     | [`Qualification`]   |
//! |--------------------|-------------------|------------------------------------|---------------------|
//! | none               | none              | –                                  | `NoEvidence`        |
//! | some               | none              | any                                | `VisitorOnly`       |
//! | none               | some              | any                                | `MemberOnly`        |
//! | some, of any age   | some, of any age  | older than the window              | `OutsideWindow`     |
//! | some, of any age   | some, of any age  | inside the window, bound included  | `Qualifies`         |
//!
//! With the default window of 14 days:
//!
//! | last evidence                        | the other side's | qualifies |
//! |--------------------------------------|------------------|-----------|
//! | exactly 14 days before the order     | any time before  | yes       |
//! | 14 days and one microsecond before   | any time before  | no        |
//! | 7 days before                        | 21 days before   | yes       |
//! | 7 days before                        | never            | no        |
//! | at the order's instant               | any time before  | by what is before it |
//!
//! Source: SPEC 38, 39.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    id::{AccountId, ChatroomId, MemberId},
    instant,
    message::{MessageKind, MessageOrigin, Side, is_evidence},
};

/// A message as attribution sees it: never its text (SPEC 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageFact {
    /// When it was sent; strictly increasing within its chatroom, so it also tells messages apart.
    pub message_time: DateTime<Utc>,
    /// The side on which it stands.
    pub side: Side,
    /// What it is.
    pub kind: MessageKind,
    /// How it came about.
    pub origin: MessageOrigin,
}

/// The evidence of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SideEvidence {
    /// When the first was sent.
    pub first_time: DateTime<Utc>,
    /// When the last was sent; not before the first.
    pub last_time: DateTime<Utc>,
}

/// What a chatroom proves for one order: everything strictly before it, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Evidence {
    /// The visitor's side, if it wrote.
    pub visitor: Option<SideEvidence>,
    /// The Member's side, if it wrote.
    pub member: Option<SideEvidence>,
}

/// A chatroom that may be credited with an order, and what it proves for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatroomEvidence {
    /// The chatroom.
    pub chatroom: ChatroomId,
    /// Its Member.
    pub member: MemberId,
    /// Its visitor account, to which the evidence belongs, whoever wrote it (SPEC 16).
    pub visitor: AccountId,
    /// What it proves.
    pub evidence: Evidence,
}

/// Whether evidence is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualification {
    /// It is: both sides wrote, lately.
    Qualifies(Conversation),
    /// Nobody wrote.
    NoEvidence,
    /// Only the visitor wrote.
    VisitorOnly,
    /// Only the Member wrote.
    MemberOnly,
    /// Both wrote, but the last of it is too old.
    OutsideWindow,
}

/// A conversation of two sides before an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// The visitor's side.
    pub visitor: SideEvidence,
    /// The Member's side.
    pub member: SideEvidence,
}

impl Evidence {
    /// Returns what `messages`, in whatever order, prove for an order placed at `order_time`.
    ///
    /// Source: SPEC 38, 39.
    pub fn of<'a>(
        messages: impl IntoIterator<Item = &'a MessageFact>,
        order_time: DateTime<Utc>,
    ) -> Self {
        let mut evidence = Self::default();
        for message in messages {
            if message.message_time >= order_time
                || !is_evidence(message.kind, message.origin, message.side)
            {
                continue;
            }
            let side = match message.side {
                Side::Visitor => &mut evidence.visitor,
                Side::Member => &mut evidence.member,
                Side::Service => continue,
            };
            *side = Some(SideEvidence::with(*side, message.message_time));
        }
        evidence
    }

    /// Returns when the last message of either side was sent.
    pub fn last_time(&self) -> Option<DateTime<Utc>> {
        let sides = [self.visitor, self.member];
        sides.iter().flatten().map(|side| side.last_time).max()
    }

    /// Returns whether it is enough for an order placed at `order_time`, with a window of `window`.
    ///
    /// Source: SPEC 38.
    pub fn qualification(&self, order_time: DateTime<Utc>, window: TimeDelta) -> Qualification {
        let conversation = match (self.visitor, self.member) {
            (None, None) => return Qualification::NoEvidence,
            (Some(_), None) => return Qualification::VisitorOnly,
            (None, Some(_)) => return Qualification::MemberOnly,
            (Some(visitor), Some(member)) => Conversation { visitor, member },
        };
        if conversation.last_time() < instant::before(order_time, window) {
            return Qualification::OutsideWindow;
        }
        Qualification::Qualifies(conversation)
    }
}

impl SideEvidence {
    fn with(known: Option<Self>, message_time: DateTime<Utc>) -> Self {
        match known {
            None => Self {
                first_time: message_time,
                last_time: message_time,
            },
            Some(known) => Self {
                first_time: known.first_time.min(message_time),
                last_time: known.last_time.max(message_time),
            },
        }
    }
}

impl Conversation {
    /// Returns when the first message of either side was sent.
    pub fn first_time(&self) -> DateTime<Utc> {
        self.visitor.first_time.min(self.member.first_time)
    }

    /// Returns when the last message of either side was sent.
    pub fn last_time(&self) -> DateTime<Utc> {
        self.visitor.last_time.max(self.member.last_time)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    const ORDER_SECOND: i64 = 1_800_000_000;

    fn order_time() -> DateTime<Utc> {
        DateTime::from_timestamp(ORDER_SECOND, 0).unwrap()
    }

    fn days_before(days: i64) -> DateTime<Utc> {
        order_time() - TimeDelta::days(days)
    }

    fn text(side: Side, message_time: DateTime<Utc>) -> MessageFact {
        MessageFact {
            message_time,
            side,
            kind: MessageKind::Text,
            origin: MessageOrigin::Written,
        }
    }

    /// What is left of a [`Qualification`] for a row of the module's table.
    #[derive(Debug, PartialEq)]
    enum Verdict {
        Yes,
        No(Qualification),
    }

    fn check(
        visitor: impl IntoIterator<Item = DateTime<Utc>>,
        member: impl IntoIterator<Item = DateTime<Utc>>,
        expected: Verdict,
    ) {
        let visitor = visitor.into_iter().map(|time| text(Side::Visitor, time));
        let member = member.into_iter().map(|time| text(Side::Member, time));
        let messages: Vec<MessageFact> = visitor.chain(member).collect();
        let evidence = Evidence::of(&messages, order_time());
        let found = match evidence.qualification(order_time(), TimeDelta::days(14)) {
            Qualification::Qualifies(_) => Verdict::Yes,
            refusal => Verdict::No(refusal),
        };
        assert_eq!(found, expected, "{messages:?}");
    }

    #[test]
    fn the_window_includes_its_bound_to_the_microsecond() {
        let microsecond = TimeDelta::microseconds(1);
        let outside = || Verdict::No(Qualification::OutsideWindow);
        check([days_before(30)], [days_before(14)], Verdict::Yes); // SPEC 38
        check([days_before(14)], [days_before(30)], Verdict::Yes);
        check(
            [days_before(30)],
            [days_before(14) - microsecond],
            outside(),
        );
        check(
            [days_before(14) - microsecond],
            [days_before(30)],
            outside(),
        );
    }

    #[test]
    fn only_the_last_message_must_be_recent() {
        check([days_before(7)], [days_before(21)], Verdict::Yes); // SPEC 38
        check([days_before(21)], [days_before(7)], Verdict::Yes);
        check([days_before(7)], [days_before(3_000)], Verdict::Yes);
    }

    #[test]
    fn one_side_is_no_conversation() {
        let visitor_only = Verdict::No(Qualification::VisitorOnly);
        check([days_before(7)], [], visitor_only); // SPEC 38
        check([], [days_before(7)], Verdict::No(Qualification::MemberOnly));
        check([], [], Verdict::No(Qualification::NoEvidence));
    }

    #[test]
    fn what_is_written_at_the_orders_instant_or_later_never_counts() {
        let (at, later) = (order_time(), order_time() + TimeDelta::microseconds(1));
        let visitor_only = || Verdict::No(Qualification::VisitorOnly);
        check([days_before(7)], [at], visitor_only()); // SPEC 38
        check([days_before(7)], [later], visitor_only());
        check([at, later], [at], Verdict::No(Qualification::NoEvidence));
        let just_before = at - TimeDelta::microseconds(1);
        check([days_before(7)], [just_before, at], Verdict::Yes);
        let too_old = Verdict::No(Qualification::OutsideWindow);
        check([days_before(20)], [days_before(20), at], too_old);
    }

    #[test]
    fn what_is_no_evidence_is_not_counted() {
        let rating = MessageFact {
            kind: MessageKind::Rating,
            ..text(Side::Visitor, days_before(1))
        };
        let automatic = MessageFact {
            origin: MessageOrigin::Automatic,
            ..text(Side::Member, days_before(1))
        };
        let noted = text(Side::Service, days_before(1));
        let evidence = Evidence::of(&[rating, automatic, noted], order_time());
        assert_eq!(evidence, Evidence::default()); // SPEC 39
    }

    #[test]
    fn a_summary_bounds_each_side() {
        let messages = [
            text(Side::Visitor, days_before(3)),
            text(Side::Visitor, days_before(9)),
            text(Side::Member, days_before(2)),
        ];
        let evidence = Evidence::of(&messages, order_time());
        let visitor = SideEvidence {
            first_time: days_before(9),
            last_time: days_before(3),
        };
        assert_eq!(evidence.visitor, Some(visitor));
        assert_eq!(evidence.last_time(), Some(days_before(2)));
    }

    proptest! {
        #[test]
        fn the_order_of_messages_does_not_matter(
            messages in vec((select(Side::ALL), select(MessageKind::ALL), -9_i64..9), 0..12)
                .prop_flat_map(|messages| (Just(messages.clone()), Just(messages).prop_shuffle())),
        ) {
            let fact = |(side, kind, days): &(Side, MessageKind, i64)| MessageFact {
                kind: *kind,
                ..text(*side, days_before(*days))
            };
            let in_order: Vec<_> = messages.0.iter().map(fact).collect();
            let shuffled: Vec<_> = messages.1.iter().map(fact).collect();
            prop_assert_eq!(
                Evidence::of(&in_order, order_time()),
                Evidence::of(&shuffled, order_time())
            ); // SPEC 42
        }
    }
}
