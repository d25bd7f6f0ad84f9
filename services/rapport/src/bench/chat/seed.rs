//! Many chatrooms of one Member, written by statements on whole sets of rows.
//!
//! Each is a copy of a chatroom into which both sides have written through the API, with an account of
//! its own, and has a hundred messages, which are copies of these two. Nobody knows these accounts:
//! that matters to nobody who lists the chatrooms as their Member.

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use kit::{
    db::{Connection, Db, DbUuid, Sql, StoreError},
    query,
};
use uuid::Uuid;

use crate::bench::seed::analyze;

/// How many messages each has.
pub(super) const MESSAGES: u32 = 100;
/// So many chatrooms that a transaction takes far less than the ten seconds that a statement may.
const CHUNK: i64 = 500;

/// The chatrooms from `$3` to `$4`, each a minute older than the one before.
const ROOMS_POSTGRES: &str = "INSERT INTO chatroom (brand_id, chatroom_id, account_id, member_id, \
     create_time, transaction_id, last_sequence, last_message_time, last_transaction_id) \
     SELECT brand_id, gen_random_uuid(), gen_random_uuid(), member_id, create_time, transaction_id, \
     $5, last_message_time - number * interval '1 minute', last_transaction_id \
     FROM chatroom CROSS JOIN generate_series($3, $4) AS number \
     WHERE brand_id = $1 AND chatroom_id = $2";
const ROOMS_SQLITE: &str = "WITH RECURSIVE numbers (number) AS (SELECT ?3 \
     UNION ALL SELECT number + 1 FROM numbers WHERE number < ?4) \
     INSERT INTO chatroom (brand_id, chatroom_id, account_id, member_id, \
     create_time, transaction_id, last_sequence, last_message_time, last_transaction_id) \
     SELECT brand_id, randomblob(16), randomblob(16), member_id, create_time, transaction_id, \
     ?5, last_message_time - number * 60000000, last_transaction_id \
     FROM chatroom CROSS JOIN numbers \
     WHERE brand_id = ?1 AND chatroom_id = ?2";
const MESSAGES_POSTGRES: &str = "INSERT INTO message (brand_id, chatroom_id, sequence, message_id, \
     message_time, transaction_id, side, author_id, kind, origin, content) \
     SELECT c.brand_id, c.chatroom_id, number, gen_random_uuid(), \
     c.last_message_time - (c.last_sequence - number) * interval '1 microsecond', \
     m.transaction_id, m.side, m.author_id, m.kind, m.origin, m.content \
     FROM chatroom t JOIN chatroom c ON c.brand_id = t.brand_id AND c.member_id = t.member_id \
     AND c.last_message_time <= t.last_message_time - $3 * interval '1 minute' \
     AND c.last_message_time >= t.last_message_time - $4 * interval '1 minute' \
     CROSS JOIN LATERAL generate_series(1, $5) AS number \
     JOIN message m ON m.brand_id = t.brand_id AND m.chatroom_id = t.chatroom_id \
     AND m.sequence = 2 - number % 2 \
     WHERE t.brand_id = $1 AND t.chatroom_id = $2";
const MESSAGES_SQLITE: &str = "WITH RECURSIVE numbers (number) AS (SELECT 1 \
     UNION ALL SELECT number + 1 FROM numbers WHERE number < ?5) \
     INSERT INTO message (brand_id, chatroom_id, sequence, message_id, \
     message_time, transaction_id, side, author_id, kind, origin, content) \
     SELECT c.brand_id, c.chatroom_id, number, randomblob(16), \
     c.last_message_time - (c.last_sequence - number), \
     m.transaction_id, m.side, m.author_id, m.kind, m.origin, m.content \
     FROM chatroom t JOIN chatroom c ON c.brand_id = t.brand_id AND c.member_id = t.member_id \
     AND c.last_message_time <= t.last_message_time - ?3 * 60000000 \
     AND c.last_message_time >= t.last_message_time - ?4 * 60000000 \
     CROSS JOIN numbers \
     JOIN message m ON m.brand_id = t.brand_id AND m.chatroom_id = t.chatroom_id \
     AND m.sequence = 2 - number % 2 \
     WHERE t.brand_id = ?1 AND t.chatroom_id = ?2";

/// Some copies of a chatroom, by their numbers.
struct Copies {
    brand_id: String,
    chatroom_id: Uuid,
    from: i64,
    until: i64,
}

/// Copies a chatroom, which has one message of each side, until the copies have so many messages.
///
/// # Errors
///
/// When chat's tables are not what they were, or the database fails.
pub(super) async fn copy_chatrooms(
    db: &Db,
    brand_id: &str,
    chatroom_id: &str,
    messages: u32,
) -> anyhow::Result<()> {
    let count = i64::from(messages / MESSAGES);
    let mut from = 1;
    while from <= count {
        let until = (from + CHUNK - 1).min(count);
        let copies = Copies {
            brand_id: brand_id.to_owned(),
            chatroom_id: chatroom_id.parse()?,
            from,
            until,
        };
        db.run_tx("seed_chatrooms", copies, |c, copies| {
            Box::pin(copy(c, copies))
        })
        .await?;
        from = until + 1;
    }
    analyze(db).await
}

async fn copy(connection: &mut Connection, copies: &Copies) -> Result<(), StoreError> {
    let statements = match connection {
        Connection::Postgres(_) => [ROOMS_POSTGRES, MESSAGES_POSTGRES],
        Connection::Sqlite(_) => [ROOMS_SQLITE, MESSAGES_SQLITE],
    };
    for statement in statements {
        query!(&mut *connection, |c| diesel::sql_query(statement)
            .bind::<Text, _>(&copies.brand_id)
            .bind::<DbUuid, _>(Sql(copies.chatroom_id))
            .bind::<BigInt, _>(copies.from)
            .bind::<BigInt, _>(copies.until)
            .bind::<BigInt, _>(i64::from(MESSAGES))
            .execute(c)
            .await)?;
    }
    Ok(())
}
