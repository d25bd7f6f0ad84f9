//! Recording who stood at the Brand's checkout with a cart (SPEC 36).

use chrono::{DateTime, Utc};
use domain::{
    id::{AccountId, BrandId, CartId},
    order::Checkout,
};
use kit::{
    db::Connection,
    request::{self, RequestKey},
};
use prost::Message;
use rapport_proto::attribution::v1 as wire;

use super::App;
use crate::{
    convert,
    error::Error,
    store::{
        checkouts,
        dirty_marks::{self, NewMark, Subject},
    },
};

/// A checkout as it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckoutReport {
    pub(crate) cart: CartId,
    pub(crate) account: AccountId,
    /// When, where the Brand says so.
    pub(crate) given_time: Option<DateTime<Utc>>,
}

struct Input {
    brand_id: BrandId,
    key: RequestKey,
    checkout: Checkout,
    now: DateTime<Utc>,
}

/// Records a checkout. The orders of its cart are evaluated after it; a repeated call returns what
/// the first did.
///
/// # Errors
///
/// [`Error::CheckoutReused`] where another account had the cart at that very instant;
/// [`CallError::RequestIdReused`](kit::error::CallError::RequestIdReused).
pub(crate) async fn record_checkout(
    app: &App,
    brand_id: &BrandId,
    key: RequestKey,
    report: CheckoutReport,
) -> Result<wire::Checkout, Error> {
    let now = app.clock.now();
    let input = Input {
        brand_id: brand_id.clone(),
        key,
        checkout: Checkout {
            checkout_time: report.given_time.unwrap_or(now),
            cart: report.cart,
            account: report.account,
        },
        now,
    };
    let checkout = app
        .db
        .run_tx("record_checkout", input, |connection, input| {
            Box::pin(record(connection, input))
        })
        .await?;
    app.wake.notify_one();
    Ok(checkout)
}

async fn record(connection: &mut Connection, input: &Input) -> Result<wire::Checkout, Error> {
    if let Some(kept) = request::find(connection, &input.key).await? {
        return convert::kept(&kept);
    }
    let (brand_id, checkout) = (&input.brand_id, &input.checkout);
    if checkouts::insert(connection, brand_id, checkout).await? {
        let subject = Subject::Cart(checkout.cart.clone());
        let mark = NewMark::from(subject, checkout.checkout_time);
        dirty_marks::insert(connection, brand_id, &mark).await?;
    } else {
        let time = checkout.checkout_time;
        let account = checkouts::find_account(connection, brand_id, &checkout.cart, time).await?;
        if account != Some(checkout.account) {
            return Err(Error::CheckoutReused {
                cart_id: checkout.cart.clone(),
            });
        }
    }
    let answer = convert::checkout(checkout);
    request::keep(connection, &input.key, answer.encode_to_vec(), input.now).await?;
    Ok(answer)
}
