//! A batch in one statement, for whoever believes to know its chatrooms.
//!
//! The statement writes into the chatrooms that are as they are believed to be, and in which nothing has
//! come about that could refuse a message; into the others it writes nothing. What can change what is
//! already known of a message stands in the chatroom's own row, which the statement waits for and then
//! sees as it is by then: where another message has come, where the visitor has blocked the Member or
//! is erased. What a Member does (he is deactivated, he blocks somebody) is looked up as it was when the
//! statement began, which is no earlier than the call.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, MemberId};
use kit::{
    db::{Db, DbText, DbTime, DbUuid, PgText, Sql, StoreError},
    event_log::{self, NewRow},
};
use rapport_proto::event::v1::MemberState;

use super::{super::to_column, Batch, Columns, Key, Moved};

/// Writes what a batch has for the chatrooms that are still as they were before it, and returns them;
/// `None` on SQLite.
///
/// # Errors
///
/// What the database fails with, also when a message of the same id is there already; then nothing is
/// written, or the connection was lost and nobody knows.
pub(crate) async fn write_unmoved(
    db: &Db,
    batch: &Batch,
) -> Option<Result<BTreeSet<Key>, StoreError>> {
    let written = db.run_statement("append_unmoved", batch, |connection, batch| {
        Box::pin(async move {
            let rows = event_log::new_rows(&batch.events)?;
            let numbers: Vec<i32> = statement(batch, rows).load(connection).await?;
            Ok(numbers)
        })
    });
    let written = written.await?;
    Some(written.map(|numbers| {
        let numbers: BTreeSet<i32> = numbers.into_iter().collect();
        let keys = (1..).zip(batch.chatrooms.keys());
        keys.filter(|(number, _)| numbers.contains(number))
            .map(|(_, key)| key.clone())
            .collect()
    }))
}

/// A chatroom is called by its number in the batch, from 1, so that no join of two lists is needed. They
/// are locked in the order of their keys, like everywhere. The arrays are read by subscript: `unnest`
/// would make a table of each first, which for a single message takes longer than all the rest.
fn statement(batch: &Batch, events: Vec<NewRow>) -> PgText<'static, Integer> {
    let text = PgText::new(
        "WITH moved AS (UPDATE chatroom c SET last_sequence = a.last_sequence, \
         last_message_time = a.last_message_time, \
         last_transaction_id = (SELECT pg_current_xact_id()::text::bigint), \
         visitor_first_time = a.visitor_first_time, member_first_time = a.member_first_time, \
         visitor_unread_count = c.visitor_unread_count + a.visitor_unread_count, \
         member_unread_count = c.member_unread_count + a.member_unread_count \
         FROM (SELECT number, (?)[number] AS brand_id, (?)[number] AS chatroom_id, \
         (?)[number] AS known_sequence, (?)[number] AS last_sequence, \
         (?)[number] AS last_message_time, (?)[number] AS visitor_first_time, \
         (?)[number] AS member_first_time, (?)[number] AS visitor_unread_count, \
         (?)[number] AS member_unread_count FROM generate_series(1, ?) number) a \
         WHERE c.brand_id = a.brand_id AND c.chatroom_id = a.chatroom_id \
         AND c.last_sequence = a.known_sequence AND NOT c.visitor_blocked AND NOT c.visitor_erased \
         AND NOT EXISTS (SELECT FROM member m WHERE m.brand_id = c.brand_id \
         AND m.member_id = c.member_id AND m.state = ?) \
         AND NOT EXISTS (SELECT FROM member_block b WHERE b.brand_id = c.brand_id \
         AND b.member_id = c.member_id) \
         RETURNING a.number), \
         new AS (SELECT (?)[i] AS account_id, (?)[i] AS member_id, (?)[i] AS event_id, \
         (?)[i] AS event, (?)[i] AS brand_id, (?)[i] AS chatroom_id, (?)[i] AS sequence, \
         (?)[i] AS message_id, (?)[i] AS message_time, (?)[i] AS side, (?)[i] AS author_id, \
         (?)[i] AS kind, (?)[i] AS origin, (?)[i] AS content FROM generate_series(1, ?) i \
         WHERE (?)[i] = ANY (ARRAY(SELECT number FROM moved))), \
         written AS (INSERT INTO message (brand_id, chatroom_id, sequence, message_id, \
         message_time, side, author_id, kind, origin, content, transaction_id) \
         SELECT brand_id, chatroom_id, sequence, message_id, message_time, side, author_id, kind, \
         origin, content, (SELECT pg_current_xact_id()::text::bigint) FROM new), \
         logged AS (INSERT INTO event_log (event_id, brand_id, create_time, event) \
         SELECT event_id, brand_id, message_time, event FROM new), \
         told AS (INSERT INTO chatroom_change \
         (brand_id, kind, chatroom_id, account_id, member_id, sequence, change_time) \
         SELECT brand_id, 'MESSAGE', chatroom_id, account_id, member_id, sequence, message_time \
         FROM new) \
         SELECT number FROM moved",
    );
    bind_messages(bind_chatrooms(text, batch), batch, events)
}

