//! Short names for the values that tests are made of.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    buyer::{AccountFact, KnownEmail},
    email::{EmailDigest, Provenance},
    evidence::{ChatroomEvidence, Evidence, MessageFact},
    id::{AccountId, ChatroomId, CustomerId, LinkId, MemberId, OrderId},
    message::{MessageKind, MessageOrigin, Side},
    money::{Currency, Money},
    order::{BuyerKeys, Order},
    person::{Link, LinkScope},
};

pub(crate) fn account(number: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(number))
}

pub(crate) fn member(number: u128) -> MemberId {
    MemberId::new(Uuid::from_u128(number))
}

pub(crate) fn chatroom(number: u128) -> ChatroomId {
    ChatroomId::new(Uuid::from_u128(number))
}

pub(crate) fn link_id(number: u128) -> LinkId {
    LinkId::new(Uuid::from_u128(number))
}

pub(crate) fn customer(text: &str) -> CustomerId {
    CustomerId::parse(text).unwrap()
}

pub(crate) fn digest(byte: u8) -> EmailDigest {
    EmailDigest::new([byte; 32])
}

/// The instant so many minutes after an arbitrary one, which is day 0 of every test.
pub(crate) fn minute(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::minutes(minutes)
}

pub(crate) fn day(days: i64) -> DateTime<Utc> {
    minute(days * 24 * 60)
}

pub(crate) fn microseconds(count: i64) -> TimeDelta {
    TimeDelta::microseconds(count)
}

pub(crate) fn eur(minor_units: i64) -> Money {
    Money::new(minor_units, Currency::parse("EUR").unwrap())
}

/// An active link with history.
pub(crate) fn link(
    number: u128,
    temporary: AccountId,
    client: AccountId,
    link_time: DateTime<Utc>,
) -> Link {
    Link {
        revision: 1,
        revoke_time: None,
        id: link_id(number),
        temporary,
        client,
        scope: LinkScope::History,
        link_time,
    }
}

pub(crate) fn revoked(link: Link, revoke_time: DateTime<Utc>) -> Link {
    Link {
        revision: 2,
        revoke_time: Some(revoke_time),
        ..link
    }
}

pub(crate) fn temporary_fact(account: AccountId) -> AccountFact {
    AccountFact {
        account,
        customer: None,
        create_time: day(-30),
        upgrade_time: None,
        erase_time: None,
        emails: Vec::new(),
    }
}

pub(crate) fn client_fact(account: AccountId, customer_id: &str) -> AccountFact {
    AccountFact {
        customer: Some(customer(customer_id)),
        ..temporary_fact(account)
    }
}

pub(crate) fn email(
    byte: u8,
    provenance: Provenance,
    from_time: DateTime<Utc>,
    until_time: Option<DateTime<Utc>>,
) -> KnownEmail {
    KnownEmail {
        digest: digest(byte),
        provenance,
        from_time,
        until_time,
    }
}

pub(crate) fn order(order_time: DateTime<Utc>, keys: BuyerKeys) -> Order {
    Order {
        id: OrderId::parse("order-1").unwrap(),
        order_time,
        keys,
        total: eur(10_000),
    }
}

pub(crate) fn text(side: Side, message_time: DateTime<Utc>) -> MessageFact {
    MessageFact {
        message_time,
        side,
        kind: MessageKind::Text,
        origin: MessageOrigin::Written,
    }
}

/// A chatroom in which the visitor wrote at `visitor_times` and the Member at `member_times`.
pub(crate) fn talk(
    number: u128,
    visitor: AccountId,
    member: MemberId,
    visitor_times: &[DateTime<Utc>],
    member_times: &[DateTime<Utc>],
) -> ChatroomEvidence {
    let of = |side: Side, times: &[DateTime<Utc>]| -> Vec<MessageFact> {
        times.iter().map(|time| text(side, *time)).collect()
    };
    let messages = [
        of(Side::Visitor, visitor_times),
        of(Side::Member, member_times),
    ]
    .concat();
    ChatroomEvidence {
        chatroom: chatroom(number),
        member,
        visitor,
        evidence: Evidence::of(&messages, DateTime::<Utc>::MAX_UTC),
    }
}
