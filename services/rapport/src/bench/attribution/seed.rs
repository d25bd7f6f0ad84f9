//! Many customers, written by statements on whole sets of rows.
//!
//! Each is a copy of one who signed in, talked to a Member and placed an order, all through the API: an
//! account with a customer id of its own, a chatroom with a hundred messages, and ten orders as they
//! stand when they are credited and booked. What the rows hold is what the service has written, but
//! for ids and times; left out are the kept request ids and the log for those who watch attributions.

use std::ops::RangeInclusive;

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, TryStreamExt, stream};
use kit::{
    db::{Connection, Db, StoreError},
    query,
};
use uuid::Uuid;

use crate::bench::seed::analyze;

/// How many orders each has.
pub(super) const ORDERS: u32 = 10;
/// So many customers that a transaction takes far less than the ten seconds that a statement may.
const CHUNK: usize = 100;
/// Writing waits for the disk as much as for the processor.
const AT_ONCE: usize = 2;

/// `number` counts the customers, and `turn` what each of them has.
const COUNTING: &str = "WITH RECURSIVE numbers (number) AS (SELECT CAST($1 AS bigint) \
     UNION ALL SELECT number + 1 FROM numbers WHERE number < $2), \
     turns (turn) AS (SELECT 1 UNION ALL SELECT turn + 1 FROM turns WHERE turn < 50) ";
/// Of the customer who is copied, by his order.
const OF_CUSTOMER: &str = " CROSS JOIN numbers WHERE o.brand_id = $3 AND o.order_id = $4";
const OF_MESSAGE: &str =
    " CROSS JOIN numbers CROSS JOIN turns WHERE o.brand_id = $3 AND o.order_id = $4";
const OF_ORDER: &str = " CROSS JOIN numbers CROSS JOIN turns \
     WHERE o.brand_id = $3 AND o.order_id = $4 AND turn <= 10";

/// Each copy's rows, before the rows that refer to them.
const COPIES: [(&str, &str); 8] = [
    (
        "INSERT INTO account (brand_id, account_id, revision, kind, state, customer_id, create_time) \
         SELECT a.brand_id, {id}, a.revision, a.kind, a.state, 'customer-' || numbers.number, a.create_time \
         FROM attribution o JOIN account a ON a.brand_id = o.brand_id \
         AND a.account_id = o.buyer_account_id",
        OF_CUSTOMER,
    ),
    (
        "INSERT INTO chatroom (brand_id, chatroom_id, account_id, member_id) \
         SELECT o.brand_id, {id}, {id}, o.member_id FROM credit o",
        OF_CUSTOMER,
    ),
    (
        "INSERT INTO message (brand_id, chatroom_id, message_id, side, kind, origin, is_evidence, \
         message_time) SELECT m.brand_id, {id}, {random_id}, m.side, m.kind, m.origin, \
         m.is_evidence, m.message_time - turn * {hour} \
         FROM credit o JOIN message m ON m.brand_id = o.brand_id AND m.chatroom_id = o.chatroom_id",
        OF_MESSAGE,
    ),
    (
        "INSERT INTO \"order\" (brand_id, order_id, order_time, receive_time, customer_id, \
         currency_code, total_minor_units, shipping_minor_units, report_digest) \
         SELECT o.brand_id, {order_id}, o.order_time - (numbers.number * 10 + turn) * {microsecond}, \
         o.receive_time, 'customer-' || numbers.number, o.currency_code, o.total_minor_units, \
         o.shipping_minor_units, o.report_digest FROM \"order\" o",
        OF_ORDER,
    ),
    (
        "INSERT INTO order_status (brand_id, order_id, status_time, label, receive_time) \
         SELECT o.brand_id, {order_id}, o.status_time, o.label, o.receive_time FROM order_status o",
        OF_ORDER,
    ),
    (
        "INSERT INTO attribution (brand_id, order_id, revision, outcome, buyer_key, \
         buyer_account_id, person_account_id, policy_revision, link_revision, is_frozen, \
         evaluate_time) SELECT o.brand_id, {order_id}, o.revision, o.outcome, o.buyer_key, {id}, \
         {id}, o.policy_revision, o.link_revision, o.is_frozen, o.evaluate_time FROM attribution o",
        OF_ORDER,
    ),
    (
        "INSERT INTO credit (brand_id, order_id, member_id, chatroom_id, share_ppm, \
         target_minor_units) SELECT o.brand_id, {order_id}, o.member_id, {id}, o.share_ppm, \
         o.target_minor_units FROM credit o",
        OF_ORDER,
    ),
    (
        "INSERT INTO ledger_entry (brand_id, order_id, member_id, number, ledger_entry_id, \
         currency_code, minor_units, target_minor_units, attribution_revision, policy_revision, \
         book_time) SELECT o.brand_id, {order_id}, o.member_id, o.number, {random_id}, \
         o.currency_code, o.minor_units, o.target_minor_units, o.attribution_revision, \
         o.policy_revision, o.book_time FROM ledger_entry o",
        OF_ORDER,
    ),
];

