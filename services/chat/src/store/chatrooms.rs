//! Chatrooms.

/// All chatrooms, each with its newest message.
macro_rules! rooms_with_last {
    () => {
        chatroom::table.left_join(
            message::table.on(message::brand_id
                .eq(chatroom::brand_id)
                .and(message::chatroom_id.eq(chatroom::chatroom_id))
                .and(message::sequence.eq(chatroom::last_sequence))),
        )
    };
}

mod pages;

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, Queryable,
    Selectable, SelectableHelper,
    dsl::{AsSelect, SqlTypeOf},
    pg::Pg,
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, ChatroomId, MemberId},
    message::{Place, Side},
};
use kit::{
    db::{Connection, LockedDsl, Sql, StoreError},
    query,
};
use uuid::Uuid;

use super::{
    from_column, messages,
    moments::CurrentTransaction,
    schema::{chatroom, message},
    to_column,
};
use crate::model::{Chatroom, Message, ReadMarker};

pub(crate) use pages::{List, Listed, Owner, list_empty, list_moved, list_written};

/// A chatroom, and its newest message as of the same instant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WithLast {
    /// The chatroom.
    pub chatroom: Chatroom,
    /// Its newest message.
    pub last_message: Option<Message>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = chatroom)]
pub(super) struct Row {
    chatroom_id: Sql<ChatroomId>,
    account_id: Sql<AccountId>,
    member_id: Sql<MemberId>,
    create_time: Sql<DateTime<Utc>>,
    last_sequence: i64,
    last_message_time: Option<Sql<DateTime<Utc>>>,
    visitor_first_time: Option<Sql<DateTime<Utc>>>,
    member_first_time: Option<Sql<DateTime<Utc>>>,
    visitor_read_sequence: i64,
    visitor_unread_count: i64,
    member_read_sequence: i64,
    member_unread_count: i64,
    visitor_archived: bool,
    member_archived: bool,
    visitor_blocked: bool,
    visitor_erased: bool,
}

/// The SQL types of a [`Row`].
pub(super) type Columns = SqlTypeOf<AsSelect<Row, Pg>>;

type RowWithLast = (Row, Option<messages::Row>);

impl TryFrom<Row> for Chatroom {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let last_sequence = from_column("chatroom.last_sequence", row.last_sequence)?;
        Ok(Self {
            id: row.chatroom_id.0,
            account_id: row.account_id.0,
            member_id: row.member_id.0,
            create_time: row.create_time.0,
            last: row.last_message_time.map(|time| Place {
                sequence: last_sequence,
                message_time: time.0,
            }),
            visitor_first_time: row.visitor_first_time.map(|time| time.0),
            member_first_time: row.member_first_time.map(|time| time.0),
            visitor_marker: marker(row.visitor_read_sequence, row.visitor_unread_count)?,
            member_marker: marker(row.member_read_sequence, row.member_unread_count)?,
            visitor_archived: row.visitor_archived,
            member_archived: row.member_archived,
            visitor_blocked: row.visitor_blocked,
            visitor_erased: row.visitor_erased,
        })
    }
}

fn marker(sequence: i64, unread_count: i64) -> Result<ReadMarker, StoreError> {
    Ok(ReadMarker {
        sequence: from_column("chatroom.read_sequence", sequence)?,
        unread_count: from_column("chatroom.unread_count", unread_count)?,
    })
}

fn with_last((chatroom, last): RowWithLast) -> Result<WithLast, StoreError> {
    Ok(WithLast {
        chatroom: chatroom.try_into()?,
        last_message: last.map(Message::try_from).transpose()?,
    })
}

/// Returns a chatroom with its newest message.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: ChatroomId,
) -> Result<Option<WithLast>, StoreError> {
    let row: Option<RowWithLast> = query!(connection, |c| rooms_with_last!()
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::chatroom_id.eq(Sql(id)))
        .select((Row::as_select(), Option::<messages::Row>::as_select()))
        .first(c)
        .await
        .optional())?;
    row.map(with_last).transpose()
}

/// Returns some chatrooms with their newest messages, in no order.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[ChatroomId],
) -> Result<Vec<WithLast>, StoreError> {
    let ids: Vec<Sql<ChatroomId>> = ids.iter().copied().map(Sql).collect();
    let rows: Vec<RowWithLast> = query!(connection, |c| rooms_with_last!()
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::chatroom_id.eq_any(&ids))
        .select((Row::as_select(), Option::<messages::Row>::as_select()))
        .load(c)
        .await)?;
    rows.into_iter().map(with_last).collect()
}

/// Returns a chatroom, and keeps others from changing it until the transaction ends.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn lock(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: ChatroomId,
) -> Result<Option<Chatroom>, StoreError> {
    let row: Option<Row> = query!(connection, |c| chatroom::table
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::chatroom_id.eq(Sql(id)))
        .select(Row::as_select())
        .locked()
        .get_result(c)
        .await
        .optional())?;
    row.map(Chatroom::try_from).transpose()
}

/// Returns all chatrooms of some visitor accounts.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_by_accounts(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<Chatroom>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| chatroom::table
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::account_id.eq_any(&accounts))
        .select(Row::as_select())
        .load(c)
        .await)?;
    rows.into_iter().map(Chatroom::try_from).collect()
}

/// Returns the chatroom of a visitor account with the smallest id above `told`, if there is one.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn find_after(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    told: Option<ChatroomId>,
) -> Result<Option<Chatroom>, StoreError> {
    let told = told.unwrap_or(ChatroomId::new(Uuid::nil()));
    let row: Option<Row> = query!(connection, |c| chatroom::table
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::account_id.eq(Sql(account_id)))
        .filter(chatroom::chatroom_id.gt(Sql(told)))
        .order(chatroom::chatroom_id)
        .select(Row::as_select())
        .first(c)
        .await
        .optional())?;
    row.map(Chatroom::try_from).transpose()
}

