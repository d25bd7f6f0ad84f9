//! Messages.
//!
//! What a message says is one column, an encoded `MessageContent`: whatever its kind, erasing it is
//! one assignment, and what must stay (id, kind, time, side, author) is columns of its own that the
//! assignment does not touch (SPEC 55). Nothing is searched by content.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable,
    SelectableHelper,
    dsl::{AsSelect, SqlTypeOf},
    pg::Pg,
    sql_types::{Array, BigInt},
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, ChatroomId, MessageId},
    message::{MessageKind, MessageOrigin, Place, Side},
};
use kit::{
    db::{Connection, DbText, DbUuid, PgText, Sql, StoreError},
    query,
};
use prost::Message as _;
use rapport_proto::chat::v1::MessageContent;
use uuid::Uuid;

use super::{
    from_column,
    moments::{CurrentTransaction, Moment},
    schema::message,
    to_column,
};
use crate::model::{Author, Body, Message};

/// From which end of a chatroom messages are listed, and behind which sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// The greatest sequence first, all below this one.
    NewestBelow(u64),
    /// The smallest sequence first, all above this one.
    OldestAbove(u64),
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = message)]
pub(super) struct Row {
    chatroom_id: Sql<ChatroomId>,
    sequence: i64,
    message_id: Sql<MessageId>,
    message_time: Sql<DateTime<Utc>>,
    side: Sql<Side>,
    author_id: Sql<Uuid>,
    kind: Sql<MessageKind>,
    origin: Sql<MessageOrigin>,
    content: Option<Vec<u8>>,
    erase_time: Option<Sql<DateTime<Utc>>>,
}

/// The SQL types of a [`Row`].
type Columns = SqlTypeOf<AsSelect<Row, Pg>>;

/// The SQL types of an `Option<Row>`.
pub(super) type OptionalColumns = SqlTypeOf<AsSelect<Option<Row>, Pg>>;

impl TryFrom<Row> for Message {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt {
            what: "message.content",
        };
        let body = match (row.content, row.erase_time) {
            (Some(content), None) => {
                Body::Kept(MessageContent::decode(content.as_slice()).map_err(|_| corrupt())?)
            }
            (None, Some(erase_time)) => Body::Erased(erase_time.0),
            _ => return Err(corrupt()),
        };
        Ok(Self {
            id: row.message_id.0,
            chatroom_id: row.chatroom_id.0,
            place: Place {
                sequence: from_column("message.sequence", row.sequence)?,
                message_time: row.message_time.0,
            },
            author: Author::on(row.side.0, row.author_id.0),
            kind: row.kind.0,
            origin: row.origin.0,
            body,
        })
    }
}

/// Returns the message to which its sender gave this id.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let row: Option<Row> = query!(connection, |c| message::table
        .filter(message::brand_id.eq(Sql(brand_id)))
        .filter(message::chatroom_id.eq(Sql(chatroom_id)))
        .filter(message::message_id.eq(Sql(id)))
        .select(Row::as_select())
        .first(c)
        .await
        .optional())?;
    row.map(Message::try_from).transpose()
}

/// Returns the messages at some places: chatrooms, and sequences in them.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_at(
    connection: &mut Connection,
    brand_id: &BrandId,
    places: &[(ChatroomId, u64)],
) -> Result<Vec<Message>, StoreError> {
    let rows: Vec<Row> = match connection {
        Connection::Postgres(c) => at(brand_id, places).load(c).await?,
        Connection::Sqlite(c) => {
            let mut rows = Vec::with_capacity(places.len());
            for (chatroom_id, sequence) in places {
                let row = message::table
                    .find((Sql(brand_id), Sql(*chatroom_id), to_column(*sequence)))
                    .select(Row::as_select())
                    .first(c)
                    .await
                    .optional()?;
                rows.extend(row);
            }
            rows
        }
    };
    rows.into_iter().map(Message::try_from).collect()
}

