//! How the buyer was looked for, key by key (SPEC 36).
//!
//! `domain` says who the buyer is and by which key. What the other keys gave is found by asking it
//! again about an order that has only that key, so that no rule is written down twice.

use domain::{
    attribution::OrderFacts,
    attribution_policy::AttributionPolicy,
    buyer::{AccountFact, BuyerFinding, BuyerKey, find_buyer},
    email::Provenance,
    id::AccountId,
    order::{BuyerKeys, Order},
};

/// What looking by one key gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) key: BuyerKey,
    pub(crate) result: AttemptResult,
    /// The accounts that have the key, by id; empty where it was not tried.
    pub(crate) accounts: Vec<AccountId>,
}

/// Whether a key found the buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    /// It did.
    Found,
    /// The order does not give it.
    NotGiven,
    /// Nobody has it.
    NotFound,
    /// Several persons have it.
    Ambiguous,
    /// Somebody had it who was erased.
    Erased,
    /// An earlier key had decided.
    NotTried,
    /// The policy does not allow it.
    NotAllowed,
}

/// Returns what each key gave, in the order of trying.
pub(crate) fn attempts(facts: &OrderFacts, policy: &AttributionPolicy) -> Vec<Attempt> {
    let mut is_decided = false;
    BuyerKey::ALL
        .iter()
        .map(|key| {
            let order = with_only(*key, &facts.order);
            let (result, accounts) = if order.keys == BuyerKeys::default() {
                (AttemptResult::NotGiven, Vec::new())
            } else if is_decided {
                (AttemptResult::NotTried, Vec::new())
            } else if *key == BuyerKey::TypedEmail && !policy.typed_email_allowed {
                (AttemptResult::NotAllowed, Vec::new())
            } else {
                attempt(*key, &order, facts, policy)
            };
            is_decided |= matches!(
                result,
                AttemptResult::Found | AttemptResult::Ambiguous | AttemptResult::Erased
            );
            Attempt {
                key: *key,
                result,
                accounts,
            }
        })
        .collect()
}

fn attempt(
    key: BuyerKey,
    order: &Order,
    facts: &OrderFacts,
    policy: &AttributionPolicy,
) -> (AttemptResult, Vec<AccountId>) {
    let accounts: Vec<AccountFact> = facts
        .accounts
        .iter()
        .map(|account| with_emails_of(key, account))
        .collect();
    let find = |accounts: &[AccountFact]| {
        find_buyer(order, accounts, &facts.checkouts, &facts.links, policy)
    };
    let result = match find(&accounts) {
        BuyerFinding::Found(_) => AttemptResult::Found,
        BuyerFinding::Unknown => AttemptResult::NotFound,
        BuyerFinding::Ambiguous => AttemptResult::Ambiguous,
        BuyerFinding::Erased => AttemptResult::Erased,
    };
    let having = accounts
        .iter()
        .filter(|account| find(std::slice::from_ref(account)) != BuyerFinding::Unknown)
        .map(|account| account.account)
        .collect();
    (result, having)
}

fn with_only(key: BuyerKey, order: &Order) -> Order {
    let none = BuyerKeys::default();
    let keys = match key {
        BuyerKey::Account => BuyerKeys {
            account: order.keys.account,
            ..none
        },
        BuyerKey::Customer => BuyerKeys {
            customer: order.keys.customer.clone(),
            ..none
        },
        BuyerKey::Cart => BuyerKeys {
            cart: order.keys.cart.clone(),
            ..none
        },
        BuyerKey::AttestedEmail | BuyerKey::TypedEmail => BuyerKeys {
            email: order.keys.email,
            ..none
        },
    };
    Order {
        keys,
        ..order.clone()
    }
}

/// Two keys look at e-mails, and each at those of its own provenance.
fn with_emails_of(key: BuyerKey, account: &AccountFact) -> AccountFact {
    let provenance = match key {
        BuyerKey::TypedEmail => Provenance::Typed,
        _ => Provenance::Attested,
    };
    let mut account = account.clone();
    account
        .emails
        .retain(|email| email.provenance == provenance);
    account
}
