//! Between the wire and the words of `domain`: what comes in is checked field by field, what goes
//! out is spelt as the contract has it.

pub(crate) mod attribution;
pub(crate) mod ledger;
pub(crate) mod policy;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    email::{Email, EmailDigest},
    id::{BrandId, OrderId},
    ledger::net_amount,
    money::{Currency, Money, MoneyError},
    order::{BuyerKeys, Checkout, OrderStatus, PaymentState, RecordedRefund, StatusLabel},
};
use kit::{
    convert::{field, optional_instant, timestamp},
    db::StoreError,
    error::CallError,
    secret::EmailDigestKey,
};
use prost::Message;
use rapport_proto::attribution::v1 as wire;
use sha2::{Digest, Sha256};

use crate::{
    app::{
        import_orders::ImportedOrder,
        orders::OrderView,
        record_checkout::CheckoutReport,
        record_order::{OrderReport, StatusReport},
        record_refund::RefundReport,
    },
    error::Error,
};

/// Returns the span of a duration, truncated to microseconds; `None` where it is out of range.
pub(crate) fn span(duration: &prost_types::Duration) -> Option<TimeDelta> {
    TimeDelta::try_seconds(duration.seconds)?
        .checked_add(&TimeDelta::microseconds(i64::from(duration.nanos / 1_000)))
}

/// Returns the wire form of a span.
pub(crate) fn duration(span: TimeDelta) -> prost_types::Duration {
    prost_types::Duration {
        seconds: span.num_seconds(),
        nanos: span.subsec_nanos(),
    }
}

/// Returns the wire form of an amount.
pub(crate) fn money(amount: Money) -> wire::Money {
    wire::Money {
        currency_code: amount.currency().to_string(),
        minor_units: amount.minor_units(),
    }
}

/// Returns what was kept of a call for its repetition.
pub(crate) fn kept<T: Message + Default>(bytes: &[u8]) -> Result<T, Error> {
    let decoded = T::decode(bytes).map_err(|_| StoreError::Corrupt {
        what: "request.response",
    })?;
    Ok(decoded)
}

/// The names of a money field and its two parts.
struct MoneyField(&'static str, &'static str, &'static str);

fn amount(names: &MoneyField, amount: Option<&wire::Money>) -> Result<Money, CallError> {
    let MoneyField(whole, currency_code, minor_units) = names;
    let amount = amount.ok_or_else(|| CallError::field(whole, "is required"))?;
    let currency = field(currency_code, Currency::parse(&amount.currency_code))?;
    field(minor_units, Money::amount(amount.minor_units, currency))
}

/// Returns the value of a text field that may be empty.
fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &'static str,
    text: &str,
) -> Result<Option<T>, CallError> {
    if text.is_empty() {
        return Ok(None);
    }
    field(name, text.parse()).map(Some)
}

/// Returns an order's id.
pub(crate) fn order_id(text: &str) -> Result<OrderId, CallError> {
    field("order_id", text.parse())
}

/// Returns what the Brand reports of an order. Its e-mail ends here: from now on it is a digest.
///
/// # Errors
///
/// [`CallError::FieldInvalid`], also for a negative amount, and for unknown or mixed currencies.
pub(crate) fn order_report(
    digest_key: &EmailDigestKey,
    brand_id: &BrandId,
    report: Option<&wire::OrderReport>,
) -> Result<OrderReport, CallError> {
    const TOTAL: MoneyField = MoneyField(
        "order.total",
        "order.total.currency_code",
        "order.total.minor_units",
    );
    let report = report.ok_or_else(|| CallError::field("order", "is required"))?;
    let total = amount(&TOTAL, report.total.as_ref())?;
    let mut parsed = OrderReport {
        id: field("order.order_id", report.order_id.parse())?,
        given_time: optional_instant("order.order_time", report.order_time.as_ref())?,
        keys: buyer_keys(digest_key, brand_id, report.buyer.as_ref())?,
        total,
        shipping: shipping(total, report.shipping.as_ref())?,
        status: report
            .status
            .as_ref()
            .map(|status| status_report("order.status.label", "order.status.status_time", status))
            .transpose()?,
        digest: [0; 32],
    };
    // Of the parsed report, so that two spellings of one report are the same report.
    parsed.digest = report_digest(&parsed);
    Ok(parsed)
}

/// Returns what tells a report from another; its own field for it is not looked at.
pub(crate) fn report_digest(report: &OrderReport) -> [u8; 32] {
    Sha256::digest(without_email(report).encode_to_vec()).into()
}

