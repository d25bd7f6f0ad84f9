//! The facts of made-up worlds as identity and chat tell of them.

use chrono::{DateTime, Utc};
use domain::{
    buyer::AccountFact,
    email::Provenance,
    evidence::MessageFact,
    id::{AccountId, MemberId},
    message::{MessageKind, MessageOrigin, Side},
    person::{Link, LinkScope},
};
use kit::convert::timestamp;
use rapport_proto::event::v1::{self as event, EmailProvenance, Event, event::Payload};

use crate::tests::events;

pub(super) fn account_events(fact: &AccountFact) -> Vec<Event> {
    let provenance = |provenance| match provenance {
        Provenance::Attested => EmailProvenance::Attested,
        Provenance::Typed => EmailProvenance::Typed,
    };
    let emails: Vec<(u8, EmailProvenance, DateTime<Utc>)> = fact
        .emails
        .iter()
        .map(|one| {
            (
                one.digest.as_bytes()[0],
                provenance(one.provenance),
                one.from_time,
            )
        })
        .collect();
    let customer = fact.customer.as_ref().map_or("", |id| id.as_str());
    let (id, upgrade_time) = (fact.account, fact.upgrade_time);
    let newest = events::account_changed(id, 2, customer, upgrade_time, &emails);
    let mut events = vec![events::temporary(id), newest];
    for event in &mut events {
        if let Some(Payload::AccountChanged(state)) = &mut event.payload {
            state.create_time = Some(timestamp(fact.create_time));
        }
    }
    let erase_time = fact.erase_time;
    let erased = |time| events::erased_with_emails(id, customer, time, &emails);
    events.extend(erase_time.map(erased));
    events
}

pub(super) fn link_event(link: &Link) -> Event {
    let number = link.id.uuid().as_u128() - events::link_id(0).uuid().as_u128();
    let scope = match link.scope {
        LinkScope::Tracking => event::LinkScope::Tracking,
        LinkScope::History => event::LinkScope::History,
    };
    let (temporary, client) = (link.temporary, link.client);
    let (link_time, revoke_time) = (link.link_time, link.revoke_time);
    events::link(number, temporary, client, scope, link_time, revoke_time)
}

pub(super) fn message_event(
    number: u128,
    visitor: AccountId,
    member: MemberId,
    fact: &MessageFact,
) -> Event {
    let side = match fact.side {
        Side::Visitor => event::Side::Visitor,
        Side::Member => event::Side::Member,
        Side::Service => event::Side::Service,
    };
    let kind = match fact.kind {
        MessageKind::Rating => event::MessageKind::Rating,
        _ => event::MessageKind::Text,
    };
    let origin = match fact.origin {
        MessageOrigin::Written => event::MessageOrigin::Written,
        MessageOrigin::Automatic => event::MessageOrigin::Automatic,
        MessageOrigin::Phygital => event::MessageOrigin::Phygital,
    };
    events::sent(
        number,
        visitor,
        member,
        side,
        kind,
        origin,
        fact.message_time,
    )
}
