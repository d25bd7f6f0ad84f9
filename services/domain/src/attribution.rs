//! Which Member and chatroom an order is credited to, and why all the others are not.
//!
//! One pure function, [`attribute`], of all the facts of one order. Whether they came early or late,
//! once or twice, nobody can tell from the outcome (SPEC 42).
//!
//! The order as a whole has one [`Outcome`]:
//!
//! | outcome                 | when                                                              |
//! |-------------------------|-------------------------------------------------------------------|
//! | `CONVERSATION`          | at least one Member is credited                                   |
//! | `NO_CHATROOM`           | the buyer's person has no chatroom, and no active link leads to one |
//! | `NO_QUALIFYING_CHATROOM` | it has, but none counts                                          |
//! | `SELF_PURCHASE`         | the only ones that qualify are the buyer's own                    |
//! | `BUYER_UNKNOWN`         | no key resolves to an account that is known                       |
//! | `BUYER_AMBIGUOUS`       | the key that resolves names several persons                       |
//! | `BUYER_ERASED`          | the key that resolves names somebody who was erased before the order |
//!
//! Every chatroom that was considered has one [`Reason`], the first that applies:
//!
//! | reason                 | when                                                               | SPEC |
//! |------------------------|--------------------------------------------------------------------|------|
//! | `LINK_REVOKED`         | its account was linked to the buyer's person, and no longer is     | 16   |
//! | `LINKED_AFTER_ORDER`   | its account was linked to the buyer's person too late              | 42   |
//! | `UPGRADED_AFTER_ORDER` | the order names the client, who was still a temporary account then | 42   |
//! | `NO_EVIDENCE`          | neither side wrote before the order                                | 38   |
//! | `ONE_SIDED_VISITOR`    | only the visitor's side did                                        | 38   |
//! | `ONE_SIDED_MEMBER`     | only the Member did                                                | 38   |
//! | `OUTSIDE_WINDOW`       | the last message before the order is too old                       | 38   |
//! | `SELF_PURCHASE`        | the buyer is the Member                                            | 41   |
//! | `WON`                  | it is credited, alone                                              | 40   |
//! | `SHARED`               | it is credited, with one chatroom of each other Member             | 40   |
//! | `LESS_RECENT`          | another one has the more recent last message, or won the tie       | 40   |
//! | `LESS_EARLY`           | another one has the earlier first message, or won the tie          | 40   |
//!
//! The chatrooms that qualify compete:
//!
//! | model         | wins                       | ties, in this order                                  | others        |
//! |---------------|----------------------------|------------------------------------------------------|---------------|
//! | `LAST_TOUCH`  | the most recent last message of either side | the Member's most recent; the smaller chatroom id | `LESS_RECENT` |
//! | `FIRST_TOUCH` | the earliest first message of either side   | the Member's earliest; the smaller chatroom id    | `LESS_EARLY`  |
//! | `EVEN_SPLIT`  | one chatroom of every Member, as `LAST_TOUCH` would choose it | the same            | `LESS_RECENT` |
//!
//! An even split is even between Members, not between chatrooms: who is asked on two devices has not
//! answered twice. A Member who bought from himself takes no part in the competition.
//!
//! An upgrade keeps the account id, so what it serves depends on what the order names:
//!
//! | the order names …                          | placed …                             | the chatrooms from before the upgrade serve it |
//! |--------------------------------------------|--------------------------------------|---------|
//! | the account (its id, a cart, a typed e-mail) | at any time                        | yes: they are that account's own |
//! | the client (his customer id, an attested e-mail) | at or after the upgrade, less the tolerance | yes |
//! | the client                                 | earlier                              | no: he had not signed in yet |
//! | the client                                 | any time, Brand counts links retroactively | yes |
//!
//! What links serve is the table of [`crate::person`], and what an erasure freezes that of `erasure`.
//!
//! Source: SPEC 36 to 42, 44, 47, 55.

mod contest;
mod erasure;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::{
    attribution_policy::AttributionPolicyRevision,
    buyer::{AccountFact, Buyer, BuyerFinding, find_buyer},
    evidence::{ChatroomEvidence, Conversation, Qualification},
    id::{AccountId, ChatroomId, CustomerId, LinkId, MemberId},
    label::labels,
    order::{Checkout, Order, OrderStatus, RecordedRefund},
    person::{Horizon, Links, PersonAt, Standing},
};

