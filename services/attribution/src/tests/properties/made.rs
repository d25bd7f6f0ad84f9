//! Small worlds, made from a number: few accounts, Members and instants, so that they collide.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    attribution::{OrderFacts, OwnCustomer},
    attribution_policy::{
        AttributionPolicy, AttributionPolicyRevision, ClockTolerance, Model, Window,
    },
    buyer::{AccountFact, KnownEmail},
    email::{EmailDigest, Provenance},
    evidence::{ChatroomEvidence, Evidence, MessageFact},
    id::{AccountId, BrandId, MemberId},
    message::{MessageKind, MessageOrigin, Side},
    money::PartsPerMillion,
    order::{BuyerKeys, Checkout, Order, OrderStatus, RecordedRefund, Refund, StatusLabel},
    person::{Link, LinkScope, Links},
};
use rapport_proto::event::v1::{Event, event::Payload};

use super::{
    random::Random,
    told::{account_events, link_event, message_event},
};
use crate::{
    app::record_order::OrderReport,
    tests::{account, day, eur, events, member, order},
};

/// One thing that is told.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Identity(Box<Event>),
    Chat(Box<Event>),
    Order(Box<OrderReport>),
    Status(String, OrderStatus),
    Refund(String, RecordedRefund),
    Checkout(Checkout),
    Policy(AttributionPolicyRevision),
}

impl Fact {
    /// How many kinds there are.
    pub(super) const KINDS: u64 = 11;

    /// Returns what kind of fact it is, below [`Fact::KINDS`].
    pub(super) fn kind(&self) -> u64 {
        match self {
            Self::Identity(event) | Self::Chat(event) => match event.payload {
                Some(Payload::AccountChanged(_)) => 0,
                Some(Payload::LinkChanged(_)) => 1,
                Some(Payload::MemberChanged(_)) => 2,
                Some(Payload::ChatroomOpened(_)) => 3,
                Some(Payload::AccountErased(_)) => 10,
                _ => 4,
            },
            Self::Order(_) => 5,
            Self::Status(..) => 6,
            Self::Refund(..) => 7,
            Self::Checkout(_) => 8,
            Self::Policy(_) => 9,
        }
    }
}

/// All facts of a world, in the words of the domain.
pub(super) struct Made {
    accounts: Vec<AccountFact>,
    pub(super) links: Vec<Link>,
    chatrooms: Vec<(u128, AccountId, MemberId, Vec<MessageFact>)>,
    own_customers: Vec<OwnCustomer>,
    checkouts: Vec<Checkout>,
    pub(super) orders: Vec<OrderReport>,
    statuses: Vec<(String, OrderStatus)>,
    refunds: Vec<(String, RecordedRefund)>,
    policies: Vec<AttributionPolicyRevision>,
}

const CLIENTS: [u128; 2] = [1, 2];
const TEMPORARIES: [u128; 3] = [11, 12, 13];
const MEMBERS: [u128; 2] = [1, 2];

impl Made {
    pub(super) fn new(random: &mut Random) -> Self {
        let links = links(random);
        let mut made = Self {
            accounts: accounts(random, &links),
            chatrooms: chatrooms(random),
            own_customers: own_customers(random),
            checkouts: checkouts(random),
            policies: policies(random),
            orders: Vec::new(),
            statuses: Vec::new(),
            refunds: Vec::new(),
            links,
        };
        for index in 0..=random.below(3) {
            let id = format!("order-{index}");
            let keys = buyer_keys(random);
            made.orders.push(order(&id, random.instant(-3, 0), keys));
            for label in ["OK", "OK", "OK", "CANCELLED", "SHIPPED"] {
                if random.is(2) {
                    let status = OrderStatus {
                        status_time: random.instant(-3, 1),
                        label: StatusLabel::parse(label).unwrap(),
                    };
                    made.statuses.push((id.clone(), status));
                }
            }
            for refund in ["r1", "r2"] {
                if random.is(3) {
                    let amount = eur(i64::try_from(random.below(7_000)).unwrap());
                    let id_of_refund = refund.parse().unwrap();
                    let refund = RecordedRefund {
                        refund: Refund {
                            id: id_of_refund,
                            amount,
                        },
                        refund_time: random.instant(-3, 2),
                    };
                    made.refunds.push((id.clone(), refund));
                }
            }
        }
        made
    }

