//! What the Brand's checkout reports: orders, checkouts, statuses, refunds.
//!
//! All of them are facts that are kept for good, in whatever order they come (SPEC 35, 45). From the
//! statuses follows whether an order earns anything:
//!
//! | statuses                                             | [`PaymentState`] | credit |
//! |------------------------------------------------------|------------------|--------|
//! | never exactly `OK`                                   | `UNCONFIRMED`    | none   |
//! | once `OK`, and the latest is not one of the two below | `CONFIRMED`     | yes    |
//! | the latest is `CANCELLED` or `RETURNED`              | `CANCELLED`      | none   |
//!
//! The latest is the greatest by time, then by label; so the same statuses in another order, or
//! twice, mean the same. A status after a cancellation makes it the latest no more: an order that was
//! cancelled by mistake earns again.
//!
//! Source: SPEC 35, 36, 43, 45, 46.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    email::EmailDigest,
    id::{AccountId, CartId, CustomerId, OrderId, RefundId},
    instant,
    label::labels,
    money::Money,
};

/// An order, as it was first recorded; it never changes (SPEC 35).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id at the Brand.
    pub id: OrderId,
    /// When it was placed; the time of its receipt where the Brand gives none (SPEC 38).
    pub order_time: DateTime<Utc>,
    /// What says whose it is.
    pub keys: BuyerKeys,
    /// The total without shipping; not negative.
    pub total: Money,
}

/// What an order says of its buyer. Any of it may be absent (SPEC 36).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuyerKeys {
    /// The visitor's account.
    pub account: Option<AccountId>,
    /// His id at the Brand.
    pub customer: Option<CustomerId>,
    /// The cart of a checkout that was recorded.
    pub cart: Option<CartId>,
    /// The digest of his e-mail.
    pub email: Option<EmailDigest>,
}

/// A checkout that the widget recorded: who had a cart, and when (SPEC 36).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkout {
    /// When.
    pub checkout_time: DateTime<Utc>,
    /// The cart.
    pub cart: CartId,
    /// The visitor's account.
    pub account: AccountId,
}

/// A status of an order. The derived order, by time, then by label, says which is the latest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderStatus {
    /// When the order came to it.
    pub status_time: DateTime<Utc>,
    /// The Brand's word for it.
    pub label: StatusLabel,
}

/// The Brand's word for a status: any, 1 to 200 characters without control characters, kept
/// verbatim. Three mean something to us.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusLabel(String);

/// A text is no status label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 200 characters without control characters")]
pub struct InvalidStatusLabel;

/// Money that the Brand gave back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refund {
    /// Its id at the Brand: the same again is the same refund.
    pub id: RefundId,
    /// How much; not negative.
    pub amount: Money,
}

/// A refund as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordedRefund {
    /// The refund.
    pub refund: Refund,
    /// When it was made.
    pub refund_time: DateTime<Utc>,
}

/// Whether an order earns anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentState {
    /// Its payment was never confirmed.
    Unconfirmed,
    /// Its payment was confirmed.
    Confirmed,
    /// It was cancelled, or the goods came back.
    Cancelled,
}

labels!(PaymentState {
    Unconfirmed => "UNCONFIRMED",
    Confirmed => "CONFIRMED",
    Cancelled => "CANCELLED",
});

impl StatusLabel {
    /// The only label that confirms payment.
    pub const OK: &str = "OK";
    /// The order was cancelled.
    pub const CANCELLED: &str = "CANCELLED";
    /// The goods came back.
    pub const RETURNED: &str = "RETURNED";

