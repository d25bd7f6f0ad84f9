//! What an erasure of the buyer means for an order (SPEC 42, 55).
//!
//! What decides is the time in the facts, here too: an order is frozen as of the erasure, and not as of
//! the moment in which somebody heard of it.
//!
//! | the order was placed …             | it is decided by                                              |
//! |------------------------------------|---------------------------------------------------------------|
//! | at or before its buyer was erased  | the facts of that instant and before, as if nobody was erased |
//! | later, under an erased key alone   | `BUYER_ERASED`: nobody is credited                            |
//! | later, by a new account            | all facts, that account's                                     |
//!
//! So whatever happens after an erasure (a refund, a status, a policy, a revocation, a new account of the
//! same customer) changes nothing that is booked for the orders before it. A fact from before that comes
//! after it still counts, as it would have, had it come in time. That is what makes a freeze the same for
//! every order of arrival, and a database that is put back and reads its logs again.
//!
//! Two facts have no time of their own and are passed on as they are: that a Member has a chatroom, which
//! proves nothing without messages, and what a Member says of his own customer ids, each of which names
//! the instant from which on it counts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::OrderFacts;
use crate::{
    buyer::{AccountFact, KnownEmail},
    person::Link,
};

impl OrderFacts {
    /// Returns when accounts were erased that were there when the order was placed, the first erasure first.
    pub(super) fn later_erasures(&self) -> BTreeSet<DateTime<Utc>> {
        let times = self.accounts.iter().filter_map(|one| one.erase_time);
        times
            .filter(|time| self.order.order_time <= *time)
            .collect()
    }

    /// Returns the facts of `time` and before, as if nobody was erased since.
    #[must_use]
    pub fn as_of(&self, time: DateTime<Utc>) -> Self {
        let accounts = self.accounts.iter().filter(|one| one.create_time <= time);
        let links = self.links.iter().filter(|link| link.link_time <= time);
        let policies = self.policies.iter().filter(|one| one.create_time <= time);
        let statuses = self.statuses.iter().filter(|one| one.status_time <= time);
        let refunds = self.refunds.iter().filter(|one| one.refund_time <= time);
        Self {
            accounts: accounts.map(|one| account_as_of(one, time)).collect(),
            links: links
                .map(|link| Link {
                    revoke_time: link.revoke_time.filter(|revoke_time| *revoke_time <= time),
                    ..*link
                })
                .collect(),
            policies: policies.copied().collect(),
            statuses: statuses.cloned().collect(),
            refunds: refunds.cloned().collect(),
            ..self.clone()
        }
    }
}

fn account_as_of(account: &AccountFact, time: DateTime<Utc>) -> AccountFact {
    let is_known = |instant: &DateTime<Utc>| *instant <= time;
    let is_upgraded_since = account.upgrade_time.is_some_and(|upgrade| time < upgrade);
    let emails = account
        .emails
        .iter()
        .filter(|email| is_known(&email.from_time));
    AccountFact {
        account: account.account,
        create_time: account.create_time,
        customer: account.customer.clone().filter(|_| !is_upgraded_since),
        upgrade_time: account.upgrade_time.filter(is_known),
        // The erasure of that very instant is what it is frozen before.
        erase_time: account.erase_time.filter(|erase_time| *erase_time < time),
        emails: emails
            .map(|email| KnownEmail {
                until_time: email.until_time.filter(is_known),
                ..*email
            })
            .collect(),
    }
}