/// Every fact that bears on one order. More than that does no harm: facts of other persons are
/// passed over. In no order, and repetitions count once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderFacts {
    /// The order.
    pub order: Order,
    /// The accounts that its keys meet, and those of their persons; one fact for each.
    pub accounts: Vec<AccountFact>,
    /// The links of those accounts, revoked ones included.
    pub links: Links,
    /// The checkouts of its cart.
    pub checkouts: Vec<Checkout>,
    /// The chatrooms of those accounts, each with its evidence strictly before the order; one fact
    /// for each.
    pub chatrooms: Vec<ChatroomEvidence>,
    /// The customer ids of the Members' own.
    pub own_customers: Vec<OwnCustomer>,
    /// The Brand's policies.
    pub policies: Vec<AttributionPolicyRevision>,
    /// What became of the order. Bears on the ledger alone.
    pub statuses: Vec<OrderStatus>,
    /// What was given back. Bears on the ledger alone.
    pub refunds: Vec<RecordedRefund>,
}

/// A customer id under which a Member himself buys (SPEC 41).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnCustomer {
    /// The Member.
    pub member: MemberId,
    /// His customer id.
    pub customer: CustomerId,
    /// Orders placed at or after it are his own.
    pub from_time: DateTime<Utc>,
}

/// What an order is credited to, and why. Equal facts give equal attributions: the lists are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// What came of it.
    pub outcome: Outcome,
    /// The account that placed it, where one was found.
    pub buyer: Option<Buyer>,
    /// The account that stands for the buyer's person at the order's time, where one was found.
    pub person: Option<AccountId>,
    /// The policy by which it counts.
    pub policy: AttributionPolicyRevision,
    /// Who is credited, by Member. Not empty exactly when the outcome is [`Outcome::Conversation`].
    pub credits: Vec<Credit>,
    /// Every chatroom that was considered, by id.
    pub considered: Vec<Considered>,
    /// When the buyer was erased, where that was after the order: only facts of then and before count.
    pub freeze_time: Option<DateTime<Utc>>,
}

/// A Member who is credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credit {
    /// The Member; in one credit only.
    pub member: MemberId,
    /// The chatroom that earned it.
    pub chatroom: ChatroomId,
    /// The link through which the chatroom is the buyer's, if any.
    pub link: Option<LinkId>,
    /// His part: this of the sum of all credits' weights. At least 1.
    pub weight: u32,
}

/// A chatroom that was considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Considered {
    /// The chatroom.
    pub chatroom: ChatroomId,
    /// Its Member.
    pub member: MemberId,
    /// Its visitor account.
    pub visitor: AccountId,
    /// The link that connects that account with the buyer's person, whether it serves or not.
    pub link: Option<LinkId>,
    /// When the last evidence before the order was sent.
    pub last_time: Option<DateTime<Utc>>,
    /// Why it was credited, or not.
    pub reason: Reason,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is credited.
    Conversation,
    /// There is no chatroom to consider, but for those behind a revoked link.
    NoChatroom,
    /// No chatroom counts.
    NoQualifyingChatroom,
    /// The buyer is the only Member whose chatrooms qualify.
    SelfPurchase,
    /// Nobody knows the buyer yet.
    BuyerUnknown,
    /// Several persons could be the buyer.
    BuyerAmbiguous,
    /// The buyer was erased before.
    BuyerErased,
}

labels!(Outcome {
    Conversation => "CONVERSATION",
    NoChatroom => "NO_CHATROOM",
    NoQualifyingChatroom => "NO_QUALIFYING_CHATROOM",
    SelfPurchase => "SELF_PURCHASE",
    BuyerUnknown => "BUYER_UNKNOWN",
    BuyerAmbiguous => "BUYER_AMBIGUOUS",
    BuyerErased => "BUYER_ERASED",
});

/// Why a chatroom was credited, or not. In order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The link that made it the buyer's was revoked.
    LinkRevoked,
    /// The link that makes it the buyer's came too late for the order.
    LinkedAfterOrder,
    /// The order names the client, and his upgrade came too late for it.
    UpgradedAfterOrder,
    /// Nobody wrote before the order.
    NoEvidence,
    /// Only the visitor's side wrote before the order.
    OneSidedVisitor,
    /// Only the Member wrote before the order.
    OneSidedMember,
    /// The last message before the order is too old.
    OutsideWindow,
    /// The buyer is the Member.
    SelfPurchase,
    /// It is credited alone.
    Won,
    /// It is credited with others.
    Shared,
    /// Another chatroom was used more recently.
    LessRecent,
    /// Another chatroom was used earlier.
    LessEarly,
}

