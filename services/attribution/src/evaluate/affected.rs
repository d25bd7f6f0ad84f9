//! From what facts have touched to the orders that they can change.
//!
//! A mark names an account, a customer, a cart or an order, and the instant from which on orders can
//! be changed. It reaches every key by which an order may name whoever is, was or could be one person
//! with that account: that is more than a fact can change where links were revoked; it is never
//! less. The marks of a page are followed together, each key keeping the earliest of its own
//! instants, so what it costs grows with the orders found.
//!
//! Source: SPEC 36, 42.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::{
    email::EmailDigest,
    id::{AccountId, BrandId, CartId, CustomerId, OrderId},
};
use kit::{
    db::{Connection, StoreError},
    directory::{accounts, links},
};

use crate::store::{
    awaited_sign_ins, checkouts,
    dirty_marks::{Mark, Subject},
    first_instant,
    orders::{self, Keys, RecordedOrder},
};

/// The keys that marks reach, each with the instant from which on an order under it can be changed.
#[derive(Debug, Default)]
struct Reach {
    accounts: BTreeMap<AccountId, DateTime<Utc>>,
    customers: BTreeMap<CustomerId, DateTime<Utc>>,
    carts: BTreeMap<CartId, DateTime<Utc>>,
    emails: BTreeMap<EmailDigest, DateTime<Utc>>,
}

/// Returns the orders behind marks of one Brand.
pub(crate) async fn orders(
    connection: &mut Connection,
    brand_id: &BrandId,
    marks: &[Mark],
) -> Result<BTreeSet<OrderId>, StoreError> {
    let mut found = BTreeSet::new();
    let mut reach = Reach::default();
    let last_time = orders::last_time(connection, brand_id).await?;
    for mark in marks {
        let from_time = mark.from_time.unwrap_or_else(first_instant);
        // Nearly every message is told of before the next order is placed.
        if mark.from_time.is_some() && last_time.is_none_or(|last_time| last_time < from_time) {
            continue;
        }
        match &mark.subject {
            Subject::Orders(order_ids) => found.extend(order_ids.iter().cloned()),
            Subject::Account(account_id) => keep(&mut reach.accounts, *account_id, from_time),
            Subject::Cart(cart_id) => keep(&mut reach.carts, cart_id.clone(), from_time),
            Subject::Customer(customer_id) => {
                keep(&mut reach.customers, customer_id.clone(), from_time);
            }
        }
    }
    reach.add_buyers(connection, brand_id).await?;
    reach.follow_links(connection, brand_id).await?;
    reach.add_keys(connection, brand_id).await?;
    found.extend(reach.orders(connection, brand_id).await?);
    Ok(found)
}

/// Keeps the earlier of two instants of a key.
fn keep<K: Ord>(instants: &mut BTreeMap<K, DateTime<Utc>>, key: K, from_time: DateTime<Utc>) {
    instants
        .entry(key)
        .and_modify(|known| *known = from_time.min(*known))
        .or_insert(from_time);
}

impl Reach {
    /// Reaches the accounts behind the customer ids that are reached.
    async fn add_buyers(
        &mut self,
        connection: &mut Connection,
        brand_id: &BrandId,
    ) -> Result<(), StoreError> {
        let customers: Vec<CustomerId> = self.customers.keys().cloned().collect();
        if customers.is_empty() {
            return Ok(());
        }
        for account in accounts::list_by_customers(connection, brand_id, &customers).await? {
            if let Some(customer) = &account.customer_id {
                keep(&mut self.accounts, account.id, self.customers[customer]);
            }
        }
        Ok(())
    }

    /// Reaches all accounts that links, revoked ones included, lead to from those that are reached.
    async fn follow_links(
        &mut self,
        connection: &mut Connection,
        brand_id: &BrandId,
    ) -> Result<(), StoreError> {
        let seeds: Vec<AccountId> = self.accounts.keys().copied().collect();
        let links = links::connected(connection, brand_id, &seeds).await?;
        let mut neighbours: BTreeMap<AccountId, Vec<AccountId>> = BTreeMap::new();
        for link in links.iter() {
            neighbours
                .entry(link.client)
                .or_default()
                .push(link.temporary);
            neighbours
                .entry(link.temporary)
                .or_default()
                .push(link.client);
        }
        let mut ends: Vec<(AccountId, DateTime<Utc>)> = self
            .accounts
            .iter()
            .map(|(account, from_time)| (*account, *from_time))
            .collect();
        while let Some((end, from_time)) = ends.pop() {
            for next in neighbours.get(&end).into_iter().flatten() {
                if self
                    .accounts
                    .get(next)
                    .is_none_or(|known| from_time < *known)
                {
                    self.accounts.insert(*next, from_time);
                    ends.push((*next, from_time));
                }
            }
        }
        Ok(())
    }

    /// Reaches the other keys of the accounts that are reached.
    async fn add_keys(
        &mut self,
        connection: &mut Connection,
        brand_id: &BrandId,
    ) -> Result<(), StoreError> {
        let ids: Vec<AccountId> = self.accounts.keys().copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let from_times = &self.accounts;
        for account in accounts::list(connection, brand_id, &ids).await? {
            if let Some(customer) = account.customer_id {
                keep(&mut self.customers, customer, from_times[&account.id]);
            }
        }
        for email in accounts::list_emails(connection, brand_id, &ids).await? {
            keep(
                &mut self.emails,
                email.digest,
                from_times[&email.account_id],
            );
        }
        for (account, cart) in checkouts::list_carts(connection, brand_id, &ids).await? {
            keep(&mut self.carts, cart, from_times[&account]);
        }
        Ok(())
    }

    /// Returns the orders under what is reached, and those that wait for a sign-in to it.
    async fn orders(
        self,
        connection: &mut Connection,
        brand_id: &BrandId,
    ) -> Result<Vec<OrderId>, StoreError> {
        let Some(from_time) = self.earliest() else {
            return Ok(Vec::new());
        };
        let keys = Keys {
            accounts: self.accounts.keys().copied().collect(),
            customers: self.customers.keys().cloned().collect(),
            carts: self.carts.keys().cloned().collect(),
            emails: self.emails.keys().copied().collect(),
        };
        let named = orders::list_by_keys(connection, brand_id, &keys, from_time).await?;
        let waiting =
            awaited_sign_ins::list_by_accounts(connection, brand_id, &keys.accounts).await?;
        Ok(named
            .into_iter()
            .filter(|order| self.touches(order))
            .map(|order| order.id)
            .chain(waiting)
            .collect())
    }

    fn earliest(&self) -> Option<DateTime<Utc>> {
        let accounts = self.accounts.values();
        let others = self.customers.values().chain(self.carts.values());
        accounts
            .chain(others)
            .chain(self.emails.values())
            .min()
            .copied()
    }

    fn touches(&self, order: &RecordedOrder) -> bool {
        fn from<K: Ord>(
            instants: &BTreeMap<K, DateTime<Utc>>,
            key: Option<&K>,
        ) -> Option<DateTime<Utc>> {
            instants.get(key?).copied()
        }
        let keys = &order.keys;
        [
            from(&self.accounts, keys.account.as_ref()),
            from(&self.customers, keys.customer.as_ref()),
            from(&self.carts, keys.cart.as_ref()),
            from(&self.emails, keys.email.as_ref()),
        ]
        .into_iter()
        .flatten()
        .any(|from_time| from_time <= order.order_time)
    }
}