/// What each engine says in words of its own.
const POSTGRES: [(&str, &str); 4] = [
    (
        "{id}",
        "CAST(lpad(to_hex(numbers.number), 32, '0') AS uuid)",
    ),
    ("{random_id}", "gen_random_uuid()"),
    ("{hour}", "interval '1 hour'"),
    ("{microsecond}", "interval '1 microsecond'"),
];
const SQLITE: [(&str, &str); 4] = [
    ("{id}", "unhex(printf('%032x', numbers.number))"),
    ("{random_id}", "randomblob(16)"),
    ("{hour}", "3600000000"),
    ("{microsecond}", "1"),
];

/// Some copies, by their numbers.
struct Copies {
    brand_id: String,
    pattern: String,
    from: i64,
    until: i64,
}

/// Returns what the shop calls a copy.
pub(super) fn customer_id(number: u32) -> String {
    format!("customer-{number}")
}

/// Returns the id of a copy's account, which is also its chatroom's.
pub(super) fn id(number: u32) -> Uuid {
    Uuid::from_u128(number.into())
}

/// Copies the customer whose only order is `pattern`.
///
/// # Errors
///
/// When attribution's tables are not what they were, or the database fails.
pub(super) async fn copy_customers(
    db: &Db,
    brand_id: &str,
    pattern: &str,
    numbers: RangeInclusive<u32>,
) -> anyhow::Result<()> {
    let last = i64::from(*numbers.end());
    let chunks = numbers.step_by(CHUNK).map(|from| {
        let from = i64::from(from);
        let copies = Copies {
            brand_id: brand_id.to_owned(),
            pattern: pattern.to_owned(),
            from,
            until: last.min(from + CHUNK as i64 - 1),
        };
        db.run_locked_tx("seed_customers", copies, |c, copies| {
            Box::pin(copy(c, copies))
        })
    });
    stream::iter(chunks)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    analyze(db).await
}

async fn copy(connection: &mut Connection, copies: &Copies) -> Result<(), StoreError> {
    let words = match connection {
        Connection::Postgres(_) => POSTGRES,
        Connection::Sqlite(_) => SQLITE,
    };
    for (insertion, rows) in COPIES {
        let mut statement = format!("{COUNTING}{insertion}{rows}");
        statement = statement.replace(
            "{order_id}",
            "o.order_id || '-' || numbers.number || '-' || turn",
        );
        for (word, text) in words {
            statement = statement.replace(word, text);
        }
        query!(&mut *connection, |c| diesel::sql_query(&statement)
            .bind::<BigInt, _>(copies.from)
            .bind::<BigInt, _>(copies.until)
            .bind::<Text, _>(&copies.brand_id)
            .bind::<Text, _>(&copies.pattern)
            .execute(c)
            .await)?;
    }
    Ok(())
}
