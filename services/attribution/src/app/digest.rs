//! One number for all that a Brand's facts have come to: equal facts give equal digests, in whatever
//! order they came (SPEC 42).

use chrono::{DateTime, Utc};
use domain::id::{BrandId, OrderId};
use sha2::{Digest, Sha256};

use super::App;
use crate::{
    error::Error,
    store::{
        attributions::{self, StoredAttribution},
        awaited_sign_ins, dirty_marks, first_instant, last_instant, ledger_entries, orders,
        recomputations::{self, Cause},
    },
};

/// How many orders are read together.
const ORDERS: i64 = 256;

/// The digest of a Brand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrandDigest {
    pub(crate) digest: [u8; 32],
    pub(crate) order_count: i64,
    /// Whether everything that has arrived is evaluated in it, and no order waits for a sign-in.
    pub(crate) is_settled: bool,
}

/// Returns the digest over the Brand's orders, by time, then by id, with outcome, winners and
/// shares, and over the balances by Member and currency.
///
/// Each order and balance is one line of text, so no two worlds have the same lines. Generated ids,
/// revisions and times of booking are not in it.
pub(crate) async fn digest(app: &App, brand_id: &BrandId) -> Result<BrandDigest, Error> {
    let mut connection = app.db.read().await?;
    let mut hash = Sha256::new();
    let mut order_count = 0;
    // Looked at first: what comes while reading is found by the next call.
    let is_settled = !dirty_marks::exist(&mut connection, brand_id).await?
        && !recomputations::is_any_running(&mut connection, brand_id, Cause::ALL).await?
        && !awaited_sign_ins::exist(&mut connection, brand_id).await?;
    let mut after: Option<(DateTime<Utc>, OrderId)> = None;
    loop {
        let page = orders::list_from(
            &mut connection,
            brand_id,
            first_instant(),
            last_instant(),
            after.as_ref(),
            ORDERS,
        )
        .await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.clone());
        let ids: Vec<OrderId> = page.into_iter().map(|(_, order_id)| order_id).collect();
        let stored = attributions::list(&mut connection, brand_id, &ids).await?;
        for order_id in &ids {
            hash.update(order_line(order_id, stored.get(order_id)));
            order_count += 1;
        }
    }
    let balances =
        ledger_entries::balances(&mut connection, brand_id, None, last_instant()).await?;
    for (member, amount) in balances {
        // Whether a Member once had something and has it no longer depends on the order of facts.
        if amount.minor_units() != 0 {
            let (currency, minor_units) = (amount.currency(), amount.minor_units());
            hash.update(format!("balance {member} {currency} {minor_units}\n"));
        }
    }
    Ok(BrandDigest {
        digest: hash.finalize().into(),
        order_count,
        is_settled,
    })
}

fn order_line(order_id: &OrderId, stored: Option<&StoredAttribution>) -> String {
    let Some(StoredAttribution { finding, .. }) = stored else {
        return format!("order {:?}\n", order_id.as_str());
    };
    let credits: Vec<String> = finding
        .credits
        .iter()
        .map(|credit| {
            let (member, chatroom) = (credit.member, credit.chatroom);
            let (share_ppm, target) = (credit.share_ppm, credit.target_minor_units);
            format!("{member} {chatroom} {share_ppm} {target}")
        })
        .collect();
    let (id, outcome, credits) = (order_id.as_str(), finding.outcome, credits.join(", "));
    format!("order {id:?} {outcome} {credits}\n")
}
