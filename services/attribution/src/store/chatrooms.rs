//! The table `chatroom`: which Member talks with which account.

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{AccountId, BrandId, ChatroomId, MemberId};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::schema::chatroom;

/// A chatroom's participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chatroom {
    pub(crate) chatroom_id: ChatroomId,
    pub(crate) account_id: AccountId,
    pub(crate) member_id: MemberId,
}

/// Keeps a chatroom, unless it is known.
pub(crate) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom: Chatroom,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(chatroom::table)
        .values((
            chatroom::brand_id.eq(Sql(brand_id)),
            chatroom::chatroom_id.eq(Sql(chatroom.chatroom_id)),
            chatroom::account_id.eq(Sql(chatroom.account_id)),
            chatroom::member_id.eq(Sql(chatroom.member_id)),
        ))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    Ok(())
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
