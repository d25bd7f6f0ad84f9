//! From the records of a CSV file to orders.

use std::collections::BTreeMap;

use anyhow::bail;
use chrono_tz::Tz;
use csv::StringRecord;
use domain::money::Currency;
use kit::convert::timestamp;
use prost_types::Timestamp;
use rapport_proto::attribution::v1::{
    Buyer, ImportOrdersRequest, Money, OrderReport, OrderStatus, Refund,
};

use super::values;

/// The columns that there are.
const NAMES: [&str; 14] = [
    "order_id",
    "order_time",
    "account_id",
    "customer_id",
    "cart_id",
    "email",
    "currency",
    "total",
    "shipping",
    "status",
    "status_time",
    "refund_id",
    "refund_amount",
    "refund_time",
];
/// Those that a file must have.
const REQUIRED: [&str; 3] = ["order_id", "currency", "total"];

/// Where the columns of a file are, and in which time zone its times are.
pub(super) struct Columns {
    places: BTreeMap<String, usize>,
    zone: Option<Tz>,
}

impl Columns {
    /// Returns the columns of a file by its first line.
    ///
    /// # Errors
    ///
    /// When one is unknown, there twice, or missing: nothing of such a file can be trusted.
    pub(super) fn of(header: &StringRecord, zone: Option<Tz>) -> anyhow::Result<Self> {
        let mut places = BTreeMap::new();
        for (place, name) in header.iter().enumerate() {
            if !NAMES.contains(&name) {
                bail!("there is no column {name:?}: see rapport import-orders --help");
            }
            if places.insert(name.to_owned(), place).is_some() {
                bail!("the column {name} is there twice");
            }
        }
        for name in REQUIRED {
            if !places.contains_key(name) {
                bail!("the column {name} is missing");
            }
        }
        Ok(Self { places, zone })
    }

    /// Returns the order on a line.
    ///
    /// # Errors
    ///
    /// The column at fault and what is wrong with it, without its value: it may be personal.
    pub(super) fn order(
        &self,
        line_number: i64,
        record: &StringRecord,
    ) -> Result<ImportOrdersRequest, String> {
        let currency = self.cell(record, "currency");
        let currency = Currency::parse(currency).map_err(|error| format!("currency {error}"))?;
        let total = self.money(record, "total", currency)?;
        let buyer = Buyer {
            account_id: self.text(record, "account_id"),
            customer_id: self.text(record, "customer_id"),
            cart_id: self.text(record, "cart_id"),
            email: self.text(record, "email"),
            email_given: false,
        };
        if buyer == Buyer::default() {
            return Err("account_id, customer_id, cart_id and email are all empty".to_owned());
        }
        if total.is_none() {
            return Err("total is empty".to_owned());
        }
        Ok(ImportOrdersRequest {
            line_number,
            order: Some(OrderReport {
                order_id: self.text(record, "order_id"),
                order_time: self.time(record, "order_time")?,
                buyer: Some(buyer),
                total,
                shipping: self.money(record, "shipping", currency)?,
                status: None,
            }),
            statuses: self.status(record)?.into_iter().collect(),
            refunds: self.refund(record, currency)?.into_iter().collect(),
        })
    }

    fn status(&self, record: &StringRecord) -> Result<Option<OrderStatus>, String> {
        let (label, status_time) = (
            self.text(record, "status"),
            self.time(record, "status_time")?,
        );
        match (label.is_empty(), status_time) {
            (true, Some(_)) => Err("status is empty and status_time is not".to_owned()),
            (true, None) => Ok(None),
            (false, status_time) => Ok(Some(OrderStatus { label, status_time })),
        }
    }

    fn refund(&self, record: &StringRecord, currency: Currency) -> Result<Option<Refund>, String> {
        let refund = Refund {
            refund_id: self.text(record, "refund_id"),
            amount: self.money(record, "refund_amount", currency)?,
            refund_time: self.time(record, "refund_time")?,
        };
        match (refund.refund_id.is_empty(), refund.amount.is_none()) {
            (false, false) => Ok(Some(refund)),
            (true, true) if refund.refund_time.is_none() => Ok(None),
            (true, _) => Err("refund_id is empty and the refund is not".to_owned()),
            (false, true) => Err("refund_amount is empty".to_owned()),
        }
    }

    fn cell<'a>(&self, record: &'a StringRecord, name: &str) -> &'a str {
        let place = self.places.get(name);
        place.and_then(|place| record.get(*place)).unwrap_or("")
    }

    fn text(&self, record: &StringRecord, name: &str) -> String {
        self.cell(record, name).to_owned()
    }

    fn money(
        &self,
        record: &StringRecord,
        name: &str,
        currency: Currency,
    ) -> Result<Option<Money>, String> {
        let text = self.cell(record, name);
        if text.is_empty() {
            return Ok(None);
        }
        let minor_units =
            values::amount(text, currency).map_err(|problem| format!("{name} {problem}"))?;
        Ok(Some(Money {
            currency_code: currency.to_string(),
            minor_units,
        }))
    }

    fn time(&self, record: &StringRecord, name: &str) -> Result<Option<Timestamp>, String> {
        let text = self.cell(record, name);
        if text.is_empty() {
            return Ok(None);
        }
        let instant =
            values::instant(text, self.zone).map_err(|problem| format!("{name} {problem}"))?;
        Ok(Some(timestamp(instant)))
    }
}
