//! The table `message`: that messages were sent, and what they prove.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl,
    dsl::{count_star, max, min},
    sql_types::{Array, Bool, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::{
    evidence::{Evidence, MessageFact, SideEvidence},
    id::{BrandId, ChatroomId, MessageId},
    message::{Side, is_evidence},
};
use kit::{
    db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError},
    query,
};

use super::schema::message;

/// A message of a chatroom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) brand_id: BrandId,
    pub(crate) chatroom_id: ChatroomId,
    pub(crate) id: MessageId,
    pub(crate) fact: MessageFact,
}

impl Message {
    /// Whether it counts for the orders placed after it (SPEC 39).
    pub(crate) fn is_evidence(&self) -> bool {
        is_evidence(self.fact.kind, self.fact.origin, self.fact.side)
    }
}

/// Keeps those of `messages`, of chatrooms that are known, that are not known themselves; on
/// PostgreSQL by one statement.
pub(crate) async fn keep_all(
    connection: &mut Connection,
    messages: &[Message],
) -> Result<(), StoreError> {
    match connection {
        _ if messages.is_empty() => {}
        Connection::Postgres(c) => {
            insertion(messages).execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for one in messages {
                diesel::insert_into(message::table)
                    .values((
                        message::brand_id.eq(Sql(&one.brand_id)),
                        message::chatroom_id.eq(Sql(one.chatroom_id)),
                        message::message_id.eq(Sql(one.id)),
                        message::side.eq(Sql(one.fact.side)),
                        message::kind.eq(Sql(one.fact.kind)),
                        message::origin.eq(Sql(one.fact.origin)),
                        message::is_evidence.eq(one.is_evidence()),
                        message::message_time.eq(Sql(one.fact.message_time)),
                    ))
                    .on_conflict_do_nothing()
                    .execute(c)
                    .await?;
            }
        }
    }
    Ok(())
}

