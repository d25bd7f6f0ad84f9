//! Every fact that bears on orders, gathered for `domain`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::{
    attribution::{OrderFacts, OwnCustomer},
    attribution_policy::AttributionPolicyRevision,
    buyer::{AccountFact, KnownEmail},
    email::EmailDigest,
    evidence::{ChatroomEvidence, Evidence},
    id::{AccountId, BrandId, CartId, CustomerId, OrderId},
    order::{Checkout, Order, OrderStatus, RecordedRefund},
    person::{Link, Links},
};
use kit::{
    db::{Connection, StoreError},
    directory::{accounts, links, members},
};

use crate::store::{
    attribution_policies,
    chatrooms::{self, Chatroom},
    checkouts, first_instant,
    messages::{self, Question},
    order_statuses,
    orders::RecordedOrder,
    refunds,
};

/// Returns the facts of each of `orders`, in their order: from its keys to the accounts that they
/// meet, from those to their persons, and on to the chatrooms and what they prove before the order.
///
/// Each step is one query for all orders. What it found is then handed out, so that the facts of an
/// order are those that it would have alone.
pub(crate) async fn load(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[RecordedOrder],
) -> Result<Vec<OrderFacts>, StoreError> {
    let orders: Vec<Order> = orders.iter().map(RecordedOrder::to_domain).collect();
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let met = Met::load(connection, brand_id, &orders).await?;
    let seeds: BTreeSet<AccountId> = orders.iter().flat_map(|order| met.by(order)).collect();
    let seeds: Vec<AccountId> = seeds.into_iter().collect();
    let links = links::connected(connection, brand_id, &seeds).await?;
    let ends = Ends::of(&links);
    let persons: Vec<BTreeSet<AccountId>> = orders
        .iter()
        .map(|order| ends.reach(met.by(order)))
        .collect();
    let known = Known::load(connection, brand_id, &orders, &persons).await?;
    let found = orders.into_iter().zip(persons);
    Ok(found
        .map(|(order, accounts)| known.facts(order, &accounts, &met, &ends))
        .collect())
}

/// Returns the facts of one order.
pub(crate) async fn load_one(
    connection: &mut Connection,
    brand_id: &BrandId,
    recorded: &RecordedOrder,
) -> Result<OrderFacts, StoreError> {
    let facts = load(connection, brand_id, std::slice::from_ref(recorded)).await?;
    let one = facts.into_iter().next();
    Ok(one.expect("as many facts are loaded as there are orders"))
}

/// The accounts that the keys of orders name. Whether they resolve is not decided here.
struct Met {
    /// By cart, each cart's by time.
    checkouts: BTreeMap<CartId, Vec<Checkout>>,
    customers: BTreeMap<CustomerId, Vec<AccountId>>,
    emails: BTreeMap<EmailDigest, Vec<AccountId>>,
}

impl Met {
    async fn load(
        connection: &mut Connection,
        brand_id: &BrandId,
        orders: &[Order],
    ) -> Result<Self, StoreError> {
        let mut met = Self {
            checkouts: BTreeMap::new(),
            customers: BTreeMap::new(),
            emails: BTreeMap::new(),
        };
        let keys = || orders.iter().map(|order| &order.keys);
        let carts = distinct(keys().filter_map(|keys| keys.cart.clone()));
        if !carts.is_empty() {
            for checkout in checkouts::list_by_carts(connection, brand_id, &carts).await? {
                let of_cart = met.checkouts.entry(checkout.cart.clone()).or_default();
                of_cart.push(checkout);
            }
        }
        let customers = distinct(keys().filter_map(|keys| keys.customer.clone()));
        if !customers.is_empty() {
            for account in accounts::list_by_customers(connection, brand_id, &customers).await? {
                if let Some(customer) = account.customer_id {
                    met.customers.entry(customer).or_default().push(account.id);
                }
            }
        }
        let emails = distinct(keys().filter_map(|keys| keys.email));
        if !emails.is_empty() {
            for email in accounts::list_by_emails(connection, brand_id, &emails).await? {
                let of_email = met.emails.entry(email.digest).or_default();
                of_email.push(email.account_id);
            }
        }
        Ok(met)
    }