labels!(Reason {
    LinkRevoked => "LINK_REVOKED",
    LinkedAfterOrder => "LINKED_AFTER_ORDER",
    UpgradedAfterOrder => "UPGRADED_AFTER_ORDER",
    NoEvidence => "NO_EVIDENCE",
    OneSidedVisitor => "ONE_SIDED_VISITOR",
    OneSidedMember => "ONE_SIDED_MEMBER",
    OutsideWindow => "OUTSIDE_WINDOW",
    SelfPurchase => "SELF_PURCHASE",
    Won => "WON",
    Shared => "SHARED",
    LessRecent => "LESS_RECENT",
    LessEarly => "LESS_EARLY",
});

/// Returns what the order of `facts` is credited to, and why.
///
/// Source: SPEC 36 to 42, 44, 47, 55.
pub fn attribute(facts: &OrderFacts) -> Attribution {
    let erasures = facts.later_erasures();
    for erase_time in &erasures {
        let then = decide(&facts.as_of(*erase_time));
        if erase_time_of_buyer(&then, facts) == Some(*erase_time) {
            return Attribution {
                freeze_time: Some(*erase_time),
                ..then
            };
        }
    }
    let now = decide(facts);
    match erase_time_of_buyer(&now, facts) {
        // What finds him now did not find him then, and may change nothing any more.
        Some(erase_time) => Attribution {
            freeze_time: Some(erase_time),
            ..decide(&facts.as_of(erase_time))
        },
        None => now,
    }
}

fn erase_time_of_buyer(attribution: &Attribution, facts: &OrderFacts) -> Option<DateTime<Utc>> {
    let buyer = attribution.buyer?;
    let mut accounts = facts.accounts.iter();
    accounts
        .find(|one| one.account == buyer.account)?
        .erase_time
}

/// Decides by all of the facts, whether or not the buyer was erased after the order.
fn decide(facts: &OrderFacts) -> Attribution {
    let order_time = facts.order.order_time;
    let revision = AttributionPolicyRevision::in_force(&facts.policies, order_time);
    let finding = find_buyer(
        &facts.order,
        &facts.accounts,
        &facts.checkouts,
        &facts.links,
        &revision.policy,
    );
    let outcome = match finding {
        BuyerFinding::Found(buyer) => return attribute_to(buyer, revision, facts),
        BuyerFinding::Unknown => Outcome::BuyerUnknown,
        BuyerFinding::Ambiguous => Outcome::BuyerAmbiguous,
        BuyerFinding::Erased => Outcome::BuyerErased,
    };
    Attribution {
        outcome,
        buyer: None,
        person: None,
        policy: revision,
        credits: Vec::new(),
        considered: Vec::new(),
        freeze_time: None,
    }
}

/// Returns what the attribution would be from the same facts less one link.
///
/// Source: SPEC 16, 47.
pub fn attribute_without_link(facts: &OrderFacts, link: LinkId) -> Attribution {
    let facts = OrderFacts {
        links: facts.links.without(link),
        ..facts.clone()
    };
    attribute(&facts)
}

fn attribute_to(
    buyer: Buyer,
    revision: AttributionPolicyRevision,
    facts: &OrderFacts,
) -> Attribution {
    let order_time = facts.order.order_time;
    let horizon = revision.policy.horizon(order_time);
    let person = facts.links.person_at(buyer.account, horizon);
    let own_members = own_members(&buyer, &person, facts);
    let upgraded_late = is_upgraded_after(&buyer, &facts.accounts, horizon);

    let mut verdicts = BTreeMap::new();
    let mut contestants = BTreeMap::new();
    for chatroom in &facts.chatrooms {
        let Some(standing) = person.accounts.get(&chatroom.visitor) else {
            continue;
        };
        let verdict = match refuse(standing, upgraded_late) {
            Some(reason) => Err(reason),
            None => qualify(chatroom, &revision, order_time, &own_members),
        };
        match verdict {
            Ok(conversation) => {
                contestants.insert(chatroom.chatroom, (chatroom.member, conversation));
            }
            Err(reason) => {
                verdicts.insert(chatroom.chatroom, reason);
            }
        }
    }
    verdicts.extend(contest::decide_contest(revision.policy.model, &contestants));
    let considered = report(&facts.chatrooms, &person, &verdicts);
    Attribution {
        outcome: outcome_of(&considered),
        buyer: Some(buyer),
        person: Some(person.root),
        policy: revision,
        credits: credits_of(&considered, &person),
        considered,
        freeze_time: None,
    }
}