fn shipping(total: Money, given: Option<&wire::Money>) -> Result<Money, CallError> {
    const SHIPPING: MoneyField = MoneyField(
        "order.shipping",
        "order.shipping.currency_code",
        "order.shipping.minor_units",
    );
    if given.is_none() {
        return Ok(Money::zero(total.currency()));
    }
    let shipping = amount(&SHIPPING, given)?;
    if shipping.currency() != total.currency() {
        let problem = MoneyError::MixedCurrencies {
            expected: total.currency(),
            found: shipping.currency(),
        };
        return Err(CallError::field(SHIPPING.1, problem));
    }
    if shipping > total {
        return Err(CallError::field(SHIPPING.2, "must be at most the total"));
    }
    Ok(shipping)
}

fn buyer_keys(
    digest_key: &EmailDigestKey,
    brand_id: &BrandId,
    buyer: Option<&wire::Buyer>,
) -> Result<BuyerKeys, CallError> {
    let buyer = buyer.ok_or_else(|| CallError::field("order.buyer", "is required"))?;
    let email = match buyer.email.as_str() {
        "" => None,
        text => Some(field("order.buyer.email", Email::parse(text))?),
    };
    let keys = BuyerKeys {
        account: optional("order.buyer.account_id", &buyer.account_id)?,
        customer: optional("order.buyer.customer_id", &buyer.customer_id)?,
        cart: optional("order.buyer.cart_id", &buyer.cart_id)?,
        email: email.map(|email| EmailDigest::new(digest_key.digest(brand_id, &email))),
    };
    if keys == BuyerKeys::default() {
        return Err(CallError::field(
            "order.buyer",
            "must have at least one key",
        ));
    }
    Ok(keys)
}

/// Returns a report as it may be digested and kept: in one spelling, with the e-mail's digest in the
/// place of the e-mail.
pub(crate) fn without_email(report: &OrderReport) -> wire::OrderReport {
    let keys = &report.keys;
    let email_digest = keys.email.map_or_else(String::new, |digest| {
        let bytes = digest.as_bytes().iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    });
    wire::OrderReport {
        order_id: report.id.to_string(),
        order_time: report.given_time.map(timestamp),
        buyer: Some(wire::Buyer {
            email: email_digest,
            ..buyer(keys)
        }),
        total: Some(money(report.total)),
        shipping: Some(money(report.shipping)),
        status: report.status.as_ref().map(|status| wire::OrderStatus {
            label: status.label.as_str().to_owned(),
            status_time: status.given_time.map(timestamp),
        }),
    }
}

fn buyer(keys: &BuyerKeys) -> wire::Buyer {
    let text = |id: Option<String>| id.unwrap_or_default();
    wire::Buyer {
        account_id: text(keys.account.map(|id| id.to_string())),
        customer_id: text(keys.customer.as_ref().map(ToString::to_string)),
        cart_id: text(keys.cart.as_ref().map(ToString::to_string)),
        email: String::new(),
        email_given: keys.email.is_some(),
    }
}

/// Returns what the Brand reports of an order's status.
pub(crate) fn status_report(
    label: &'static str,
    status_time: &'static str,
    status: &wire::OrderStatus,
) -> Result<StatusReport, CallError> {
    Ok(StatusReport {
        label: field(label, StatusLabel::parse(&status.label))?,
        given_time: optional_instant(status_time, status.status_time.as_ref())?,
    })
}

/// The names of a refund's fields.
pub(crate) struct RefundField {
    whole: &'static str,
    id: &'static str,
    amount: MoneyField,
    time: &'static str,
}

impl RefundField {
    /// The refund of a call that reports one.
    pub(crate) const ONE: Self = Self {
        whole: "refund",
        id: "refund.refund_id",
        amount: MoneyField(
            "refund.amount",
            "refund.amount.currency_code",
            "refund.amount.minor_units",
        ),
        time: "refund.refund_time",
    };
    /// One of those of an order that is imported.
    pub(crate) const IMPORTED: Self = Self {
        whole: "refunds",
        id: "refunds.refund_id",
        amount: MoneyField(
            "refunds.amount",
            "refunds.amount.currency_code",
            "refunds.amount.minor_units",
        ),
        time: "refunds.refund_time",
    };

    /// Returns the refusal of a refund in another currency than its order's.
    pub(crate) fn other_currency(&self, expected: Currency, found: Currency) -> CallError {
        let problem = MoneyError::MixedCurrencies { expected, found };
        CallError::field(self.amount.1, problem)
    }
}