    /// Returns the label, verbatim.
    ///
    /// # Errors
    ///
    /// [`InvalidStatusLabel`].
    pub fn parse(text: &str) -> Result<Self, InvalidStatusLabel> {
        let length_fits = (1..=200).contains(&text.chars().count());
        if !length_fits || text.chars().any(char::is_control) {
            return Err(InvalidStatusLabel);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PaymentState {
    /// Returns what the statuses of an order say of its payment, in whatever order they are.
    ///
    /// Source: SPEC 43, 45.
    pub fn of(statuses: &[OrderStatus]) -> Self {
        let latest = statuses.iter().max().map(|status| status.label.as_str());
        match latest {
            Some(StatusLabel::CANCELLED | StatusLabel::RETURNED) => Self::Cancelled,
            _ if statuses
                .iter()
                .any(|status| status.label.as_str() == StatusLabel::OK) =>
            {
                Self::Confirmed
            }
            _ => Self::Unconfirmed,
        }
    }
}

/// An order's time lies too far in the future to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at most five minutes ahead")]
pub struct OrderTimeAhead;

/// Returns when an order was placed that the Brand dates `given_time` and that came at
/// `receipt_time`.
///
/// # Errors
///
/// [`OrderTimeAhead`] when it is dated more than five minutes after its receipt.
///
/// Source: SPEC 38.
pub fn decide_order_time(
    given_time: Option<DateTime<Utc>>,
    receipt_time: DateTime<Utc>,
) -> Result<DateTime<Utc>, OrderTimeAhead> {
    let order_time = given_time.unwrap_or(receipt_time);
    if order_time > instant::after(receipt_time, TimeDelta::minutes(5)) {
        return Err(OrderTimeAhead);
    }
    Ok(order_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_at_most_five_minutes_ahead() {
        let receipt = DateTime::from_timestamp(1_000, 0).unwrap();
        let bound = receipt + TimeDelta::minutes(5);
        assert_eq!(decide_order_time(None, receipt), Ok(receipt)); // SPEC 38
        assert_eq!(decide_order_time(Some(bound), receipt), Ok(bound));
        let beyond = bound + TimeDelta::microseconds(1);
        assert_eq!(
            decide_order_time(Some(beyond), receipt),
            Err(OrderTimeAhead)
        );
    }

    fn check(statuses: &[(i64, &str)], expected: PaymentState) {
        let mut statuses: Vec<OrderStatus> = statuses
            .iter()
            .map(|(second, label)| OrderStatus {
                status_time: DateTime::from_timestamp(*second, 0).unwrap(),
                label: StatusLabel::parse(label).unwrap(),
            })
            .collect();
        assert_eq!(PaymentState::of(&statuses), expected, "{statuses:?}");
        statuses.reverse();
        statuses.extend_from_within(..);
        assert_eq!(PaymentState::of(&statuses), expected, "reversed, twice");
    }

    #[test]
    fn only_exactly_ok_confirms_payment() {
        check(&[], PaymentState::Unconfirmed); // SPEC 45
        for label in ["ok", "OK ", "PAID", "OKAY"] {
            check(&[(1, label)], PaymentState::Unconfirmed);
        }
        check(&[(1, "OK")], PaymentState::Confirmed);
        check(
            &[(1, "NEW"), (2, "OK"), (3, "SHIPPED")],
            PaymentState::Confirmed,
        );
    }

    #[test]
    fn the_latest_status_cancels() {
        check(&[(1, "OK"), (2, "CANCELLED")], PaymentState::Cancelled); // SPEC 45
        check(&[(1, "OK"), (2, "RETURNED")], PaymentState::Cancelled);
        check(&[(1, "CANCELLED"), (2, "OK")], PaymentState::Confirmed);
        check(&[(1, "OK"), (2, "cancelled")], PaymentState::Confirmed);
        check(&[(2, "CANCELLED")], PaymentState::Cancelled);
    }

    #[test]
    fn of_two_at_one_instant_the_greater_label_is_the_latest() {
        check(&[(1, "CANCELLED"), (1, "OK")], PaymentState::Confirmed); // SPEC 45
        check(&[(1, "OK"), (1, "RETURNED")], PaymentState::Cancelled);
    }
}
