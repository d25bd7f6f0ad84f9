use chrono::TimeDelta;

use super::*;
use crate::{
    fixtures::{
        account, client_fact, customer, day, digest, email, link, microseconds, order,
        temporary_fact,
    },
    id::CartId,
    order::BuyerKeys,
    person::Link,
};

const ANN: u128 = 1;
const BOB: u128 = 2;
const PHONE: u128 = 11;
const ADDRESS: u8 = 7;

/// What is known besides the order, with the policy's answer to typed e-mails.
#[derive(Default)]
struct Known {
    accounts: Vec<AccountFact>,
    checkouts: Vec<Checkout>,
    links: Vec<Link>,
    typed_email_allowed: bool,
}

fn found(number: u128, key: BuyerKey) -> BuyerFinding {
    BuyerFinding::Found(Buyer {
        account: account(number),
        key,
    })
}

/// The order is placed on day 10.
fn check(keys: BuyerKeys, known: &Known, expected: BuyerFinding) {
    let policy = AttributionPolicy {
        typed_email_allowed: known.typed_email_allowed,
        ..AttributionPolicy::default()
    };
    let order = order(day(10), keys);
    let links = Links::from_iter(known.links.iter().copied());
    let (mut accounts, mut checkouts) = (known.accounts.clone(), known.checkouts.clone());
    let forwards = find_buyer(&order, &accounts, &checkouts, &links, &policy);
    assert_eq!(forwards, expected);
    accounts.reverse();
    accounts.extend_from_within(..);
    checkouts.reverse();
    let backwards = find_buyer(&order, &accounts, &checkouts, &links, &policy);
    assert_eq!(backwards, expected, "reversed, twice");
}

fn by_account(number: u128) -> BuyerKeys {
    BuyerKeys {
        account: Some(account(number)),
        ..BuyerKeys::default()
    }
}

fn by_customer(text: &str) -> BuyerKeys {
    BuyerKeys {
        customer: Some(customer(text)),
        ..BuyerKeys::default()
    }
}

fn by_email() -> BuyerKeys {
    BuyerKeys {
        email: Some(digest(ADDRESS)),
        ..BuyerKeys::default()
    }
}

fn by_cart() -> BuyerKeys {
    BuyerKeys {
        cart: Some(CartId::parse("cart").unwrap()),
        ..BuyerKeys::default()
    }
}

fn checkout(number: u128, checkout_time: DateTime<Utc>) -> Checkout {
    Checkout {
        checkout_time,
        cart: CartId::parse("cart").unwrap(),
        account: account(number),
    }
}

fn with_email(fact: AccountFact, provenance: Provenance) -> AccountFact {
    AccountFact {
        emails: vec![email(ADDRESS, provenance, day(1), None)],
        ..fact
    }
}

fn erased(fact: AccountFact, erase_time: DateTime<Utc>) -> AccountFact {
    AccountFact {
        erase_time: Some(erase_time),
        ..fact
    }
}

#[test]
fn the_first_key_that_resolves_wins() {
    let known = Known {
        accounts: vec![
            temporary_fact(account(PHONE)),
            client_fact(account(BOB), "bob"),
            with_email(client_fact(account(ANN), "ann"), Provenance::Attested),
        ],
        checkouts: vec![checkout(PHONE, day(9))],
        ..Known::default()
    };
    let all = BuyerKeys {
        account: Some(account(ANN)),
        customer: Some(customer("bob")),
        cart: by_cart().cart,
        email: by_email().email,
    };
    let without_account = BuyerKeys {
        account: Some(account(99)), // nobody that is known
        ..all.clone()
    };
    let without_customer = BuyerKeys {
        customer: Some(customer("nobody")),
        ..without_account.clone()
    };
    let email_only = BuyerKeys {
        cart: None,
        ..without_customer.clone()
    };
    check(all, &known, found(ANN, BuyerKey::Account)); // SPEC 36
    check(without_account, &known, found(BOB, BuyerKey::Customer));
    check(without_customer, &known, found(PHONE, BuyerKey::Cart));
    check(email_only, &known, found(ANN, BuyerKey::AttestedEmail));
    check(by_customer("nobody"), &known, BuyerFinding::Unknown);
    check(BuyerKeys::default(), &known, BuyerFinding::Unknown);
}

#[test]
fn a_cart_is_of_its_latest_checkout_at_or_before_the_order() {
    let mut known = Known {
        accounts: vec![temporary_fact(account(PHONE)), temporary_fact(account(ANN))],
        checkouts: vec![
            checkout(PHONE, day(8)),
            checkout(ANN, day(10) + microseconds(1)),
        ],
        ..Known::default()
    };
    check(by_cart(), &known, found(PHONE, BuyerKey::Cart)); // SPEC 36
    known.checkouts.push(checkout(ANN, day(10)));
    check(by_cart(), &known, found(ANN, BuyerKey::Cart));
    known.checkouts.clear();
    check(by_cart(), &known, BuyerFinding::Unknown); // SPEC 45: it may still come
}

