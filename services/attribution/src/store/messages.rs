//! The table `message`: that messages were sent, and what they prove.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl,
    dsl::{count_star, max, min},
    sql_types::{Array, BigInt, Bool, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::{
    evidence::{Evidence, MessageFact, SideEvidence},
    id::{BrandId, ChatroomId, MessageId},
    message::{Side, is_evidence},
};
use kit::db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError};

use super::{revision, schema::message};

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

/// What one side of a chatroom wrote before an order's time: how often, first and last.
type Row = (
    Sql<ChatroomId>,
    Sql<DateTime<Utc>>,
    Sql<Side>,
    i64,
    Option<Sql<DateTime<Utc>>>,
    Option<Sql<DateTime<Utc>>>,
);

type Columns = (
    DbUuid,
    DbTime,
    DbText,
    BigInt,
    Nullable<DbTime>,
    Nullable<DbTime>,
);

/// Returns what each chatroom proves for an order of the time beside it: the fold of
/// [`Evidence::of`], done where the messages are. Those without evidence are left out.
pub(crate) async fn evidence_before(
    connection: &mut Connection,
    brand_id: &BrandId,
    questions: &BTreeSet<Question>,
) -> Result<BTreeMap<Question, Evidence>, StoreError> {
    let rows: Vec<Row> = match connection {
        _ if questions.is_empty() => Vec::new(),
        Connection::Postgres(c) => asking(brand_id, questions).load(c).await?,
        Connection::Sqlite(c) => {
            let mut rows = Vec::new();
            let mut by_time: BTreeMap<DateTime<Utc>, Vec<Sql<ChatroomId>>> = BTreeMap::new();
            for (chatroom_id, order_time) in questions {
                by_time
                    .entry(*order_time)
                    .or_default()
                    .push(Sql(*chatroom_id));
            }
            for (order_time, chatrooms) in by_time {
                let sides: Vec<(_, _, i64, Option<_>, Option<_>)> = message::table
                    .filter(message::brand_id.eq(Sql(brand_id)))
                    .filter(message::chatroom_id.eq_any(&chatrooms))
                    .filter(message::is_evidence)
                    .filter(message::message_time.lt(Sql(order_time)))
                    .group_by((message::chatroom_id, message::side))
                    .select((
                        message::chatroom_id,
                        message::side,
                        count_star(),
                        min(message::message_time),
                        max(message::message_time),
                    ))
                    .load(c)
                    .await?;
                let sides = sides.into_iter();
                rows.extend(sides.map(|one| (one.0, Sql(order_time), one.1, one.2, one.3, one.4)));
            }
            rows
        }
    };
    let mut found: BTreeMap<Question, Evidence> = BTreeMap::new();
    for (chatroom_id, order_time, side, count, first_time, last_time) in rows {
        let (Some(first_time), Some(last_time)) = (first_time, last_time) else {
            continue;
        };
        let summary = SideEvidence {
            message_count: revision("message count", count)?,
            first_time: first_time.0,
            last_time: last_time.0,
        };
        let evidence = found.entry((chatroom_id.0, order_time.0)).or_default();
        match side.0 {
            Side::Visitor => evidence.visitor = Some(summary),
            Side::Member => evidence.member = Some(summary),
            Side::Service => {}
        }
    }
    Ok(found)
}

fn asking(brand_id: &BrandId, questions: &BTreeSet<Question>) -> PgText<'static, Columns> {
    let chatrooms: Vec<_> = questions.iter().map(|question| Sql(question.0)).collect();
    let times: Vec<_> = questions.iter().map(|question| Sql(question.1)).collect();
    PgText::new(
        "SELECT q.chatroom_id, q.order_time, s.side, s.message_count, s.first_time, s.last_time \
         FROM unnest(?, ?) AS q (chatroom_id, order_time) CROSS JOIN LATERAL ( \
         SELECT m.side, count(*) AS message_count, min(m.message_time) AS first_time, \
         max(m.message_time) AS last_time FROM message m \
         WHERE m.brand_id = ? AND m.chatroom_id = q.chatroom_id AND m.is_evidence \
         AND m.message_time < q.order_time GROUP BY m.side) AS s",
    )
    .bind::<Array<DbUuid>, _>(chatrooms)
    .bind::<Array<DbTime>, _>(times)
    .bind::<DbText, _>(Sql(brand_id.clone()))
}
