//! Events as identity and chat write them.

use chrono::{DateTime, Utc};
use domain::id::{AccountId, ChatroomId, LinkId, MemberId};
use kit::convert::timestamp;
use rapport_proto::event::v1::{
    AccountChanged, AccountErased, AccountKind, AccountState, ChatroomOpened, EmailDigest,
    EmailProvenance, Event, LinkChanged, LinkScope, MemberChanged, MemberState, MessageKind,
    MessageOrigin, MessageSent, OwnCustomerId, Side, event::Payload,
};
use uuid::Uuid;

use super::day;

pub(crate) fn chatroom(number: u128) -> ChatroomId {
    Uuid::from_u128(0xc4a7_0000 + number).into()
}

pub(crate) fn link_id(number: u128) -> LinkId {
    Uuid::from_u128(0x117c_0000 + number).into()
}

fn event(payload: Payload) -> Event {
    Event {
        event_id: Uuid::nil().to_string(),
        brand_id: "shop".to_owned(),
        event_time: Some(timestamp(day(0))),
        payload: Some(payload),
        ..Event::default()
    }
}

/// A temporary account.
pub(crate) fn temporary(account: AccountId) -> Event {
    account_changed(account, 1, "", None, &[])
}

/// A client account from its beginning.
pub(crate) fn client(account: AccountId, customer: &str) -> Event {
    account_changed(account, 1, customer, None, &[])
}

pub(crate) fn account_changed(
    account: AccountId,
    revision: i64,
    customer: &str,
    upgrade_time: Option<DateTime<Utc>>,
    emails: &[(u8, EmailProvenance, DateTime<Utc>)],
) -> Event {
    let kind = match customer {
        "" => AccountKind::Temporary,
        _ => AccountKind::Client,
    };
    event(Payload::AccountChanged(AccountChanged {
        account_id: account.to_string(),
        revision,
        kind: kind.into(),
        state: AccountState::Active.into(),
        customer_id: customer.to_owned(),
        create_time: Some(timestamp(day(-30))),
        upgrade_time: upgrade_time.map(timestamp),
        email_digests: emails.iter().map(email).collect(),
        link_revision: revision,
    }))
}

fn email((byte, provenance, from_time): &(u8, EmailProvenance, DateTime<Utc>)) -> EmailDigest {
    EmailDigest {
        digest: vec![*byte; 32],
        digest_key_id: String::new(),
        provenance: (*provenance).into(),
        from_time: Some(timestamp(*from_time)),
        until_time: None,
    }
}

pub(crate) fn erased(account: AccountId, customer: &str, erase_time: DateTime<Utc>) -> Event {
    erased_with_emails(account, customer, erase_time, &[])
}

pub(crate) fn erased_with_emails(
    account: AccountId,
    customer: &str,
    erase_time: DateTime<Utc>,
    emails: &[(u8, EmailProvenance, DateTime<Utc>)],
) -> Event {
    event(Payload::AccountErased(AccountErased {
        account_id: account.to_string(),
        revision: 9,
        erasure_id: Uuid::nil().to_string(),
        erase_time: Some(timestamp(erase_time)),
        customer_id: customer.to_owned(),
        email_digests: emails.iter().map(email).collect(),
        person_id: account.to_string(),
        link_revision: 9,
    }))
}

pub(crate) fn linked(
    number: u128,
    temporary: AccountId,
    client: AccountId,
    scope: LinkScope,
    link_time: DateTime<Utc>,
) -> Event {
    link(number, temporary, client, scope, link_time, None)
}

pub(crate) fn unlinked(
    number: u128,
    temporary: AccountId,
    client: AccountId,
    scope: LinkScope,
    link_time: DateTime<Utc>,
) -> Event {
    let revoke_time = Some(day(20));
    link(number, temporary, client, scope, link_time, revoke_time)
}

pub(crate) fn link(
    number: u128,
    temporary: AccountId,
    client: AccountId,
    scope: LinkScope,
    link_time: DateTime<Utc>,
    revoke_time: Option<DateTime<Utc>>,
) -> Event {
    let revision = 1 + i64::from(revoke_time.is_some());
    event(Payload::LinkChanged(LinkChanged {
        link_id: link_id(number).to_string(),
        revision,
        client_account_id: client.to_string(),
        temporary_account_id: temporary.to_string(),
        scope: scope.into(),
        link_time: Some(timestamp(link_time)),
        revoke_time: revoke_time.map(timestamp),
        merge_policy_revision: 1,
        link_revision: 1 + revision,
    }))
}

pub(crate) fn member_changed(
    member: MemberId,
    revision: i64,
    own_customers: &[(&str, DateTime<Utc>)],
) -> Event {
    let own = own_customers
        .iter()
        .map(|(customer_id, from_time)| OwnCustomerId {
            customer_id: (*customer_id).to_owned(),
            from_time: Some(timestamp(*from_time)),
        });
    event(Payload::MemberChanged(MemberChanged {
        member_id: member.to_string(),
        revision,
        state: MemberState::Active.into(),
        create_time: Some(timestamp(day(-30))),
        deactivate_time: None,
        own_customer_ids: own.collect(),
    }))
}

pub(crate) fn opened(number: u128, account: AccountId, member: MemberId) -> Event {
    event(Payload::ChatroomOpened(ChatroomOpened {
        chatroom_id: chatroom(number).to_string(),
        account_id: account.to_string(),
        member_id: member.to_string(),
        create_time: Some(timestamp(day(-30))),
        revision: 1,
    }))
}

pub(crate) fn said(
    number: u128,
    account: AccountId,
    member: MemberId,
    side: Side,
    time: DateTime<Utc>,
) -> Event {
    sent(
        number,
        account,
        member,
        side,
        MessageKind::Text,
        MessageOrigin::Written,
        time,
    )
}

pub(crate) fn sent(
    number: u128,
    account: AccountId,
    member: MemberId,
    side: Side,
    kind: MessageKind,
    origin: MessageOrigin,
    time: DateTime<Utc>,
) -> Event {
    // Times tell the messages of a chatroom apart (SPEC 29), and so the ids made from them do.
    let message = Uuid::from_u128((number << 64) + time.timestamp_micros().unsigned_abs() as u128);
    event(Payload::MessageSent(MessageSent {
        message_id: message.to_string(),
        chatroom_id: chatroom(number).to_string(),
        account_id: account.to_string(),
        member_id: member.to_string(),
        sequence: 1,
        author: None,
        side: side.into(),
        kind: kind.into(),
        origin: origin.into(),
        message_time: Some(timestamp(time)),
        revision: 1,
    }))
}

/// A chatroom in which the visitor wrote at `visitor_time` and the Member answered at `member_time`.
pub(crate) fn talk(
    number: u128,
    account: AccountId,
    member: MemberId,
    visitor_time: DateTime<Utc>,
    member_time: DateTime<Utc>,
) -> [Event; 3] {
    [
        opened(number, account, member),
        said(number, account, member, Side::Visitor, visitor_time),
        said(number, account, member, Side::Member, member_time),
    ]
}
