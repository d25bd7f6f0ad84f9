//! The table `chatroom`: which Member talks with which account.

use std::collections::BTreeSet;

use diesel::{ExpressionMethods, QueryDsl, sql_types::Array};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, ChatroomId, MemberId};
use kit::{
    db::{Connection, DbText, DbUuid, PgText, Sql, StoreError},
    query,
};

use super::schema::chatroom;

/// A chatroom's participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chatroom {
    pub(crate) chatroom_id: ChatroomId,
    pub(crate) account_id: AccountId,
    pub(crate) member_id: MemberId,
}

/// Keeps those of `chatrooms` that are not known; on PostgreSQL by one statement. Each transaction
/// inserts by id, so that two never wait for each other.
pub(crate) async fn keep_all(
    connection: &mut Connection,
    chatrooms: &BTreeSet<(BrandId, Chatroom)>,
) -> Result<(), StoreError> {
    match connection {
        _ if chatrooms.is_empty() => {}
        Connection::Postgres(c) => {
            insertion(chatrooms).execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for (brand_id, chatroom) in chatrooms {
                diesel::insert_into(chatroom::table)
                    .values((
                        chatroom::brand_id.eq(Sql(brand_id)),
                        chatroom::chatroom_id.eq(Sql(chatroom.chatroom_id)),
                        chatroom::account_id.eq(Sql(chatroom.account_id)),
                        chatroom::member_id.eq(Sql(chatroom.member_id)),
                    ))
                    .on_conflict_do_nothing()
                    .execute(c)
                    .await?;
            }
        }
    }
    Ok(())
}

fn insertion(chatrooms: &BTreeSet<(BrandId, Chatroom)>) -> PgText<'static> {
    let each = || chatrooms.iter().map(|(_, chatroom)| chatroom);
    let brand_ids = chatrooms.iter().map(|(brand_id, _)| Sql(brand_id.clone()));
    PgText::new(
        "INSERT INTO chatroom (brand_id, chatroom_id, account_id, member_id) \
         SELECT * FROM unnest(?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind::<Array<DbText>, _>(brand_ids.collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(each().map(|one| Sql(one.chatroom_id)).collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(each().map(|one| Sql(one.account_id)).collect::<Vec<_>>())
    .bind::<Array<DbUuid>, _>(each().map(|one| Sql(one.member_id)).collect::<Vec<_>>())
}

/// Returns the chatrooms of `accounts`, by id.
pub(crate) async fn list_by_accounts(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<Chatroom>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<(Sql<ChatroomId>, Sql<AccountId>, Sql<MemberId>)> =
        query!(connection, |c| chatroom::table
            .filter(chatroom::brand_id.eq(Sql(brand_id)))
            .filter(chatroom::account_id.eq_any(&accounts))
            .order(chatroom::chatroom_id)
            .select((
                chatroom::chatroom_id,
                chatroom::account_id,
                chatroom::member_id
            ))
            .load(c)
            .await)?;
    Ok(rows
        .into_iter()
        .map(|(chatroom_id, account_id, member_id)| Chatroom {
            chatroom_id: chatroom_id.0,
            account_id: account_id.0,
            member_id: member_id.0,
        })
        .collect())
}