    /// From when on each of the policies counts.
    pub(super) fn policy_times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.policies.iter().map(|revision| revision.effective_time)
    }

    /// Everything the domain needs, and more: it passes over what is another person's.
    pub(super) fn facts_of(&self, report: &OrderReport) -> OrderFacts {
        let order_time = report.given_time.unwrap();
        let id = report.id.as_str();
        OrderFacts {
            order: Order {
                id: report.id.clone(),
                order_time,
                keys: report.keys.clone(),
                total: eur(report.total.minor_units() - report.shipping.minor_units()),
            },
            accounts: self.accounts.clone(),
            links: self.links.iter().copied().collect::<Links>(),
            checkouts: self.checkouts.clone(),
            chatrooms: self
                .chatrooms
                .iter()
                .map(|(number, visitor, member, messages)| ChatroomEvidence {
                    chatroom: events::chatroom(*number),
                    member: *member,
                    visitor: *visitor,
                    evidence: Evidence::of(messages, order_time),
                })
                .collect(),
            own_customers: self.own_customers.clone(),
            policies: self.policies.clone(),
            statuses: of_order(&self.statuses, id),
            refunds: of_order(&self.refunds, id),
        }
    }

    /// The same facts as they are told, of the Brand.
    pub(super) fn events_and_reports(&self, brand: &BrandId) -> Vec<Fact> {
        let identity = |event: Event| Fact::Identity(Box::new(of_brand(event, brand)));
        let chat = |event: Event| Fact::Chat(Box::new(of_brand(event, brand)));
        let mut facts = Vec::new();
        facts.extend(self.accounts.iter().flat_map(account_events).map(identity));
        facts.extend(self.links.iter().map(link_event).map(identity));
        facts.extend(
            MEMBERS
                .iter()
                .flat_map(|n| self.member_events(*n))
                .map(identity),
        );
        for (number, visitor, member, messages) in &self.chatrooms {
            facts.push(chat(events::opened(*number, *visitor, *member)));
            for message in messages {
                facts.push(chat(message_event(*number, *visitor, *member, message)));
            }
        }
        facts.extend(self.policies.iter().copied().map(Fact::Policy));
        facts.extend(self.checkouts.iter().cloned().map(Fact::Checkout));
        let orders = self.orders.iter().cloned();
        facts.extend(orders.map(|report| Fact::Order(Box::new(report))));
        let statuses = self.statuses.iter().cloned();
        facts.extend(statuses.map(|(id, status)| Fact::Status(id, status)));
        let refunds = self.refunds.iter().cloned();
        facts.extend(refunds.map(|(id, refund)| Fact::Refund(id, refund)));
        facts
    }

    /// A Member first buys under another customer id, and then under the one that counts.
    fn member_events(&self, number: u128) -> Vec<Event> {
        let own: Vec<(&str, DateTime<Utc>)> = self
            .own_customers
            .iter()
            .filter(|own| own.member == member(number))
            .map(|own| (own.customer.as_str(), own.from_time))
            .collect();
        vec![
            events::member_changed(member(number), 1, &[("customer-2", day(-9))]),
            events::member_changed(member(number), 2, &own),
        ]
    }
}

fn of_order<T: Clone>(all: &[(String, T)], id: &str) -> Vec<T> {
    let own = all.iter().filter(|(order, _)| order == id);
    own.map(|(_, fact)| fact.clone()).collect()
}

fn of_brand(event: Event, brand: &BrandId) -> Event {
    Event {
        brand_id: brand.to_string(),
        ..event
    }
}

