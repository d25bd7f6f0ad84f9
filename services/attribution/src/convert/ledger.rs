//! Ledger entries on the wire.

use domain::money::Currency;
use kit::{convert::field, convert::timestamp, error::CallError};
use rapport_proto::attribution::v1 as wire;

use super::money;
use crate::store::ledger_entries::LedgerEntry;

/// Returns the currency of a list's filter.
pub(crate) fn optional_currency(code: &str) -> Result<Option<Currency>, CallError> {
    match code {
        "" => Ok(None),
        code => field("currency_code", Currency::parse(code)).map(Some),
    }
}

/// Returns the wire form of an entry.
pub(crate) fn ledger_entry(entry: &LedgerEntry) -> wire::LedgerEntry {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    wire::LedgerEntry {
        ledger_entry_id: entry.id.to_string(),
        order_id: entry.order_id.to_string(),
        member_id: entry.member.to_string(),
        number: i32::try_from(entry.number).unwrap_or(i32::MAX),
        amount: Some(money(entry.amount)),
        target: Some(money(entry.target)),
        attribution_revision: number(entry.attribution_revision),
        policy_revision: number(entry.policy_revision),
        book_time: Some(timestamp(entry.book_time)),
    }
}
