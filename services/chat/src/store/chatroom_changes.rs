//! The log of what changed for those who follow their chatrooms (SPEC 33): ids and no content.
//!
//! A change is appended in its own transaction, and read in commit order as kit's event log is.

mod reading;

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods,
    sql_types::{Array, BigInt, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, ChatroomId, MemberId},
    message::Side,
};
use kit::db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError};

pub(crate) use self::reading::{BATCH_LENGTH, Row, RowKey, delete_before, list_after, list_last};
use super::{schema::chatroom_change, to_column};
use crate::model::Chatroom;

/// Something that those who watch are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The Brand.
    pub brand_id: BrandId,
    /// What changed.
    pub subject: Subject,
    /// When.
    pub time: DateTime<Utc>,
}

/// What changed; what it is now is read when somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A message that is new, was answered or was erased.
    Message(Ends, u64),
    /// A chatroom that is new, or whose block changed.
    Chatroom(Ends),
    /// What one side alone sees of a chatroom: its marker or archive.
    View(Ends, Side),
    /// Whose chatrooms an account sees, who he is with others, or whether he may write.
    Person(AccountId),
    /// Whether a Member answers.
    Member(MemberId),
}

/// A chatroom and its two participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// Its visitor account.
    pub account_id: AccountId,
    /// Its Member.
    pub member_id: MemberId,
}

impl Change {
    /// Returns the change of a message of `chatroom`.
    pub(crate) fn of_message(
        brand_id: &BrandId,
        chatroom: &Chatroom,
        sequence: u64,
        time: DateTime<Utc>,
    ) -> Self {
        let subject = Subject::Message(Ends::of(chatroom), sequence);
        Self::new(brand_id, subject, time)
    }

    /// Returns the change of a chatroom itself.
    pub(crate) fn of_chatroom(
        brand_id: &BrandId,
        chatroom: &Chatroom,
        time: DateTime<Utc>,
    ) -> Self {
        Self::new(brand_id, Subject::Chatroom(Ends::of(chatroom)), time)
    }

    /// Returns the change of what one side sees of a chatroom.
    pub(crate) fn of_view(
        brand_id: &BrandId,
        chatroom: &Chatroom,
        side: Side,
        time: DateTime<Utc>,
    ) -> Self {
        Self::new(brand_id, Subject::View(Ends::of(chatroom), side), time)
    }

    /// Returns the change of an account's person.
    pub(crate) fn of_person(
        brand_id: &BrandId,
        account_id: AccountId,
        time: DateTime<Utc>,
    ) -> Self {
        Self::new(brand_id, Subject::Person(account_id), time)
    }

    /// Returns the change of a Member.
    pub(crate) fn of_member(brand_id: &BrandId, member_id: MemberId, time: DateTime<Utc>) -> Self {
        Self::new(brand_id, Subject::Member(member_id), time)
    }

    fn new(brand_id: &BrandId, subject: Subject, time: DateTime<Utc>) -> Self {
        Self {
            brand_id: brand_id.clone(),
            subject,
            time,
        }
    }
}

impl Ends {
    /// Returns those of a chatroom.
    pub(crate) fn of(chatroom: &Chatroom) -> Self {
        Self {
            chatroom_id: chatroom.id,
            account_id: chatroom.account_id,
            member_id: chatroom.member_id,
        }
    }
}

impl Subject {
    /// Returns the chatroom that changed; `None` where it is somebody whom many may be about.
    pub(crate) fn ends(&self) -> Option<Ends> {
        match *self {
            Self::Message(ends, _) | Self::Chatroom(ends) | Self::View(ends, _) => Some(ends),
            Self::Person(_) | Self::Member(_) => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Message(..) => "MESSAGE",
            Self::Chatroom(_) => "CHATROOM",
            Self::View(_, Side::Visitor) => "VISITOR_VIEW",
            Self::View(_, Side::Member | Side::Service) => "MEMBER_VIEW",
            Self::Person(_) => "PERSON",
            Self::Member(_) => "MEMBER",
        }
    }

    fn columns(&self) -> Columns {
        let of = |ends: Ends, sequence: Option<u64>| Columns {
            chatroom_id: Some(Sql(ends.chatroom_id)),
            account_id: Some(Sql(ends.account_id)),
            member_id: Some(Sql(ends.member_id)),
            sequence: sequence.map(to_column),
        };
        match *self {
            Self::Message(ends, sequence) => of(ends, Some(sequence)),
            Self::Chatroom(ends) | Self::View(ends, _) => of(ends, None),
            Self::Person(account_id) => Columns {
                account_id: Some(Sql(account_id)),
                ..Default::default()
            },
            Self::Member(member_id) => Columns {
                member_id: Some(Sql(member_id)),
                ..Default::default()
            },
        }
    }
}

/// The columns that say what a subject is.
#[derive(Default)]
struct Columns {
    chatroom_id: Option<Sql<ChatroomId>>,
    account_id: Option<Sql<AccountId>>,
    member_id: Option<Sql<MemberId>>,
    sequence: Option<i64>,
}

/// Appends changes, in the transaction that makes them; on PostgreSQL by one statement.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn append(
    connection: &mut Connection,
    changes: &[Change],
) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    match connection {
        Connection::Postgres(c) => {
            insertion(changes).execute(c).await?;
        }
        Connection::Sqlite(c) => {
            for change in changes {
                let columns = change.subject.columns();
                diesel::insert_into(chatroom_change::table)
                    .values((
                        chatroom_change::brand_id.eq(Sql(&change.brand_id)),
                        chatroom_change::kind.eq(Sql(change.subject.kind())),
                        chatroom_change::chatroom_id.eq(columns.chatroom_id),
                        chatroom_change::account_id.eq(columns.account_id),
                        chatroom_change::member_id.eq(columns.member_id),
                        chatroom_change::sequence.eq(columns.sequence),
                        chatroom_change::change_time.eq(Sql(change.time)),
                    ))
                    .execute(c)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Returns the statement with which [`append`] writes on PostgreSQL, for a caller who sends it along
/// with statements of his own.
pub(super) fn insertion(changes: &[Change]) -> PgText<'static> {
    let columns: Vec<Columns> = changes.iter().map(|one| one.subject.columns()).collect();
    let brand_ids: Vec<_> = changes
        .iter()
        .map(|one| Sql(one.brand_id.clone()))
        .collect();
    let kinds: Vec<_> = changes.iter().map(|one| Sql(one.subject.kind())).collect();
    let chatroom_ids: Vec<_> = columns.iter().map(|one| one.chatroom_id).collect();
    let account_ids: Vec<_> = columns.iter().map(|one| one.account_id).collect();
    let member_ids: Vec<_> = columns.iter().map(|one| one.member_id).collect();
    let sequences: Vec<_> = columns.iter().map(|one| one.sequence).collect();
    let times: Vec<_> = changes.iter().map(|one| Sql(one.time)).collect();
    PgText::new(
        "INSERT INTO chatroom_change \
         (brand_id, kind, chatroom_id, account_id, member_id, sequence, change_time) \
         SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?)",
    )
    .bind::<Array<DbText>, _>(brand_ids)
    .bind::<Array<DbText>, _>(kinds)
    .bind::<Array<Nullable<DbUuid>>, _>(chatroom_ids)
    .bind::<Array<Nullable<DbUuid>>, _>(account_ids)
    .bind::<Array<Nullable<DbUuid>>, _>(member_ids)
    .bind::<Array<Nullable<BigInt>>, _>(sequences)
    .bind::<Array<DbTime>, _>(times)
}