/// For each temporary account none, one, a revoked one, or a revoked one and another: no more than
/// one is active.
fn links(random: &mut Random) -> Vec<Link> {
    let mut links = Vec::new();
    let mut number = 0;
    for temporary in TEMPORARIES {
        let (revoked_count, active_count) = random.pick(&[(0, 0), (0, 1), (0, 1), (1, 0), (1, 1)]);
        for position in 0..revoked_count + active_count {
            number += 1;
            let made = Link {
                revision: 1,
                revoke_time: None,
                id: events::link_id(number),
                temporary: account(temporary),
                client: account(random.pick(&CLIENTS)),
                scope: random.pick(LinkScope::ALL),
                link_time: random.instant(-4, 0),
            };
            links.push(made);
            if position < revoked_count {
                links.push(Link {
                    revision: 2,
                    revoke_time: Some(random.instant(-3, 2)),
                    ..made
                });
            }
        }
    }
    links
}

fn accounts(random: &mut Random, links: &[Link]) -> Vec<AccountFact> {
    let mut accounts = Vec::new();
    for number in CLIENTS.into_iter().chain(TEMPORARIES) {
        let is_client = CLIENTS.contains(&number);
        let is_linked = links.iter().any(|link| link.temporary == account(number));
        let is_upgraded = !is_client && !is_linked && random.is(2);
        let emails = (0..random.below(3)).map(|_| KnownEmail {
            digest: EmailDigest::new([u8::try_from(random.below(2)).unwrap(); 32]),
            provenance: random.pick(Provenance::ALL),
            from_time: random.instant(-3, 0),
            until_time: None,
        });
        let mut emails: Vec<KnownEmail> = emails.collect();
        emails.sort_unstable();
        emails.dedup();
        let fact = AccountFact {
            account: account(number),
            create_time: day(-30),
            customer: (is_client || is_upgraded)
                .then(|| format!("customer-{number}").parse().unwrap()),
            upgrade_time: is_upgraded.then(|| random.instant(-4, 0)),
            erase_time: random.is(8).then(|| random.instant(-3, 1)),
            emails,
        };
        if !random.is(16) {
            accounts.extend(comes_again(random, &fact));
            accounts.push(fact);
        }
    }
    accounts
}

/// A client who was erased may sign in later, and is a new account.
fn comes_again(random: &mut Random, erased: &AccountFact) -> Option<AccountFact> {
    let erase_time = erased.erase_time?;
    let number = erased.account.uuid().as_u128() + 0x20;
    (erased.customer.is_some() && random.is(2)).then(|| AccountFact {
        account: AccountId::from(uuid::Uuid::from_u128(number)),
        create_time: erase_time + TimeDelta::hours(6),
        upgrade_time: None,
        erase_time: None,
        ..erased.clone()
    })
}

fn chatrooms(random: &mut Random) -> Vec<(u128, AccountId, MemberId, Vec<MessageFact>)> {
    let mut chatrooms = Vec::new();
    for number in 1..4 + random.below(4) {
        let visitor = if random.is(2) {
            random.pick(&CLIENTS)
        } else {
            random.pick(&TEMPORARIES)
        };
        let with = member(random.pick(&MEMBERS));
        let count = 1 + random.below(7);
        let mut messages: Vec<MessageFact> = (0..count).map(|_| message(random)).collect();
        // Within a chatroom no two are of one instant (SPEC 29).
        messages.sort_unstable();
        messages.dedup_by_key(|message| message.message_time);
        chatrooms.push((u128::from(number), account(visitor), with, messages));
    }
    chatrooms
}