    /// Returns the latest checkout of the order's cart at or before the order.
    fn checkout(&self, order: &Order) -> Option<&Checkout> {
        let checkouts = self.checkouts.get(order.keys.cart.as_ref()?)?;
        let before = checkouts.partition_point(|one| one.checkout_time <= order.order_time);
        checkouts[..before].last()
    }

    fn by(&self, order: &Order) -> impl Iterator<Item = AccountId> {
        let keys = &order.keys;
        let customers = keys.customer.as_ref().and_then(|id| self.customers.get(id));
        let emails = keys.email.as_ref().and_then(|id| self.emails.get(id));
        let checkout = self.checkout(order).map(|checkout| checkout.account);
        let named = keys.account.into_iter().chain(checkout);
        named.chain(customers.into_iter().chain(emails).flatten().copied())
    }
}

fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let all: BTreeSet<T> = all.collect();
    all.into_iter().collect()
}

/// The links, revoked ones included, by the accounts at either end.
struct Ends(BTreeMap<AccountId, Vec<Link>>);

impl Ends {
    fn of(links: &Links) -> Self {
        let mut ends: BTreeMap<AccountId, Vec<Link>> = BTreeMap::new();
        for link in links.iter() {
            ends.entry(link.client).or_default().push(*link);
            ends.entry(link.temporary).or_default().push(*link);
        }
        Self(ends)
    }

    fn of_account(&self, account: AccountId) -> impl Iterator<Item = &Link> {
        self.0.get(&account).into_iter().flatten()
    }

    /// Returns the accounts that links lead to, and on from there.
    fn reach(&self, from: impl Iterator<Item = AccountId>) -> BTreeSet<AccountId> {
        let mut reached: BTreeSet<AccountId> = from.collect();
        let mut ahead: Vec<AccountId> = reached.iter().copied().collect();
        while let Some(account) = ahead.pop() {
            let next = self.of_account(account);
            let next = next.flat_map(|link| [link.client, link.temporary]);
            ahead.extend(next.filter(|account| reached.insert(*account)));
        }
        reached
    }

    fn links_of(&self, accounts: &BTreeSet<AccountId>) -> Links {
        let links = accounts
            .iter()
            .flat_map(|account| self.of_account(*account));
        links.copied().collect()
    }
}

/// What is known of the orders and of the accounts that they reach.
struct Known {
    accounts: BTreeMap<AccountId, AccountFact>,
    chatrooms: BTreeMap<AccountId, Vec<Chatroom>>,
    evidence: BTreeMap<Question, Evidence>,
    own_customers: BTreeMap<CustomerId, Vec<OwnCustomer>>,
    policies: Vec<AttributionPolicyRevision>,
    statuses: BTreeMap<OrderId, Vec<OrderStatus>>,
    refunds: BTreeMap<OrderId, Vec<RecordedRefund>>,
}

impl Known {
    async fn load(
        connection: &mut Connection,
        brand_id: &BrandId,
        orders: &[Order],
        persons: &[BTreeSet<AccountId>],
    ) -> Result<Self, StoreError> {
        let reached = distinct(persons.iter().flatten().copied());
        let accounts = account_facts(connection, brand_id, &reached).await?;
        let chatrooms = match reached.as_slice() {
            [] => BTreeMap::new(),
            reached => chatrooms_of(connection, brand_id, reached).await?,
        };
        let questions = orders.iter().zip(persons).flat_map(|(order, person)| {
            let rooms = person.iter().filter_map(|account| chatrooms.get(account));
            rooms
                .flatten()
                .map(|room| (room.chatroom_id, order.order_time))
        });
        let questions = questions.collect();
        let named = orders
            .iter()
            .filter_map(|order| order.keys.customer.clone());
        let known = accounts.values().filter_map(|fact| fact.customer.clone());
        let customers = distinct(named.chain(known));
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id.clone()).collect();
        let statuses = order_statuses::list(connection, brand_id, &ids).await?;
        let refunds = refunds::list(connection, brand_id, &ids).await?;
        Ok(Self {
            evidence: messages::evidence_before(connection, brand_id, &questions).await?,
            own_customers: own_customers(connection, brand_id, &customers).await?,
            policies: policies(connection, brand_id, orders, &accounts).await?,
            statuses: by_order(statuses),
            refunds: by_order(refunds),
            accounts,
            chatrooms,
        })
    }

    fn facts(
        &self,
        order: Order,
        person: &BTreeSet<AccountId>,
        met: &Met,
        ends: &Ends,
    ) -> OrderFacts {
        let accounts = person.iter().filter_map(|id| self.accounts.get(id));
        let accounts: Vec<AccountFact> = accounts.cloned().collect();
        let customers: BTreeSet<&CustomerId> = accounts
            .iter()
            .filter_map(|account| account.customer.as_ref())
            .chain(&order.keys.customer)
            .collect();
        let own = customers
            .into_iter()
            .filter_map(|id| self.own_customers.get(id));
        let rooms = person.iter().filter_map(|id| self.chatrooms.get(id));
        let rooms = rooms.flatten().map(|room| ChatroomEvidence {
            chatroom: room.chatroom_id,
            member: room.member_id,
            visitor: room.account_id,
            evidence: self.evidence(room, order.order_time),
        });
        OrderFacts {
            chatrooms: rooms.collect(),
            own_customers: own.flatten().cloned().collect(),
            policies: self.policies.clone(),
            statuses: self.statuses.get(&order.id).cloned().unwrap_or_default(),
            refunds: self.refunds.get(&order.id).cloned().unwrap_or_default(),
            checkouts: met.checkout(&order).cloned().into_iter().collect(),
            links: ends.links_of(person),
            accounts,
            order,
        }
    }

    fn evidence(&self, room: &Chatroom, order_time: DateTime<Utc>) -> Evidence {
        let question = (room.chatroom_id, order_time);
        self.evidence.get(&question).copied().unwrap_or_default()
    }
}

