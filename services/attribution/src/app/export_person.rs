//! Telling all that attribution holds of a person (SPEC 56).

use std::collections::BTreeSet;

use domain::{
    attribution::attribute,
    id::{AccountId, BrandId, OrderId},
    order::Checkout,
};
use kit::{
    directory::{self, accounts},
    parts::Parts,
};

use super::{
    App,
    attributions::{self, AttributionView},
    erasures,
    orders::{OrderView, find_order},
};
use crate::{
    error::Error,
    evaluate::facts,
    store::{
        account_erasures::AppliedErasure,
        checkouts,
        orders::{self, Keys, buyers},
    },
};

/// How much is read at once.
const PAGE_SIZE: i64 = 100;

/// One thing that attribution holds of a person.
#[derive(Debug)]
pub(crate) enum Exported {
    /// A checkout of one of the accounts.
    Checkout(Checkout),
    /// An order of the person.
    Order(OrderView),
    /// The attribution of the order before.
    Attribution(AttributionView),
    /// That the person's erasure has been applied. Instead of all else.
    Erased(AppliedErasure),
}

/// Tells the checkouts of `accounts`, then the orders whose buyer is one of them, each followed by
/// its attribution, each thing once; of an erased person, that its erasure has been applied.
///
/// An order that names the person by a weaker key is another's where a stronger key says so, and
/// nobody's where it could be that of several (SPEC 36): it is decided here as it is for the credit.
/// Reads page by page and holds nothing between two pages; what a page is ordered by never changes.
/// Before, identity is asked once for the person, so that no order is missed for an event that is
/// still under way.
///
/// # Errors
///
/// [`CallError::IdentityUnavailable`](kit::error::CallError); what the database fails with.
pub(crate) async fn export_person(
    app: &App,
    brand_id: &BrandId,
    accounts: &BTreeSet<AccountId>,
    parts: &Parts<Exported>,
) -> Result<(), Error> {
    if let Some(applied) = erasures::find_applied(app, brand_id, accounts).await? {
        parts.send(Exported::Erased(applied)).await;
        return Ok(());
    }
    if let Some(account_id) = accounts.first() {
        directory::refresh(&app.db, &app.identity, brand_id, *account_id).await?;
    }
    for account_id in accounts {
        export_checkouts(app, brand_id, *account_id, parts).await?;
    }
    let keys = keys(app, brand_id, accounts).await?;
    let mut told = None;
    loop {
        let page = {
            let mut connection = app.db.read().await?;
            buyers::list(&mut connection, brand_id, &keys, told.as_ref(), PAGE_SIZE).await?
        };
        let Some(last) = page.last() else {
            return Ok(());
        };
        told = Some(last.clone());
        for (_, order_id) in page {
            if is_of(app, brand_id, &order_id, accounts).await? {
                export_order(app, brand_id, &order_id, parts).await?;
            }
        }
    }
}

async fn export_checkouts(
    app: &App,
    brand_id: &BrandId,
    account_id: AccountId,
    parts: &Parts<Exported>,
) -> Result<(), Error> {
    let mut told = None;
    loop {
        let page = {
            let mut connection = app.db.read().await?;
            let after = told.as_ref();
            checkouts::list_of_account(&mut connection, brand_id, account_id, after, PAGE_SIZE)
                .await?
        };
        let Some(last) = page.last() else {
            return Ok(());
        };
        told = Some((last.checkout_time, last.cart.clone()));
        for checkout in page {
            parts.send(Exported::Checkout(checkout)).await;
        }
    }
}

/// Returns all by which an order may name the person.
async fn keys(
    app: &App,
    brand_id: &BrandId,
    accounts: &BTreeSet<AccountId>,
) -> Result<Keys, Error> {
    let accounts: Vec<AccountId> = accounts.iter().copied().collect();
    let mut connection = app.db.read().await?;
    let known = accounts::list(&mut connection, brand_id, &accounts).await?;
    let emails = accounts::list_emails(&mut connection, brand_id, &accounts).await?;
    let emails: BTreeSet<_> = emails.into_iter().map(|email| email.digest).collect();
    let carts = checkouts::list_carts(&mut connection, brand_id, &accounts).await?;
    let carts: BTreeSet<_> = carts.into_iter().map(|(_, cart)| cart).collect();
    Ok(Keys {
        customers: known
            .into_iter()
            .filter_map(|account| account.customer_id)
            .collect(),
        carts: carts.into_iter().collect(),
        emails: emails.into_iter().collect(),
        accounts,
    })
}

/// Tells whether the buyer of an order is one of `accounts`.
async fn is_of(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
    accounts: &BTreeSet<AccountId>,
) -> Result<bool, Error> {
    let mut connection = app.db.read().await?;
    let Some(recorded) = orders::find(&mut connection, brand_id, order_id).await? else {
        return Ok(false);
    };
    let facts = facts::load_one(&mut connection, brand_id, &recorded).await?;
    let buyer = attribute(&facts).buyer;
    Ok(buyer.is_some_and(|buyer| accounts.contains(&buyer.account)))
}

async fn export_order(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
    parts: &Parts<Exported>,
) -> Result<(), Error> {
    let order = find_order(app, brand_id, order_id).await?;
    let attribution = {
        let mut connection = app.db.read().await?;
        attributions::find(&mut connection, brand_id, order_id).await?
    };
    // An order is never deleted, so both are there.
    if let (Some(order), Some(attribution)) = (order, attribution) {
        parts.send(Exported::Order(order)).await;
        parts.send(Exported::Attribution(attribution)).await;
    }
    Ok(())
}