#[test]
fn a_typed_email_counts_only_where_the_policy_allows_it() {
    let mut known = Known {
        accounts: vec![with_email(
            temporary_fact(account(PHONE)),
            Provenance::Typed,
        )],
        ..Known::default()
    };
    check(by_email(), &known, BuyerFinding::Unknown); // SPEC 36
    known.typed_email_allowed = true;
    check(by_email(), &known, found(PHONE, BuyerKey::TypedEmail));
    let attested = with_email(client_fact(account(ANN), "ann"), Provenance::Attested);
    known.accounts.push(attested);
    check(by_email(), &known, found(ANN, BuyerKey::AttestedEmail));
}

#[test]
fn several_persons_behind_an_email_are_ambiguous_and_several_accounts_of_one_are_not() {
    let mut known = Known {
        accounts: vec![
            with_email(temporary_fact(account(PHONE)), Provenance::Typed),
            with_email(client_fact(account(ANN), "ann"), Provenance::Typed),
        ],
        typed_email_allowed: true,
        ..Known::default()
    };
    check(by_email(), &known, BuyerFinding::Ambiguous); // SPEC 36
    known.links = vec![link(1, account(PHONE), account(ANN), day(11))];
    check(by_email(), &known, BuyerFinding::Ambiguous); // SPEC 42: not yet one person
    known.links = vec![link(1, account(PHONE), account(ANN), day(9))];
    check(by_email(), &known, found(ANN, BuyerKey::TypedEmail));
}

#[test]
fn an_email_counts_while_the_account_has_it() {
    let during = |from_time, until_time| Known {
        accounts: vec![AccountFact {
            emails: vec![email(ADDRESS, Provenance::Attested, from_time, until_time)],
            ..client_fact(account(ANN), "ann")
        }],
        ..Known::default()
    };
    let ann = found(ANN, BuyerKey::AttestedEmail);
    let (order_time, tick) = (day(10), microseconds(1));
    check(by_email(), &during(order_time, None), ann); // SPEC 42
    let in_tolerance = order_time + TimeDelta::minutes(2);
    check(by_email(), &during(in_tolerance, None), ann);
    check(
        by_email(),
        &during(in_tolerance + tick, None),
        BuyerFinding::Unknown,
    );
    check(by_email(), &during(day(1), Some(order_time + tick)), ann);
    check(
        by_email(),
        &during(day(1), Some(order_time)),
        BuyerFinding::Unknown,
    );
}

#[test]
fn an_erased_buyer_is_said_to_be_erased_by_every_key() {
    let client = with_email(client_fact(account(ANN), "ann"), Provenance::Attested);
    for erase_time in [day(5), day(10) - microseconds(1)] {
        let known = Known {
            accounts: vec![erased(client.clone(), erase_time)],
            checkouts: vec![checkout(ANN, day(4))],
            ..Known::default()
        };
        for keys in [by_account(ANN), by_customer("ann"), by_cart(), by_email()] {
            check(keys, &known, BuyerFinding::Erased); // SPEC 55
        }
    }
}

#[test]
fn an_email_that_only_the_erasure_ended_is_still_an_erased_key() {
    let mut fact = erased(client_fact(account(ANN), "ann"), day(5));
    let attested = Provenance::Attested;
    fact.emails = vec![email(ADDRESS, attested, day(1), Some(day(5)))];
    let mut known = Known {
        accounts: vec![fact],
        ..Known::default()
    };
    check(by_email(), &known, BuyerFinding::Erased); // SPEC 55
    known.accounts[0].emails = vec![email(ADDRESS, attested, day(1), Some(day(4)))];
    check(by_email(), &known, BuyerFinding::Unknown); // he had given it up before
}

#[test]
fn an_erased_key_does_not_send_to_a_weaker_one() {
    let known = Known {
        accounts: vec![
            erased(client_fact(account(ANN), "ann"), day(5)),
            with_email(client_fact(account(BOB), "bob"), Provenance::Attested),
        ],
        ..Known::default()
    };
    let keys = BuyerKeys {
        customer: Some(customer("ann")),
        ..by_email()
    };
    check(keys, &known, BuyerFinding::Erased); // SPEC 55
}

#[test]
fn a_new_account_of_an_erased_customer_has_the_orders_after_the_erasure() {
    let with_erasure = |erase_time| Known {
        accounts: vec![
            erased(client_fact(account(ANN), "ann"), erase_time),
            client_fact(account(BOB), "ann"),
        ],
        ..Known::default()
    };
    let before_the_order = with_erasure(day(10) - microseconds(1));
    let later = found(BOB, BuyerKey::Customer);
    check(by_customer("ann"), &before_the_order, later); // SPEC 55
}

#[test]
fn an_account_keeps_its_keys_for_orders_up_to_its_erasure() {
    let client = with_email(client_fact(account(ANN), "ann"), Provenance::Attested);
    for erase_time in [day(10), day(15)] {
        let known = Known {
            accounts: vec![erased(client.clone(), erase_time)],
            ..Known::default()
        };
        check(by_customer("ann"), &known, found(ANN, BuyerKey::Customer)); // SPEC 55
        check(by_email(), &known, found(ANN, BuyerKey::AttestedEmail));
    }
}

#[test]
fn the_customer_and_an_attested_email_name_the_client() {
    let naming: Vec<_> = BuyerKey::ALL
        .iter()
        .filter(|key| key.names_client())
        .collect();
    assert_eq!(naming, [&BuyerKey::Customer, &BuyerKey::AttestedEmail]); // SPEC 42
}
