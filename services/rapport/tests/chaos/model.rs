//! What the Members must have earned: the pure domain's answer to the facts that were acknowledged.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::{
    attribution::{OrderFacts, attribute},
    attribution_policy::{AttributionPolicy, AttributionPolicyRevision},
    buyer::AccountFact,
    evidence::{ChatroomEvidence, Evidence, MessageFact},
    ledger::decide_targets,
    message::{MessageKind, MessageOrigin, Side},
    money::{Currency, Money, PartsPerMillion},
    order::{BuyerKeys, Order, OrderStatus, RecordedRefund, Refund, StatusLabel},
    person::{Link, LinkScope, Links},
};
use rapport::client::shop::{COMMISSION_RATE_PPM, ShopMember};

use crate::story::{Placed, Room, Story, told};

/// Who has what of which order, in minor units: by order and Member, where it is not zero.
pub(crate) type Credits = BTreeMap<(String, String), i64>;

/// Returns what must be booked for the orders of `stories`.
pub(crate) fn credits(stories: &[Story], members: &[ShopMember]) -> anyhow::Result<Credits> {
    let mut credits = Credits::new();
    for story in stories {
        for order in &story.orders {
            let facts = facts(story, order, members)?;
            for target in decide_targets(&facts, &attribute(&facts)).targets {
                let minor_units = target.amount.minor_units();
                if minor_units != 0 {
                    let key = (order.id.clone(), target.member.to_string());
                    credits.insert(key, minor_units);
                }
            }
        }
    }
    Ok(credits)
}

fn facts(story: &Story, placed: &Placed, members: &[ShopMember]) -> anyhow::Result<OrderFacts> {
    let temporary_id = &story.link.temporary_account_id;
    let chatrooms = story.chatrooms.iter();
    let chatrooms = chatrooms.map(|room| evidence(room, placed.time, members));
    Ok(OrderFacts {
        order: Order {
            id: placed.id.parse()?,
            order_time: placed.time,
            keys: BuyerKeys {
                customer: Some(story.customer_id.parse()?),
                ..Default::default()
            },
            total: euros(placed.total_minor_units)?,
        },
        accounts: vec![
            account(temporary_id, None)?,
            account(&story.client_id, Some(&story.customer_id))?,
        ],
        links: [link(story)?].into_iter().collect::<Links>(),
        checkouts: Vec::new(),
        chatrooms: chatrooms.collect::<anyhow::Result<_>>()?,
        own_customers: Vec::new(),
        policies: vec![policy()?],
        statuses: statuses(placed)?,
        refunds: refunds(placed)?,
    })
}

fn account(id: &str, customer_id: Option<&str>) -> anyhow::Result<AccountFact> {
    Ok(AccountFact {
        account: id.parse()?,
        customer: customer_id.map(str::parse).transpose()?,
        create_time: DateTime::UNIX_EPOCH,
        upgrade_time: None,
        erase_time: None,
        emails: Vec::new(),
    })
}

fn link(story: &Story) -> anyhow::Result<Link> {
    Ok(Link {
        revision: 1,
        revoke_time: None,
        id: story.link.link_id.parse()?,
        temporary: story.link.temporary_account_id.parse()?,
        client: story.client_id.parse()?,
        scope: LinkScope::History,
        link_time: told(story.link.link_time)?,
    })
}

fn evidence(
    room: &Room,
    order_time: DateTime<Utc>,
    members: &[ShopMember],
) -> anyhow::Result<ChatroomEvidence> {
    let messages = room.messages.iter().map(|sent| MessageFact {
        message_time: sent.time,
        side: if sent.is_members {
            Side::Member
        } else {
            Side::Visitor
        },
        kind: MessageKind::Text,
        origin: MessageOrigin::Written,
    });
    let messages: Vec<MessageFact> = messages.collect();
    Ok(ChatroomEvidence {
        chatroom: room.id.parse()?,
        member: members[room.member].id.parse()?,
        visitor: room.account_id.parse()?,
        evidence: Evidence::of(&messages, order_time),
    })
}

/// The shop's: as a Brand's is at first, with a commission, for orders of any time.
fn policy() -> anyhow::Result<AttributionPolicyRevision> {
    let policy = AttributionPolicy {
        commission_rate: PartsPerMillion::new(COMMISSION_RATE_PPM.try_into()?)?,
        ..Default::default()
    };
    Ok(AttributionPolicyRevision {
        revision: 1,
        effective_time: DateTime::UNIX_EPOCH,
        create_time: DateTime::UNIX_EPOCH,
        policy,
    })
}

fn statuses(placed: &Placed) -> anyhow::Result<Vec<OrderStatus>> {
    let paid = Some(("OK", placed.time));
    let cancelled = placed.cancel_time.map(|time| ("CANCELLED", time));
    let statuses = paid.into_iter().chain(cancelled);
    let statuses = statuses.map(|(label, status_time)| {
        let label = StatusLabel::parse(label).ok().context("it is a label")?;
        Ok(OrderStatus { status_time, label })
    });
    statuses.collect()
}

fn refunds(placed: &Placed) -> anyhow::Result<Vec<RecordedRefund>> {
    let refunds = placed.refund_minor_units.into_iter().map(|minor_units| {
        let refund = Refund {
            id: "first".parse()?,
            amount: euros(minor_units)?,
        };
        Ok(RecordedRefund {
            refund,
            refund_time: placed.time,
        })
    });
    refunds.collect()
}

fn euros(minor_units: i64) -> anyhow::Result<Money> {
    Ok(Money::new(minor_units, Currency::parse("EUR")?))
}