/// Returns `limit` chatrooms of a Member, in no order.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_by_member(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
    limit: i64,
) -> Result<Vec<Chatroom>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| chatroom::table
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::member_id.eq(Sql(member_id)))
        .limit(limit)
        .select(Row::as_select())
        .load(c)
        .await)?;
    rows.into_iter().map(Chatroom::try_from).collect()
}

/// Returns the chatrooms of some visitor accounts with one Member.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_by_pair(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
    member_id: MemberId,
) -> Result<Vec<Chatroom>, StoreError> {
    // Asked for by both, a planner without statistics may go through all chatrooms of the Member, and
    // then whoever opens one with him conflicts.
    let mut rooms = list_by_accounts(connection, brand_id, accounts).await?;
    rooms.retain(|room| room.member_id == member_id);
    Ok(rooms)
}

/// Inserts a chatroom in which nothing has been said.
///
/// # Errors
///
/// [`StoreError::Conflict`] when another transaction has just opened one for the same pair.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    new: &Chatroom,
) -> Result<(), StoreError> {
    // Two that open the same chatroom at once meet at the constraint `chatroom_pair`; with
    // `DO NOTHING` PostgreSQL reports that as a conflict of the serializable transaction, which is
    // run again and then finds the chatroom.
    query!(connection, |c| diesel::insert_into(chatroom::table)
        .values((
            chatroom::brand_id.eq(Sql(brand_id)),
            chatroom::chatroom_id.eq(Sql(new.id)),
            chatroom::account_id.eq(Sql(new.account_id)),
            chatroom::member_id.eq(Sql(new.member_id)),
            chatroom::create_time.eq(Sql(new.create_time)),
            chatroom::transaction_id.eq(CurrentTransaction),
            chatroom::last_transaction_id.eq(CurrentTransaction),
        ))
        .on_conflict((
            chatroom::brand_id,
            chatroom::account_id,
            chatroom::member_id
        ))
        .do_nothing()
        .execute(c)
        .await)?;
    Ok(())
}

/// Moves a chatroom behind its newest message, which `after` is the chatroom with.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatroom.
pub(super) async fn update_last(
    connection: &mut Connection,
    brand_id: &BrandId,
    after: &Chatroom,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        chatroom::table.find((Sql(brand_id), Sql(after.id)))
    )
    .set((
        chatroom::last_sequence.eq(to_column(after.last_sequence())),
        chatroom::last_message_time.eq(after.last.map(|last| Sql(last.message_time))),
        chatroom::last_transaction_id.eq(CurrentTransaction),
        chatroom::visitor_first_time.eq(after.visitor_first_time.map(Sql)),
        chatroom::member_first_time.eq(after.member_first_time.map(Sql)),
        chatroom::visitor_unread_count.eq(to_column(after.visitor_marker.unread_count)),
        chatroom::member_unread_count.eq(to_column(after.member_marker.unread_count)),
    ))
    .execute(c)
    .await)?;
    Ok(())
}

/// Sets how far a side has read; a service has no marker.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatroom.
pub(crate) async fn update_marker(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: ChatroomId,
    side: Side,
    marker: ReadMarker,
) -> Result<(), StoreError> {
    let (sequence, unread) = (to_column(marker.sequence), to_column(marker.unread_count));
    let row = || chatroom::table.find((Sql(brand_id), Sql(id)));
    match side {
        Side::Visitor => query!(connection, |c| diesel::update(row())
            .set((
                chatroom::visitor_read_sequence.eq(sequence),
                chatroom::visitor_unread_count.eq(unread),
            ))
            .execute(c)
            .await)?,
        Side::Member => query!(connection, |c| diesel::update(row())
            .set((
                chatroom::member_read_sequence.eq(sequence),
                chatroom::member_unread_count.eq(unread),
            ))
            .execute(c)
            .await)?,
        Side::Service => 0,
    };
    Ok(())
}

/// Sets whether a side has archived a chatroom; a service has no archive.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatroom.
pub(crate) async fn update_archived(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: ChatroomId,
    side: Side,
    archived: bool,
) -> Result<(), StoreError> {
    let row = || chatroom::table.find((Sql(brand_id), Sql(id)));
    match side {
        Side::Visitor => query!(connection, |c| diesel::update(row())
            .set(chatroom::visitor_archived.eq(archived))
            .execute(c)
            .await)?,
        Side::Member => query!(connection, |c| diesel::update(row())
            .set(chatroom::member_archived.eq(archived))
            .execute(c)
            .await)?,
        Side::Service => 0,
    };
    Ok(())
}

/// Sets whether the visitor's side has blocked the Member in a chatroom.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatroom.
pub(crate) async fn update_visitor_blocked(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: ChatroomId,
    blocked: bool,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        chatroom::table.find((Sql(brand_id), Sql(id)))
    )
    .set(chatroom::visitor_blocked.eq(blocked))
    .execute(c)
    .await)?;
    Ok(())
}

/// Says of the chatrooms of an account that it is erased.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn update_visitor_erased(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(chatroom::table)
        .filter(chatroom::brand_id.eq(Sql(brand_id)))
        .filter(chatroom::account_id.eq(Sql(account_id)))
        .set(chatroom::visitor_erased.eq(true))
        .execute(c)
        .await)?;
    Ok(())
}