/// Why an account of the star does not belong to the person of the order, if it does not.
fn refuse(standing: &Standing, upgraded_late: bool) -> Option<Reason> {
    match standing {
        Standing::LinkRevoked(_) => Some(Reason::LinkRevoked),
        Standing::LinkedAfterOrder(_) => Some(Reason::LinkedAfterOrder),
        Standing::Root | Standing::Linked(_) => upgraded_late.then_some(Reason::UpgradedAfterOrder),
    }
}

/// Rules 38 and 41, for a chatroom of the person.
fn qualify(
    chatroom: &ChatroomEvidence,
    revision: &AttributionPolicyRevision,
    order_time: DateTime<Utc>,
    own_members: &BTreeSet<MemberId>,
) -> Result<Conversation, Reason> {
    let window = revision.policy.window.length();
    match chatroom.evidence.qualification(order_time, window) {
        Qualification::NoEvidence => Err(Reason::NoEvidence),
        Qualification::VisitorOnly => Err(Reason::OneSidedVisitor),
        Qualification::MemberOnly => Err(Reason::OneSidedMember),
        Qualification::OutsideWindow => Err(Reason::OutsideWindow),
        Qualification::Qualifies(_) if own_members.contains(&chatroom.member) => {
            Err(Reason::SelfPurchase)
        }
        Qualification::Qualifies(conversation) => Ok(conversation),
    }
}

/// The Members who are the buyer (SPEC 41). He is known by the customer id on the order, and by those
/// of his account and of his person: an upgrade after the order does not hide whose account it was.
fn own_members(buyer: &Buyer, person: &PersonAt, facts: &OrderFacts) -> BTreeSet<MemberId> {
    let of_the_buyer =
        |account: &&AccountFact| account.account == buyer.account || account.account == person.root;
    let customers: BTreeSet<&CustomerId> = facts
        .accounts
        .iter()
        .filter(of_the_buyer)
        .filter_map(|account| account.customer.as_ref())
        .chain(&facts.order.keys.customer)
        .collect();
    facts
        .own_customers
        .iter()
        .filter(|own| own.from_time <= facts.order.order_time && customers.contains(&own.customer))
        .map(|own| own.member)
        .collect()
}

/// Whether the order names a client who was still a temporary account when it was placed (SPEC 42).
fn is_upgraded_after(buyer: &Buyer, accounts: &[AccountFact], horizon: Horizon) -> bool {
    buyer.key.names_client()
        && accounts
            .iter()
            .filter(|account| account.account == buyer.account)
            .filter_map(|account| account.upgrade_time)
            .any(|upgrade_time| !horizon.reaches(upgrade_time))
}

fn report(
    chatrooms: &[ChatroomEvidence],
    person: &PersonAt,
    verdicts: &BTreeMap<ChatroomId, Reason>,
) -> Vec<Considered> {
    let considered: BTreeMap<ChatroomId, Considered> = chatrooms
        .iter()
        .filter_map(|chatroom| {
            let reason = *verdicts.get(&chatroom.chatroom)?;
            let considered = Considered {
                chatroom: chatroom.chatroom,
                member: chatroom.member,
                visitor: chatroom.visitor,
                link: person.link_to(chatroom.visitor),
                last_time: chatroom.evidence.last_time(),
                reason,
            };
            Some((chatroom.chatroom, considered))
        })
        .collect();
    considered.into_values().collect()
}

fn credits_of(considered: &[Considered], person: &PersonAt) -> Vec<Credit> {
    let mut credits: Vec<Credit> = considered
        .iter()
        .filter(|chatroom| matches!(chatroom.reason, Reason::Won | Reason::Shared))
        .map(|chatroom| Credit {
            member: chatroom.member,
            chatroom: chatroom.chatroom,
            link: person.link_to(chatroom.visitor),
            weight: 1,
        })
        .collect();
    credits.sort_unstable();
    credits
}

/// A chatroom behind a revoked link is reported, but changes nothing: the outcome is what it would be
/// without that link (SPEC 16).
fn outcome_of(considered: &[Considered]) -> Outcome {
    let any = |wanted: &[Reason]| considered.iter().any(|one| wanted.contains(&one.reason));
    if any(&[Reason::Won, Reason::Shared]) {
        Outcome::Conversation
    } else if any(&[Reason::SelfPurchase]) {
        Outcome::SelfPurchase
    } else if considered
        .iter()
        .all(|one| one.reason == Reason::LinkRevoked)
    {
        Outcome::NoChatroom
    } else {
        Outcome::NoQualifyingChatroom
    }
}

#[cfg(test)]
mod tests;
