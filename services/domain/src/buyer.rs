//! Whose order it is.
//!
//! The keys of an order are tried in this sequence, and the first that resolves decides:
//!
//! | key              | resolves to                                                        | names    |
//! |------------------|--------------------------------------------------------------------|----------|
//! | `ACCOUNT`        | the account of that id                                             | the account |
//! | `CUSTOMER`       | the client account with that customer id                           | the client |
//! | `CART`           | the account of the cart's latest checkout at or before the order   | the account |
//! | `ATTESTED_EMAIL` | the person whose account had that attested e-mail at the time      | the client |
//! | `TYPED_EMAIL`    | the same for a typed e-mail, where the Brand's policy allows it    | the account |
//!
//! What a key resolves to depends on the accounts it meets:
//!
//! | accounts                                         | finding                              |
//! |--------------------------------------------------|--------------------------------------|
//! | none that is known                               | the next key; after the last `BUYER_UNKNOWN` |
//! | ones of one person that were there when the order was placed | that account; of several, the person's root |
//! | ones of several persons that were there          | `BUYER_AMBIGUOUS`                    |
//! | only such as were erased before the order        | `BUYER_ERASED`                       |
//!
//! Where the rules are silent:
//!
//! - An erased account keeps its keys for the orders placed up to its erasure, which are decided as of
//!   then (`attribution::erasure`); a new account of the same customer has them for the orders after it.
//! - An erased key stops the search. Going on to a weaker key could credit another person's Member
//!   with the order of somebody who asked to be forgotten.
//! - An account has an e-mail from the instant it got it, less the clock's tolerance, until the
//!   instant it lost it: what decides is the time in the fact (SPEC 42). Retroactive links drop the
//!   first bound.
//! - An attested e-mail that resolves, also to several persons, is not overruled by a typed one.
//!
//! Source: SPEC 36, 42, 55.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::{
    attribution_policy::AttributionPolicy,
    email::{EmailDigest, Provenance},
    id::{AccountId, CustomerId},
    label::labels,
    order::{Checkout, Order},
    person::{Horizon, Links},
};

/// What is known of a visitor's account: the newest state of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFact {
    /// The account.
    pub account: AccountId,
    /// The customer's id at the Brand; only a client account has one.
    pub customer: Option<CustomerId>,
    /// When it was made.
    pub create_time: DateTime<Utc>,
    /// When it was upgraded from a temporary account; `None` where it never was.
    pub upgrade_time: Option<DateTime<Utc>>,
    /// When it was erased.
    pub erase_time: Option<DateTime<Utc>>,
    /// Every e-mail it has or had.
    pub emails: Vec<KnownEmail>,
}

/// An e-mail that an account has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownEmail {
    /// Its digest.
    pub digest: EmailDigest,
    /// Who stands for it.
    pub provenance: Provenance,
    /// From when on the account had it.
    pub from_time: DateTime<Utc>,
    /// Until when, this instant excluded; `None` for one it still has.
    pub until_time: Option<DateTime<Utc>>,
}

/// Which key found the buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuyerKey {
    /// The account id on the order.
    Account,
    /// The customer id on the order.
    Customer,
    /// The cart id on the order.
    Cart,
    /// The e-mail on the order, and the Brand stands for it.
    AttestedEmail,
    /// The e-mail on the order, and a visitor typed it.
    TypedEmail,
}

labels!(BuyerKey {
    Account => "ACCOUNT",
    Customer => "CUSTOMER",
    Cart => "CART",
    AttestedEmail => "ATTESTED_EMAIL",
    TypedEmail => "TYPED_EMAIL",
});

impl BuyerKey {
    /// Returns whether it names the client, who exists since his first sign-in, and not the account,
    /// which may have been a temporary one before (SPEC 42).
    pub const fn names_client(self) -> bool {
        match self {
            Self::Customer | Self::AttestedEmail => true,
            Self::Account | Self::Cart | Self::TypedEmail => false,
        }
    }
}