fn bind_chatrooms(text: PgText<'static, Integer>, batch: &Batch) -> PgText<'static, Integer> {
    let rooms = &batch.chatrooms;
    let each = |value: fn(&Moved) -> u64| {
        let values = rooms.values().map(|moved| to_column(value(moved)));
        values.collect::<Vec<i64>>()
    };
    let time = |value: fn(&Moved) -> Option<DateTime<Utc>>| {
        let times = rooms.values().map(|moved| value(moved).map(Sql));
        times.collect::<Vec<Option<Sql<DateTime<Utc>>>>>()
    };
    let brand_ids: Vec<_> = rooms.keys().map(|key| Sql(key.0.clone())).collect();
    let ids: Vec<_> = rooms.keys().map(|key| Sql(key.1)).collect();
    text.bind::<Array<DbText>, _>(brand_ids)
        .bind::<Array<DbUuid>, _>(ids)
        .bind::<Array<BigInt>, _>(each(|moved| moved.before.last_sequence()))
        .bind::<Array<BigInt>, _>(each(|moved| moved.after.last_sequence()))
        .bind::<Array<Nullable<DbTime>>, _>(time(|moved| {
            moved.after.last.map(|last| last.message_time)
        }))
        .bind::<Array<Nullable<DbTime>>, _>(time(|moved| moved.after.visitor_first_time))
        .bind::<Array<Nullable<DbTime>>, _>(time(|moved| moved.after.member_first_time))
        .bind::<Array<BigInt>, _>(each(|Moved { before, after }| {
            after.visitor_marker.unread_count - before.visitor_marker.unread_count
        }))
        .bind::<Array<BigInt>, _>(each(|Moved { before, after }| {
            after.member_marker.unread_count - before.member_marker.unread_count
        }))
        .bind::<Integer, _>(length(rooms.len()))
        .bind::<DbText, _>(Sql(MemberState::Deactivated.as_str_name()))
}

fn bind_messages(
    text: PgText<'static, Integer>,
    batch: &Batch,
    events: Vec<NewRow>,
) -> PgText<'static, Integer> {
    let (mut numbers, mut account_ids, mut member_ids) = (Vec::new(), Vec::new(), Vec::new());
    let mut new = Columns::default();
    let places: BTreeMap<&Key, i32> = batch.chatrooms.keys().zip(1..).collect();
    for (brand_id, message) in &batch.messages {
        let key = (brand_id.clone(), message.chatroom_id);
        let Some(moved) = batch.chatrooms.get(&key) else {
            continue;
        };
        numbers.push(places[&key]);
        account_ids.push(Sql::<AccountId>(moved.after.account_id));
        member_ids.push(Sql::<MemberId>(moved.after.member_id));
        new.push(brand_id, message);
    }
    let (event_ids, encoded): (Vec<_>, Vec<_>) = events
        .into_iter()
        .map(|row| (Sql(row.event_id), row.event))
        .unzip();
    let count = length(numbers.len());
    text.bind::<Array<DbUuid>, _>(account_ids)
        .bind::<Array<DbUuid>, _>(member_ids)
        .bind::<Array<DbUuid>, _>(event_ids)
        .bind::<Array<Binary>, _>(encoded)
        .bind::<Array<DbText>, _>(new.brand_ids)
        .bind::<Array<DbUuid>, _>(new.chatroom_ids)
        .bind::<Array<BigInt>, _>(new.sequences)
        .bind::<Array<DbUuid>, _>(new.ids)
        .bind::<Array<DbTime>, _>(new.times)
        .bind::<Array<DbText>, _>(new.sides)
        .bind::<Array<DbUuid>, _>(new.author_ids)
        .bind::<Array<DbText>, _>(new.kinds)
        .bind::<Array<DbText>, _>(new.origins)
        .bind::<Array<Nullable<Binary>>, _>(new.contents)
        .bind::<Integer, _>(count)
        .bind::<Array<Integer>, _>(numbers)
}

/// A batch has some hundred messages at most.
fn length(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