/// `LATERAL` leaves no other plan than a look at the index for each place.
fn at(brand_id: &BrandId, places: &[(ChatroomId, u64)]) -> PgText<'static, Columns> {
    let chatrooms: Vec<_> = places.iter().map(|place| Sql(place.0)).collect();
    let sequences: Vec<_> = places.iter().map(|place| to_column(place.1)).collect();
    PgText::new(
        "SELECT m.* FROM unnest(?, ?) AS k (chatroom_id, sequence), \
         LATERAL (SELECT chatroom_id, sequence, message_id, message_time, side, author_id, kind, \
         origin, content, erase_time FROM message WHERE brand_id = ? \
         AND chatroom_id = k.chatroom_id AND sequence = k.sequence LIMIT 1) AS m",
    )
    .bind::<Array<DbUuid>, _>(chatrooms)
    .bind::<Array<BigInt>, _>(sequences)
    .bind::<DbText, _>(Sql(brand_id.clone()))
}

/// Returns at most `limit` messages of a chatroom.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    range: Range,
    limit: i64,
) -> Result<Vec<Message>, StoreError> {
    let rows: Vec<Row> = match range {
        Range::NewestBelow(sequence) => query!(connection, |c| message::table
            .filter(message::brand_id.eq(Sql(brand_id)))
            .filter(message::chatroom_id.eq(Sql(chatroom_id)))
            .filter(message::sequence.lt(to_column(sequence)))
            .order(message::sequence.desc())
            .limit(limit)
            .select(Row::as_select())
            .load(c)
            .await)?,
        Range::OldestAbove(sequence) => query!(connection, |c| message::table
            .filter(message::brand_id.eq(Sql(brand_id)))
            .filter(message::chatroom_id.eq(Sql(chatroom_id)))
            .filter(message::sequence.gt(to_column(sequence)))
            .order(message::sequence.asc())
            .limit(limit)
            .select(Row::as_select())
            .load(c)
            .await)?,
    };
    rows.into_iter().map(Message::try_from).collect()
}

/// Returns the newest `limit` messages, as of a moment, of several chatrooms, each below a sequence:
/// newest first, at equal times by chatroom.
///
/// Each chatroom is read by the primary key, from its end, since its times increase with its
/// sequences, and the ends are merged. An index by time would make every message dearer to write.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_of_many(
    connection: &mut Connection,
    brand_id: &BrandId,
    rooms: &[(ChatroomId, u64)],
    moment: &Moment,
    limit: i64,
) -> Result<Vec<Message>, StoreError> {
    let rows: Vec<Row> = match connection {
        Connection::Postgres(c) => merging(brand_id, rooms, moment, limit).load(c).await?,
        Connection::Sqlite(c) => {
            let mut rows: Vec<Row> = Vec::new();
            for (chatroom_id, below) in rooms {
                let ends = message::table
                    .filter(message::brand_id.eq(Sql(brand_id)))
                    .filter(message::chatroom_id.eq(Sql(*chatroom_id)))
                    .filter(message::sequence.lt(to_column(*below)))
                    .filter(message::transaction_id.lt(moment.before))
                    .filter(message::transaction_id.ne_all(&moment.running))
                    .order(message::sequence.desc())
                    .limit(limit)
                    .select(Row::as_select());
                rows.extend(ends.load(c).await?);
            }
            rows
        }
    };
    let messages: Result<Vec<Message>, StoreError> =
        rows.into_iter().map(Message::try_from).collect();
    let mut messages = messages?;
    messages.sort_by_key(|one| (Reverse(one.place.message_time), one.chatroom_id));
    messages.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(messages)
}

fn merging(
    brand_id: &BrandId,
    rooms: &[(ChatroomId, u64)],
    moment: &Moment,
    limit: i64,
) -> PgText<'static, Columns> {
    let ids: Vec<_> = rooms.iter().map(|(id, _)| Sql(*id)).collect();
    let below: Vec<i64> = rooms.iter().map(|(_, below)| to_column(*below)).collect();
    PgText::new(
        "SELECT m.chatroom_id, m.sequence, m.message_id, m.message_time, m.side, m.author_id, \
         m.kind, m.origin, m.content, m.erase_time \
         FROM unnest(?, ?) AS k (chatroom_id, below) \
         CROSS JOIN LATERAL (SELECT * FROM message e WHERE e.brand_id = ? \
         AND e.chatroom_id = k.chatroom_id AND e.sequence < k.below \
         AND e.transaction_id < ? AND e.transaction_id <> ALL (?) \
         ORDER BY e.sequence DESC LIMIT ?) m \
         ORDER BY m.message_time DESC, m.chatroom_id LIMIT ?",
    )
    .bind::<Array<DbUuid>, _>(ids)
    .bind::<Array<BigInt>, _>(below)
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<BigInt, _>(moment.before)
    .bind::<Array<BigInt>, _>(moment.running.clone())
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(limit)
}

