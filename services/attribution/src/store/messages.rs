//! The table `message`: that messages were sent, and what they prove.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl,
    dsl::{count_star, max, min},
};
use diesel_async::RunQueryDsl;
use domain::{
    evidence::{Evidence, MessageFact, SideEvidence},
    id::{BrandId, ChatroomId, MessageId},
    message::{Side, is_evidence},
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{revision, schema::message};

/// Keeps a message of a chatroom that is known, unless it is known itself.
pub(crate) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    message_id: MessageId,
    fact: MessageFact,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(message::table)
        .values((
            message::brand_id.eq(Sql(brand_id)),
            message::chatroom_id.eq(Sql(chatroom_id)),
            message::message_id.eq(Sql(message_id)),
            message::side.eq(Sql(fact.side)),
            message::kind.eq(Sql(fact.kind)),
            message::origin.eq(Sql(fact.origin)),
            message::is_evidence.eq(is_evidence(fact.kind, fact.origin, fact.side)),
            message::message_time.eq(Sql(fact.message_time)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns what each of `chatrooms` proves for an order placed at `order_time`: the fold of
/// [`Evidence::of`], done where the messages are. A chatroom without evidence is left out.
pub(crate) async fn evidence_before(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatrooms: &[ChatroomId],
    order_time: DateTime<Utc>,
) -> Result<BTreeMap<ChatroomId, Evidence>, StoreError> {
    type Row = (
        Sql<ChatroomId>,
        Sql<Side>,
        i64,
        Option<Sql<DateTime<Utc>>>,
        Option<Sql<DateTime<Utc>>>,
    );
    let chatrooms: Vec<Sql<ChatroomId>> = chatrooms.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| message::table
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
        .await)?;
    let mut found: BTreeMap<ChatroomId, Evidence> = BTreeMap::new();
    for (chatroom_id, side, count, first_time, last_time) in rows {
        let (Some(first_time), Some(last_time)) = (first_time, last_time) else {
            continue;
        };
        let summary = SideEvidence {
            message_count: revision("message count", count)?,
            first_time: first_time.0,
            last_time: last_time.0,
        };
        let evidence = found.entry(chatroom_id.0).or_default();
        match side.0 {
            Side::Visitor => evidence.visitor = Some(summary),
            Side::Member => evidence.member = Some(summary),
            Side::Service => {}
        }
    }
    Ok(found)
}