fn insertion(messages: &[Message]) -> PgText<'static> {
    let brand_ids = messages.iter().map(|one| Sql(one.brand_id.clone()));
    let chatroom_ids = messages.iter().map(|one| Sql(one.chatroom_id));
    let ids = messages.iter().map(|one| Sql(one.id));
    let facts = || messages.iter().map(|one| one.fact);
    PgText::new(
        "INSERT INTO message (brand_id, chatroom_id, message_id, side, kind, origin, is_evidence, \
         message_time) SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind::<Array<DbText>, _>(brand_ids.collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(chatroom_ids.collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(ids.collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(facts().map(|fact| Sql(fact.side)).collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(facts().map(|fact| Sql(fact.kind)).collect::<Vec<_>>())
    .bind::<Array<DbText>, _>(facts().map(|fact| Sql(fact.origin)).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(
        messages
            .iter()
            .map(Message::is_evidence)
            .collect::<Vec<_>>(),
    )
    .bind::<Array<DbTime>, _>(
        facts()
            .map(|fact| Sql(fact.message_time))
            .collect::<Vec<_>>(),
    )
}

/// A chatroom, and the time of an order for which it may prove something.
pub(crate) type Question = (ChatroomId, DateTime<Utc>);

/// An end of what a side wrote, if it wrote.
type End = Option<Sql<DateTime<Utc>>>;

/// The first and the last evidence before an order's time: the visitor's, then the Member's.
type Row = (Sql<ChatroomId>, Sql<DateTime<Utc>>, End, End, End, End);

type Columns = (
    DbUuid,
    DbTime,
    Nullable<DbTime>,
    Nullable<DbTime>,
    Nullable<DbTime>,
    Nullable<DbTime>,
);

/// Returns what each chatroom proves for an order of the time beside it: the fold of
/// [`Evidence::of`], looked up by index, so that it costs the same however much was written.
pub(crate) async fn evidence_before(
    connection: &mut Connection,
    brand_id: &BrandId,
    questions: &BTreeSet<Question>,
) -> Result<BTreeMap<Question, Evidence>, StoreError> {
    let rows: Vec<Row> = match connection {
        _ if questions.is_empty() => Vec::new(),
        Connection::Postgres(c) => asking(brand_id, questions).load(c).await?,
        Connection::Sqlite(c) => {
            let mut rows = Vec::with_capacity(questions.len());
            for (chatroom_id, order_time) in questions {
                macro_rules! ask {
                    ($side:ident, $end:ident) => {
                        message::table
                            .filter(message::brand_id.eq(Sql(brand_id)))
                            .filter(message::chatroom_id.eq(Sql(*chatroom_id)))
                            .filter(message::side.eq(Sql(Side::$side)))
                            .filter(message::is_evidence)
                            .filter(message::message_time.lt(Sql(*order_time)))
                            .select($end(message::message_time))
                            .first(c)
                            .await?
                    };
                }
                rows.push((
                    Sql(*chatroom_id),
                    Sql(*order_time),
                    ask!(Visitor, min),
                    ask!(Visitor, max),
                    ask!(Member, min),
                    ask!(Member, max),
                ));
            }
            rows
        }
    };
    let side = |first: End, last: End| {
        let (first_time, last_time) = (first?.0, last?.0);
        Some(SideEvidence {
            first_time,
            last_time,
        })
    };
    let found = rows.into_iter().map(|row| {
        let evidence = Evidence {
            visitor: side(row.2, row.3),
            member: side(row.4, row.5),
        };
        ((row.0.0, row.1.0), evidence)
    });
    Ok(found.collect())
}

fn asking(brand_id: &BrandId, questions: &BTreeSet<Question>) -> PgText<'static, Columns> {
    let chatrooms: Vec<_> = questions.iter().map(|question| Sql(question.0)).collect();
    let times: Vec<_> = questions.iter().map(|question| Sql(question.1)).collect();
    PgText::new(
        "SELECT q.chatroom_id, q.order_time, \
         (SELECT min(m.message_time) FROM message m WHERE m.brand_id = q.brand_id \
         AND m.chatroom_id = q.chatroom_id AND m.side = 'VISITOR' AND m.is_evidence \
         AND m.message_time < q.order_time), \
         (SELECT max(m.message_time) FROM message m WHERE m.brand_id = q.brand_id \
         AND m.chatroom_id = q.chatroom_id AND m.side = 'VISITOR' AND m.is_evidence \
         AND m.message_time < q.order_time), \
         (SELECT min(m.message_time) FROM message m WHERE m.brand_id = q.brand_id \
         AND m.chatroom_id = q.chatroom_id AND m.side = 'MEMBER' AND m.is_evidence \
         AND m.message_time < q.order_time), \
         (SELECT max(m.message_time) FROM message m WHERE m.brand_id = q.brand_id \
         AND m.chatroom_id = q.chatroom_id AND m.side = 'MEMBER' AND m.is_evidence \
         AND m.message_time < q.order_time) \
         FROM (SELECT ? AS brand_id, k.* FROM unnest(?, ?) AS k (chatroom_id, order_time)) AS q",
    )
    .bind::<DbText, _>(Sql(brand_id.clone()))
    .bind::<Array<DbUuid>, _>(chatrooms)
    .bind::<Array<DbTime>, _>(times)
}

/// Returns how many messages of each side of `chatrooms` count for an order of that time.
pub(crate) async fn count_before(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatrooms: &[ChatroomId],
    order_time: DateTime<Utc>,
) -> Result<BTreeMap<(ChatroomId, Side), i64>, StoreError> {
    let chatrooms: Vec<Sql<ChatroomId>> = chatrooms.iter().copied().map(Sql).collect();
    let rows: Vec<(Sql<ChatroomId>, Sql<Side>, i64)> = query!(connection, |c| message::table
        .filter(message::brand_id.eq(Sql(brand_id)))
        .filter(message::chatroom_id.eq_any(&chatrooms))
        .filter(message::is_evidence)
        .filter(message::message_time.lt(Sql(order_time)))
        .group_by((message::chatroom_id, message::side))
        .select((message::chatroom_id, message::side, count_star()))
        .load(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|(chatroom_id, side, count)| ((chatroom_id.0, side.0), count))
        .collect())
}
