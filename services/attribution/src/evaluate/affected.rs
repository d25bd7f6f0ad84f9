//! From what a fact has touched to the orders that it can change.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::id::{AccountId, BrandId, CustomerId, OrderId};
use kit::{
    db::{Connection, StoreError},
    directory::{accounts, links},
};

use crate::store::{
    awaited_sign_ins, checkouts,
    dirty_marks::{Mark, Subject},
    first_instant,
    orders::{self, Keys},
};

/// Returns the orders behind a mark; none behind one on the policy, which is paged through.
pub(crate) async fn orders(
    connection: &mut Connection,
    mark: &Mark,
) -> Result<BTreeSet<OrderId>, StoreError> {
    let brand_id = &mark.brand_id;
    let from_time = mark.from_time.unwrap_or_else(first_instant);
    match &mark.subject {
        Subject::Policy => Ok(BTreeSet::new()),
        Subject::Order(order_id) => Ok(BTreeSet::from([order_id.clone()])),
        Subject::Cart(cart_id) => {
            let keys = Keys {
                carts: vec![cart_id.clone()],
                ..Keys::default()
            };
            let found = orders::list_by_keys(connection, brand_id, &keys, from_time).await?;
            Ok(found.into_iter().collect())
        }
        Subject::Account(account_id) => {
            of_persons(connection, brand_id, &[*account_id], None, from_time).await
        }
        Subject::Customer(customer_id) => {
            let known = accounts::list_by_customer(connection, brand_id, customer_id).await?;
            let accounts: Vec<AccountId> = known.iter().map(|account| account.id).collect();
            of_persons(
                connection,
                brand_id,
                &accounts,
                Some(customer_id),
                from_time,
            )
            .await
        }
    }
}

/// Returns the orders under any key of whoever is, was or could be one person with `accounts`.
///
/// That is more than a fact can change where links were revoked; it is never less.
async fn of_persons(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
    customer_id: Option<&CustomerId>,
    from_time: DateTime<Utc>,
) -> Result<BTreeSet<OrderId>, StoreError> {
    let links = links::connected(connection, brand_id, accounts).await?;
    let accounts: BTreeSet<AccountId> = links
        .iter()
        .flat_map(|link| [link.client, link.temporary])
        .chain(accounts.iter().copied())
        .collect();
    let accounts: Vec<AccountId> = accounts.into_iter().collect();
    let known = accounts::list(connection, brand_id, &accounts).await?;
    let emails = accounts::list_emails(connection, brand_id, &accounts).await?;
    let customers: BTreeSet<CustomerId> = known
        .into_iter()
        .filter_map(|account| account.customer_id)
        .chain(customer_id.cloned())
        .collect();
    let emails: BTreeSet<_> = emails.into_iter().map(|email| email.digest).collect();
    let keys = Keys {
        customers: customers.into_iter().collect(),
        carts: checkouts::list_carts(connection, brand_id, &accounts).await?,
        emails: emails.into_iter().collect(),
        accounts,
    };
    let named = orders::list_by_keys(connection, brand_id, &keys, from_time).await?;
    let waiting = awaited_sign_ins::list_by_accounts(connection, brand_id, &keys.accounts).await?;
    Ok(named.into_iter().chain(waiting).collect())
}
