//! Chatrooms as they are at the moment, for whoever does not remember them.

use std::collections::BTreeMap;

use diesel::sql_types::{Array, BigInt, Bool, Nullable};
use diesel_async::RunQueryDsl;
use domain::id::BrandId;
use kit::{
    consistency::ConsistencyToken,
    db::{Db, DbText, DbUuid, PgText, Sql, StoreError},
};

use super::{super::chatrooms, Key};
use crate::model::Chatroom;

/// A chatroom, and whether the account that is needed with it is known, with all of its links (SPEC 54).
pub(crate) type Look = (Chatroom, bool);

/// Reads chatrooms, which anybody may change, each with what somebody needs to be known with it; `None` on
/// SQLite.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn look(
    db: &Db,
    needed: &BTreeMap<Key, Option<ConsistencyToken>>,
) -> Option<Result<BTreeMap<Key, Look>, StoreError>> {
    let rows = db.read_statement("look_at_chatrooms", needed, |connection, needed| {
        Box::pin(async move {
            let rows: Vec<LookRow> = looking(needed).load(connection).await?;
            Ok(rows)
        })
    });
    let look = |(brand_id, row, is_known): LookRow| {
        let room = Chatroom::try_from(row)?;
        Ok(((brand_id.0, room.id), (room, is_known)))
    };
    Some(
        rows.await?
            .and_then(|rows| rows.into_iter().map(look).collect()),
    )
}

type LookRow = (Sql<BrandId>, chatrooms::Row, bool);

fn looking(
    needed: &BTreeMap<Key, Option<ConsistencyToken>>,
) -> PgText<'static, (DbText, chatrooms::Columns, Bool)> {
    let brand_ids: Vec<_> = needed.keys().map(|key| Sql(key.0.clone())).collect();
    let ids: Vec<_> = needed.keys().map(|key| Sql(key.1)).collect();
    let account_ids = needed
        .values()
        .map(|needed| needed.map(|needed| Sql(needed.account_id)));
    let account_ids: Vec<_> = account_ids.collect();
    let revisions = needed
        .values()
        .map(|needed| needed.map_or(0, |needed| needed.link_revision));
    let revisions: Vec<_> = revisions.collect();
    PgText::new(chatrooms_text!(
        ", n.account_id IS NOT NULL AND coalesce(p.link_revision, 0) >= k.link_revision \
         FROM unnest(?, ?, ?, ?) AS k (brand_id, chatroom_id, needed_id, link_revision) \
         JOIN chatroom c ON c.brand_id = k.brand_id AND c.chatroom_id = k.chatroom_id \
         LEFT JOIN account n ON n.brand_id = k.brand_id AND n.account_id = k.needed_id \
         LEFT JOIN person p ON p.brand_id = k.brand_id AND p.client_account_id = k.needed_id"
    ))
    .bind::<Array<DbText>, _>(brand_ids)
    .bind::<Array<DbUuid>, _>(ids)
    .bind::<Array<Nullable<DbUuid>>, _>(account_ids)
    .bind::<Array<BigInt>, _>(revisions)
}
