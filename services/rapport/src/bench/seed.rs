//! Long histories, written by statements on whole sets of rows.
//!
//! The first message of each side is sent through the API. Each further row of chat's `message` is a
//! copy of one of these two with the next sequence, an id of its own and a time one microsecond after
//! the one before; the chatroom's last sequence and last message time follow. So what the rows hold
//! is what the service itself has written, and it goes on from them: the caller sends the last message
//! through the API and checks its sequence. No event tells of the copies, and the counts of unread
//! messages leave them out: neither matters to who reads the history as a visitor.

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use kit::{
    db::{Connection, Db, DbUuid, Sql, StoreError},
    query,
};
use uuid::Uuid;

/// So many rows that a transaction takes far less than the ten seconds that a statement may.
const CHUNK: i64 = 50_000;

const COPY_POSTGRES: &str = "INSERT INTO message (brand_id, chatroom_id, sequence, message_id, \
     message_time, transaction_id, side, author_id, kind, origin, content) \
     SELECT m.brand_id, m.chatroom_id, number, gen_random_uuid(), \
     c.last_message_time + (number - c.last_sequence) * interval '1 microsecond', \
     m.transaction_id, m.side, m.author_id, m.kind, m.origin, m.content \
     FROM chatroom c \
     CROSS JOIN LATERAL generate_series(c.last_sequence + 1, $3) AS number \
     JOIN message m ON m.brand_id = c.brand_id AND m.chatroom_id = c.chatroom_id \
     AND m.sequence = 2 - number % 2 \
     WHERE c.brand_id = $1 AND c.chatroom_id = $2";
const COPY_SQLITE: &str = "WITH RECURSIVE c AS (SELECT * FROM chatroom \
     WHERE brand_id = ?1 AND chatroom_id = ?2), \
     numbers (number) AS (SELECT last_sequence + 1 FROM c \
     UNION ALL SELECT number + 1 FROM numbers WHERE number < ?3) \
     INSERT INTO message (brand_id, chatroom_id, sequence, message_id, \
     message_time, transaction_id, side, author_id, kind, origin, content) \
     SELECT m.brand_id, m.chatroom_id, number, randomblob(16), \
     c.last_message_time + number - c.last_sequence, \
     m.transaction_id, m.side, m.author_id, m.kind, m.origin, m.content \
     FROM c CROSS JOIN numbers \
     JOIN message m ON m.brand_id = c.brand_id AND m.chatroom_id = c.chatroom_id \
     AND m.sequence = 2 - number % 2";
const ADVANCE_POSTGRES: &str = "UPDATE chatroom SET last_sequence = $3, \
     last_message_time = last_message_time + ($3 - last_sequence) * interval '1 microsecond' \
     WHERE brand_id = $1 AND chatroom_id = $2";
const ADVANCE_SQLITE: &str = "UPDATE chatroom SET last_sequence = ?3, \
     last_message_time = last_message_time + ?3 - last_sequence \
     WHERE brand_id = ?1 AND chatroom_id = ?2";

/// A chatroom with two messages, and the sequence of the last copy that it is to have.
struct Copies {
    brand_id: String,
    chatroom_id: Uuid,
    until: i64,
}

/// Fills a chatroom, which has one message of each side, up to the sequence `until`.
///
/// # Errors
///
/// When chat's tables are not what they were, or the database fails.
pub(super) async fn fill(
    db: &Db,
    brand_id: &str,
    chatroom_id: &str,
    until: i64,
) -> anyhow::Result<()> {
    let mut next = 2;
    while next < until {
        next = (next + CHUNK).min(until);
        let copies = Copies {
            brand_id: brand_id.to_owned(),
            chatroom_id: chatroom_id.parse()?,
            until: next,
        };
        db.run_tx("seed_messages", copies, |c, i| Box::pin(copy(c, i)))
            .await?;
    }
    Ok(())
}

async fn copy(connection: &mut Connection, copies: &Copies) -> Result<(), StoreError> {
    let statements = match connection {
        Connection::Postgres(_) => [COPY_POSTGRES, ADVANCE_POSTGRES],
        Connection::Sqlite(_) => [COPY_SQLITE, ADVANCE_SQLITE],
    };
    for statement in statements {
        query!(&mut *connection, |c| diesel::sql_query(statement)
            .bind::<Text, _>(&copies.brand_id)
            .bind::<DbUuid, _>(Sql(copies.chatroom_id))
            .bind::<BigInt, _>(copies.until)
            .execute(c)
            .await)?;
    }
    Ok(())
}

/// Has PostgreSQL look at the tables, as it does by itself after a while.
///
/// # Errors
///
/// When the database fails.
pub(super) async fn analyze(db: &Db) -> anyhow::Result<()> {
    db.run_tx("analyze_tables", (), |c, ()| {
        Box::pin(async move {
            query!(c, |c| diesel::sql_query("ANALYZE").execute(c).await)?;
            Ok::<_, StoreError>(())
        })
    })
    .await?;
    Ok(())
}