/// Mostly what counts, and mostly about the time of the orders.
fn message(random: &mut Random) -> MessageFact {
    let (text, written) = (MessageKind::Text, MessageOrigin::Written);
    let first_day = random.pick(&[-18, -4, -3]);
    let (visitor, member) = (Side::Visitor, Side::Member);
    MessageFact {
        message_time: random.instant(first_day, 0),
        side: random.pick(&[
            visitor,
            visitor,
            visitor,
            member,
            member,
            member,
            Side::Service,
        ]),
        kind: random.pick(&[text, text, text, text, text, MessageKind::Rating]),
        origin: random.pick(&[
            written,
            written,
            written,
            written,
            MessageOrigin::Phygital,
            MessageOrigin::Automatic,
        ]),
    }
}

fn own_customers(random: &mut Random) -> Vec<OwnCustomer> {
    let mut own = Vec::new();
    for number in MEMBERS {
        if random.is(2) {
            own.push(OwnCustomer {
                member: member(number),
                customer: format!("customer-{}", random.pick(&CLIENTS))
                    .parse()
                    .unwrap(),
                from_time: random.instant(-3, 0),
            });
        }
    }
    own
}

fn checkouts(random: &mut Random) -> Vec<Checkout> {
    let mut checkouts: Vec<Checkout> = (0..random.below(4))
        .map(|_| Checkout {
            checkout_time: random.instant(-3, 0),
            cart: random.pick(&["cart-1", "cart-2"]).parse().unwrap(),
            account: account(random.pick(&TEMPORARIES)),
        })
        .collect();
    // A second account with the same cart at the same instant is refused, and hence no fact.
    checkouts.sort_unstable();
    checkouts.dedup_by_key(|checkout| (checkout.cart.clone(), checkout.checkout_time));
    let mut kept: Vec<Checkout> = Vec::new();
    for checkout in checkouts {
        let is_taken = kept
            .iter()
            .any(|one| (&one.cart, one.checkout_time) == (&checkout.cart, checkout.checkout_time));
        if !is_taken {
            kept.push(checkout);
        }
    }
    kept
}

/// Of different effective times: of two at one instant the later revision counts, and which one
/// that is, is the order in which they were set.
fn policies(random: &mut Random) -> Vec<AttributionPolicyRevision> {
    let mut policies = Vec::new();
    for (revision, first_day) in [(1, -9), (2, -2)] {
        if random.is(6) {
            continue;
        }
        policies.push(AttributionPolicyRevision {
            revision,
            effective_time: random.instant(first_day, first_day + 1),
            create_time: random.instant(-3, 1),
            policy: policy(random),
        });
    }
    policies
}

pub(super) fn policy(random: &mut Random) -> AttributionPolicy {
    let windows = [TimeDelta::days(14), TimeDelta::days(3)];
    let tolerances = [TimeDelta::zero(), TimeDelta::hours(6)];
    let rate = u32::try_from(random.below(300_000)).unwrap();
    AttributionPolicy {
        window: Window::new(random.pick(&windows)).unwrap(),
        clock_tolerance: ClockTolerance::new(random.pick(&tolerances)).unwrap(),
        model: random.pick(Model::ALL),
        retroactive_links: random.is(4),
        typed_email_allowed: random.is(2),
        commission_rate: PartsPerMillion::new(rate).unwrap(),
    }
}

fn buyer_keys(random: &mut Random) -> BuyerKeys {
    let accounts: Vec<u128> = CLIENTS.into_iter().chain(TEMPORARIES).collect();
    let keys = BuyerKeys {
        account: random.is(2).then(|| account(random.pick(&accounts))),
        customer: random.is(3).then(|| {
            format!("customer-{}", random.pick(&accounts))
                .parse()
                .unwrap()
        }),
        cart: random
            .is(3)
            .then(|| random.pick(&["cart-1", "cart-2"]).parse().unwrap()),
        email: random
            .is(2)
            .then(|| EmailDigest::new([u8::try_from(random.below(2)).unwrap(); 32])),
    };
    if keys == BuyerKeys::default() {
        return BuyerKeys {
            account: Some(account(random.pick(&accounts))),
            ..keys
        };
    }
    keys
}