fn by_order<T>(all: impl IntoIterator<Item = (OrderId, T)>) -> BTreeMap<OrderId, Vec<T>> {
    let mut found: BTreeMap<OrderId, Vec<T>> = BTreeMap::new();
    for (order_id, one) in all {
        found.entry(order_id).or_default().push(one);
    }
    found
}

async fn account_facts(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[AccountId],
) -> Result<BTreeMap<AccountId, AccountFact>, StoreError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut emails: BTreeMap<AccountId, Vec<KnownEmail>> = BTreeMap::new();
    for email in accounts::list_emails(connection, brand_id, ids).await? {
        emails
            .entry(email.account_id)
            .or_default()
            .push(KnownEmail {
                digest: email.digest,
                provenance: email.provenance,
                from_time: email.from_time,
                until_time: email.until_time,
            });
    }
    let known = accounts::list(connection, brand_id, ids).await?;
    Ok(known
        .into_iter()
        .map(|account| {
            let fact = AccountFact {
                emails: emails.remove(&account.id).unwrap_or_default(),
                account: account.id,
                customer: account.customer_id,
                create_time: account.create_time,
                upgrade_time: account.upgrade_time,
                erase_time: account.erase_time,
            };
            (account.id, fact)
        })
        .collect())
}

async fn chatrooms_of(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, Vec<Chatroom>>, StoreError> {
    let mut found: BTreeMap<AccountId, Vec<Chatroom>> = BTreeMap::new();
    for room in chatrooms::list_by_accounts(connection, brand_id, accounts).await? {
        found.entry(room.account_id).or_default().push(room);
    }
    Ok(found)
}

async fn own_customers(
    connection: &mut Connection,
    brand_id: &BrandId,
    customers: &[CustomerId],
) -> Result<BTreeMap<CustomerId, Vec<OwnCustomer>>, StoreError> {
    let mut found: BTreeMap<CustomerId, Vec<OwnCustomer>> = BTreeMap::new();
    if customers.is_empty() {
        return Ok(found);
    }
    for own in members::list_owners(connection, brand_id, customers).await? {
        found.entry(own.customer.clone()).or_default().push(own);
    }
    Ok(found)
}

/// For orders whose buyer was erased also those that others have superseded since.
async fn policies(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[Order],
    accounts: &BTreeMap<AccountId, AccountFact>,
) -> Result<Vec<AttributionPolicyRevision>, StoreError> {
    let times = || orders.iter().map(|order| order.order_time);
    let Some((first_time, last_time)) = times().min().zip(times().max()) else {
        return Ok(Vec::new());
    };
    let is_any_erased = accounts.values().any(|one| one.erase_time.is_some());
    let first_time = if is_any_erased {
        first_instant()
    } else {
        first_time
    };
    attribution_policies::list_in_force(connection, brand_id, first_time, last_time).await
}