/// The account that placed an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Buyer {
    /// The account.
    pub account: AccountId,
    /// The key that found it.
    pub key: BuyerKey,
}

/// What the keys of an order resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuyerFinding {
    /// One person.
    Found(Buyer),
    /// Nobody that is known yet.
    Unknown,
    /// Several persons.
    Ambiguous,
    /// Somebody who was erased before.
    Erased,
}

/// Returns who placed `order`.
///
/// Source: SPEC 36, 55.
pub fn find_buyer(
    order: &Order,
    accounts: &[AccountFact],
    checkouts: &[Checkout],
    links: &Links,
    policy: &AttributionPolicy,
) -> BuyerFinding {
    let horizon = policy.horizon(order.order_time);
    let keys = &order.keys;
    let cart_account = keys.cart.as_ref().and_then(|cart| {
        let earlier = |checkout: &&Checkout| {
            checkout.cart == *cart && checkout.checkout_time <= order.order_time
        };
        Some(checkouts.iter().filter(earlier).max()?.account)
    });
    let has_email = |account: &AccountFact, provenance: Provenance| {
        keys.email.is_some_and(|digest| {
            account.emails.iter().any(|email| {
                email.digest == digest
                    && email.provenance == provenance
                    && is_held(email, account.erase_time, order.order_time, horizon)
            })
        })
    };
    for key in BuyerKey::ALL {
        let matches = |account: &&AccountFact| match key {
            BuyerKey::Account => keys.account == Some(account.account),
            BuyerKey::Customer => keys.customer.is_some() && keys.customer == account.customer,
            BuyerKey::Cart => cart_account == Some(account.account),
            BuyerKey::AttestedEmail => has_email(account, Provenance::Attested),
            BuyerKey::TypedEmail => {
                policy.typed_email_allowed && has_email(account, Provenance::Typed)
            }
        };
        let hits: Vec<&AccountFact> = accounts.iter().filter(matches).collect();
        if let Some(finding) = resolve(&hits, *key, order.order_time, links, horizon) {
            return finding;
        }
    }
    BuyerFinding::Unknown
}

/// The second table of the module; `None` sends to the next key.
fn resolve(
    hits: &[&AccountFact],
    key: BuyerKey,
    order_time: DateTime<Utc>,
    links: &Links,
    horizon: Horizon,
) -> Option<BuyerFinding> {
    if hits.is_empty() {
        return None;
    }
    let was_there = |hit: &&&AccountFact| hit.erase_time.is_none_or(|time| order_time <= time);
    let living: BTreeSet<AccountId> = hits
        .iter()
        .filter(was_there)
        .map(|hit| hit.account)
        .collect();
    let by_root: BTreeMap<AccountId, AccountId> = living
        .iter()
        .map(|account| (links.person_at(*account, horizon).root, *account))
        .collect();
    let mut persons = by_root.into_iter();
    Some(match (persons.next(), persons.next()) {
        (None, _) => BuyerFinding::Erased,
        (Some(_), Some(_)) => BuyerFinding::Ambiguous,
        (Some((root, account)), None) => BuyerFinding::Found(Buyer {
            account: if living.len() == 1 { account } else { root },
            key,
        }),
    })
}

/// An e-mail that an account lost only by its erasure stays its own, so that later orders under it
/// are known as those of an erased buyer (SPEC 55).
fn is_held(
    email: &KnownEmail,
    erase_time: Option<DateTime<Utc>>,
    order_time: DateTime<Utc>,
    horizon: Horizon,
) -> bool {
    let was_lost_before = email.until_time.is_some_and(|until| {
        let by_erasure = erase_time.is_some_and(|erase_time| erase_time <= until);
        until <= order_time && !by_erasure
    });
    horizon.reaches(email.from_time) && !was_lost_before
}

#[cfg(test)]
mod tests;