/// Returns what the Brand reports of a refund.
pub(crate) fn refund_report(
    names: &RefundField,
    refund: Option<&wire::Refund>,
) -> Result<RefundReport, CallError> {
    let refund = refund.ok_or_else(|| CallError::field(names.whole, "is required"))?;
    Ok(RefundReport {
        refund: domain::order::Refund {
            id: field(names.id, refund.refund_id.parse())?,
            amount: amount(&names.amount, refund.amount.as_ref())?,
        },
        given_time: optional_instant(names.time, refund.refund_time.as_ref())?,
    })
}

/// Returns an order of an import, with what it says became of it.
///
/// # Errors
///
/// [`CallError::FieldInvalid`].
pub(crate) fn imported_order(
    digest_key: &EmailDigestKey,
    brand_id: &BrandId,
    request: &wire::ImportOrdersRequest,
) -> Result<ImportedOrder, CallError> {
    const MOST: usize = 100;
    if request.statuses.len() > MOST {
        return Err(CallError::field("statuses", "are more than 100"));
    }
    if request.refunds.len() > MOST {
        return Err(CallError::field("refunds", "are more than 100"));
    }
    let status = |status| status_report("statuses.label", "statuses.status_time", status);
    let refund = |refund| refund_report(&RefundField::IMPORTED, Some(refund));
    let order = order_report(digest_key, brand_id, request.order.as_ref())?;
    let statuses: Result<Vec<_>, _> = request.statuses.iter().map(status).collect();
    let refunds: Result<Vec<_>, _> = request.refunds.iter().map(refund).collect();
    Ok(ImportedOrder {
        statuses: statuses?,
        refunds: refunds?,
        ..order.into()
    })
}

/// Returns the wire form of a refusal that is one answer of many.
pub(crate) fn order_refusal(error: &Error) -> wire::OrderRefusal {
    let refusal = error.refusal();
    let reason = format!("ERROR_REASON_{}", refusal.reason());
    wire::OrderRefusal {
        reason: wire::ErrorReason::from_str_name(&reason)
            .unwrap_or(wire::ErrorReason::Internal)
            .into(),
        message: refusal.message().to_owned(),
        field: refusal.field().unwrap_or_default().to_owned(),
    }
}

/// Returns what the Brand reports of a checkout.
pub(crate) fn checkout_report(
    checkout: Option<&wire::Checkout>,
) -> Result<CheckoutReport, CallError> {
    let checkout = checkout.ok_or_else(|| CallError::field("checkout", "is required"))?;
    Ok(CheckoutReport {
        cart: field("checkout.cart_id", checkout.cart_id.parse())?,
        account: field("checkout.account_id", checkout.account_id.parse())?,
        given_time: optional_instant("checkout.checkout_time", checkout.checkout_time.as_ref())?,
    })
}

/// Returns the wire form of a status.
pub(crate) fn order_status(status: &OrderStatus) -> wire::OrderStatus {
    wire::OrderStatus {
        label: status.label.as_str().to_owned(),
        status_time: Some(timestamp(status.status_time)),
    }
}

/// Returns the wire form of a refund.
pub(crate) fn refund(recorded: &RecordedRefund) -> wire::Refund {
    wire::Refund {
        refund_id: recorded.refund.id.to_string(),
        amount: Some(money(recorded.refund.amount)),
        refund_time: Some(timestamp(recorded.refund_time)),
    }
}

/// Returns the wire form of a checkout.
pub(crate) fn checkout(checkout: &Checkout) -> wire::Checkout {
    wire::Checkout {
        cart_id: checkout.cart.to_string(),
        account_id: checkout.account.to_string(),
        checkout_time: Some(timestamp(checkout.checkout_time)),
    }
}

/// Returns the wire form of an order with what was recorded for it.
pub(crate) fn order(view: &OrderView) -> wire::Order {
    let order = &view.order;
    let refunds: Vec<domain::order::Refund> =
        view.refunds.iter().map(|one| one.refund.clone()).collect();
    let confirm_time: Option<DateTime<Utc>> = view
        .statuses
        .iter()
        .filter(|status| status.label.as_str() == StatusLabel::OK)
        .map(|status| status.status_time)
        .min();
    wire::Order {
        order_id: order.id.to_string(),
        order_time: Some(timestamp(order.order_time)),
        receive_time: Some(timestamp(order.receive_time)),
        buyer: Some(buyer(&order.keys)),
        total: Some(money(order.total)),
        shipping: Some(money(order.shipping)),
        net: Some(money(net_amount(order.to_domain().total, &refunds))),
        statuses: view.statuses.iter().map(order_status).collect(),
        refunds: view.refunds.iter().map(refund).collect(),
        confirm_time: confirm_time.map(timestamp),
        cancelled: PaymentState::of(&view.statuses) == PaymentState::Cancelled,
    }
}