/// Returns how many messages that are not of `side` stand after one sequence, up to another.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn count_of_others(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    side: Side,
    after: u64,
    up_to: u64,
) -> Result<u64, StoreError> {
    let between = message::sequence
        .gt(to_column(after))
        .and(message::sequence.le(to_column(up_to)));
    let count: i64 = query!(connection, |c| message::table
        .filter(message::brand_id.eq(Sql(brand_id)))
        .filter(message::chatroom_id.eq(Sql(chatroom_id)))
        .filter(between)
        .filter(message::side.ne(Sql(side)))
        .count()
        .get_result(c)
        .await)?;
    from_column("count of messages", count)
}

/// Replaces what a message says, as the answer to a rating does.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatroom.
pub(crate) async fn update_content(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    sequence: u64,
    content: &MessageContent,
) -> Result<(), StoreError> {
    let place = (Sql(brand_id), Sql(chatroom_id), to_column(sequence));
    let content = Some(content.encode_to_vec());
    query!(connection, |c| diesel::update(message::table.find(place))
        .set(message::content.eq(&content))
        .execute(c)
        .await)?;
    Ok(())
}

/// Clears what is said in the first `limit` messages above `after` that still say something, and
/// returns their sequences in order.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatroom.
pub(crate) async fn clear(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    after: u64,
    limit: i64,
    erase_time: DateTime<Utc>,
) -> Result<Vec<u64>, StoreError> {
    let said: Vec<i64> = query!(connection, |c| message::table
        .filter(message::brand_id.eq(Sql(brand_id)))
        .filter(message::chatroom_id.eq(Sql(chatroom_id)))
        .filter(message::sequence.gt(to_column(after)))
        .filter(message::content.is_not_null())
        .order(message::sequence.asc())
        .limit(limit)
        .select(message::sequence)
        .load(c)
        .await)?;
    let Some(last) = said.last().copied() else {
        return Ok(Vec::new());
    };
    query!(connection, |c| diesel::update(message::table)
        .filter(message::brand_id.eq(Sql(brand_id)))
        .filter(message::chatroom_id.eq(Sql(chatroom_id)))
        .filter(message::sequence.gt(to_column(after)))
        .filter(message::sequence.le(last))
        .filter(message::content.is_not_null())
        .set((
            message::content.eq(None::<Vec<u8>>),
            message::erase_time.eq(Some(Sql(erase_time))),
        ))
        .execute(c)
        .await)?;
    said.into_iter()
        .map(|sequence| from_column("message.sequence", sequence))
        .collect()
}

/// Inserts a message; many at once are [`appending`](super::appending)'s.
///
/// # Errors
///
/// [`StoreError::Constraint`] when its id or sequence is taken; the caller, who has locked the
/// chatroom, looks first.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    new: &Message,
) -> Result<(), StoreError> {
    let (content, erase_time) = match &new.body {
        Body::Kept(content) => (Some(content.encode_to_vec()), None),
        Body::Erased(time) => (None, Some(Sql(*time))),
    };
    query!(connection, |c| diesel::insert_into(message::table)
        .values((
            message::brand_id.eq(Sql(brand_id)),
            message::chatroom_id.eq(Sql(new.chatroom_id)),
            message::sequence.eq(to_column(new.place.sequence)),
            message::message_id.eq(Sql(new.id)),
            message::message_time.eq(Sql(new.place.message_time)),
            message::transaction_id.eq(CurrentTransaction),
            message::side.eq(Sql(new.author.side())),
            message::author_id.eq(Sql(new.author.id())),
            message::kind.eq(Sql(new.kind)),
            message::origin.eq(Sql(new.origin)),
            message::content.eq(&content),
            message::erase_time.eq(erase_time),
        ))
        .execute(c)
        .await)?;
    Ok(())
}
