//! What Members have said about blocking visitors' accounts, as far as it bears on chatrooms.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, QueryDsl,
    dsl::exists,
    select,
    sql_types::{Array, Nullable},
    upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::{
    block::AccountBlock,
    id::{AccountId, BrandId, ChatroomId, MemberId},
};
use kit::{
    db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError},
    directory::links,
    query,
};

use super::{appending::Key, schema::member_block};
use crate::model::Chatroom;

/// What the Members of chatrooms have said about the persons in them; a chatroom of whose person
/// nothing was said is left out.
pub(crate) type Blocks = BTreeMap<Key, Vec<AccountBlock>>;

type Time = Option<Sql<DateTime<Utc>>>;

/// A chatroom, and what its Member has said about one account of the person.
type Row = (Sql<BrandId>, Sql<ChatroomId>, Time, Time, Time);

type Columns = (
    DbText,
    DbUuid,
    Nullable<DbTime>,
    Nullable<DbTime>,
    Nullable<DbTime>,
);

/// Returns what has been said about the persons in some chatrooms, through links of both scopes.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list(
    connection: &mut Connection,
    rooms: &[(&BrandId, &Chatroom)],
) -> Result<Blocks, StoreError> {
    if let Connection::Postgres(c) = connection {
        let keys = rooms.iter().map(|(brand_id, room)| (*brand_id, room.id));
        return Ok(gather(listing(keys).load(c).await?));
    }
    let mut blocks = Blocks::new();
    for (brand_id, room) in rooms {
        let said = list_of_one(connection, brand_id, room).await?;
        if !said.is_empty() {
            blocks.insert(((*brand_id).clone(), room.id), said);
        }
    }
    Ok(blocks)
}

/// Few Members ever block anybody, so that is looked at first; `OFFSET` and `LIMIT` keep the planner
/// from reading all blocks of those who do.
fn listing<'a>(rooms: impl Iterator<Item = (&'a BrandId, ChatroomId)>) -> PgText<'static, Columns> {
    let (brand_ids, ids): (Vec<_>, Vec<_>) = rooms
        .map(|(brand_id, id)| (Sql(brand_id.clone()), Sql(id)))
        .unzip();
    PgText::new(
        "SELECT c.brand_id, c.chatroom_id, s.link_time, b.block_time, b.unblock_time \
         FROM (SELECT c.brand_id, c.chatroom_id, c.account_id, c.member_id \
         FROM unnest(?, ?) AS k (brand_id, chatroom_id) \
         JOIN chatroom c ON c.brand_id = k.brand_id AND c.chatroom_id = k.chatroom_id \
         WHERE EXISTS (SELECT FROM member_block h WHERE h.brand_id = c.brand_id \
         AND h.member_id = c.member_id) OFFSET 0) c \
         LEFT JOIN link o ON o.brand_id = c.brand_id AND o.temporary_account_id = c.account_id \
         AND o.revoke_time IS NULL \
         CROSS JOIN LATERAL (SELECT coalesce(o.client_account_id, c.account_id) AS account_id, \
         NULL::timestamptz AS link_time \
         UNION ALL SELECT t.temporary_account_id, t.link_time FROM link t \
         WHERE t.brand_id = c.brand_id AND t.revoke_time IS NULL \
         AND t.client_account_id = coalesce(o.client_account_id, c.account_id)) s \
         CROSS JOIN LATERAL (SELECT f.block_time, f.unblock_time FROM member_block f \
         WHERE f.brand_id = c.brand_id AND f.member_id = c.member_id \
         AND f.account_id = s.account_id LIMIT 1) b",
    )
    .bind::<Array<DbText>, _>(brand_ids)
    .bind::<Array<DbUuid>, _>(ids)
}

fn gather(rows: Vec<Row>) -> Blocks {
    let mut blocks = Blocks::new();
    for (brand_id, chatroom_id, link_time, block_time, unblock_time) in rows {
        let said = account_block(link_time.map(|time| time.0), (block_time, unblock_time));
        let key = (brand_id.0, chatroom_id.0);
        blocks.entry(key).or_default().push(said);
    }
    blocks
}

async fn list_of_one(
    connection: &mut Connection,
    brand_id: &BrandId,
    room: &Chatroom,
) -> Result<Vec<AccountBlock>, StoreError> {
    let of_member = || {
        member_block::table
            .filter(member_block::brand_id.eq(Sql(brand_id)))
            .filter(member_block::member_id.eq(Sql(room.member_id)))
    };
    let has_blocked: bool = query!(&mut *connection, |c| select(exists(of_member()))
        .get_result(c)
        .await)?;
    if !has_blocked {
        return Ok(Vec::new());
    }
    let links = links::around(connection, brand_id, room.account_id).await?;
    let person = links.person_of(room.account_id);
    let accounts: Vec<Sql<AccountId>> = person.accounts.iter().copied().map(Sql).collect();
    let rows: Vec<(Sql<AccountId>, Time, Time)> = query!(connection, |c| of_member()
        .filter(member_block::account_id.eq_any(&accounts))
        .select((
            member_block::account_id,
            member_block::block_time,
            member_block::unblock_time,
        ))
        .load(c)
        .await)?;
    let said = |(account_id, block_time, unblock_time): (Sql<AccountId>, Time, Time)| {
        let link = links.active_of(account_id.0);
        account_block(link.map(|link| link.link_time), (block_time, unblock_time))
    };
    Ok(rows.into_iter().map(said).collect())
}

fn account_block(
    link_time: Option<DateTime<Utc>>,
    (block_time, unblock_time): (Time, Time),
) -> AccountBlock {
    AccountBlock {
        link_time,
        block_time: block_time.map(|time| time.0),
        unblock_time: unblock_time.map(|time| time.0),
    }
}

/// Keeps what a Member says about an account, at a time later than whatever he has said before.
///
/// # Errors
///
/// What the database fails with; the caller has locked their chatroom.
pub(crate) async fn upsert(
    connection: &mut Connection,
    brand_id: &BrandId,
    (member_id, account_id): (MemberId, AccountId),
    blocked: bool,
    time: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = (
        member_block::brand_id.eq(Sql(brand_id)),
        member_block::member_id.eq(Sql(member_id)),
        member_block::account_id.eq(Sql(account_id)),
    );
    let place = (
        member_block::brand_id,
        member_block::member_id,
        member_block::account_id,
    );
    let time = Some(Sql(time));
    if blocked {
        query!(connection, |c| diesel::insert_into(member_block::table)
            .values((row, member_block::block_time.eq(time)))
            .on_conflict(place)
            .do_update()
            .set(member_block::block_time.eq(excluded(member_block::block_time)))
            .execute(c)
            .await)?;
    } else {
        query!(connection, |c| diesel::insert_into(member_block::table)
            .values((row, member_block::unblock_time.eq(time)))
            .on_conflict(place)
            .do_update()
            .set(member_block::unblock_time.eq(excluded(member_block::unblock_time)))
            .execute(c)
            .await)?;
    }
    Ok(())
}
