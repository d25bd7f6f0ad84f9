//! Reading the log of changes, in commit order and without skipping a row that commits late: see
//! kit's event log, whose incarnation and order these are.

use std::sync::LazyLock;

use diesel::{
    Queryable, QueryableByName,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, ChatroomId, MemberId},
    message::Side,
};
use kit::{
    db::{Connection, DbText, DbUuid, PgText, Sql, StoreError},
    event_log::{POSTGRES_INCARNATION, SQLITE_INCARNATION},
};

use super::{Ends, Subject};
use crate::store::from_column;

/// The most rows that are read at a time.
pub(crate) const BATCH_LENGTH: usize = 256;

/// Where a row stands; the order is the order of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    /// The number of the transaction on PostgreSQL; 0 on SQLite.
    pub transaction: i64,
    /// The number of the row.
    pub row: i64,
}

impl RowKey {
    /// Returns a place behind all rows before this one.
    pub(crate) fn before(self) -> Self {
        Self {
            row: self.row - 1,
            ..self
        }
    }
}

/// A change in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where it stands.
    pub key: RowKey,
    /// The Brand.
    pub brand_id: BrandId,
    /// What changed.
    pub subject: Subject,
}

impl Row {
    /// Returns whether many chatrooms may be concerned.
    pub(crate) fn is_wide(&self) -> bool {
        self.subject.ends().is_none()
    }
}

#[derive(Queryable, QueryableByName)]
struct Columns {
    #[diesel(sql_type = Text)]
    incarnation: String,
    #[diesel(sql_type = BigInt)]
    transaction: i64,
    #[diesel(sql_type = BigInt)]
    row_number: i64,
    #[diesel(sql_type = DbText)]
    brand_id: Sql<BrandId>,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<DbUuid>)]
    chatroom_id: Option<Sql<ChatroomId>>,
    #[diesel(sql_type = Nullable<DbUuid>)]
    account_id: Option<Sql<AccountId>>,
    #[diesel(sql_type = Nullable<DbUuid>)]
    member_id: Option<Sql<MemberId>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    sequence: Option<i64>,
}

type Types = (
    Text,
    BigInt,
    BigInt,
    DbText,
    Text,
    Nullable<DbUuid>,
    Nullable<DbUuid>,
    Nullable<DbUuid>,
    Nullable<BigInt>,
);

impl TryFrom<Columns> for Row {
    type Error = StoreError;

    fn try_from(row: Columns) -> Result<Self, StoreError> {
        let ids = (row.chatroom_id, row.account_id, row.member_id);
        let subject = match (row.kind.as_str(), ids, row.sequence) {
            ("MESSAGE", (Some(chatroom), Some(account), Some(member)), Some(sequence)) => {
                let sequence = from_column("chatroom_change.sequence", sequence)?;
                Subject::Message(ends(chatroom, account, member), sequence)
            }
            ("CHATROOM", (Some(chatroom), Some(account), Some(member)), None) => {
                Subject::Chatroom(ends(chatroom, account, member))
            }
            ("VISITOR_VIEW", (Some(chatroom), Some(account), Some(member)), None) => {
                Subject::View(ends(chatroom, account, member), Side::Visitor)
            }
            ("MEMBER_VIEW", (Some(chatroom), Some(account), Some(member)), None) => {
                Subject::View(ends(chatroom, account, member), Side::Member)
            }
            ("PERSON", (None, Some(account), None), None) => Subject::Person(account.0),
            ("MEMBER", (None, None, Some(member)), None) => Subject::Member(member.0),
            _ => {
                let what = "chatroom_change.kind";
                return Err(StoreError::Corrupt { what });
            }
        };
        Ok(Self {
            key: RowKey {
                transaction: row.transaction,
                row: row.row_number,
            },
            brand_id: row.brand_id.0,
            subject,
        })
    }
}

fn ends(
    chatroom_id: Sql<ChatroomId>,
    account_id: Sql<AccountId>,
    member_id: Sql<MemberId>,
) -> Ends {
    Ends {
        chatroom_id: chatroom_id.0,
        account_id: account_id.0,
        member_id: member_id.0,
    }
}

static POSTGRES_AFTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {POSTGRES_INCARNATION}, transaction_id::text::bigint, row_number, brand_id, kind, \
         chatroom_id, account_id, member_id, sequence FROM chatroom_change \
         WHERE (transaction_id, row_number) > (?::xid8, ?) \
         AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
         ORDER BY chatroom_change.transaction_id, row_number LIMIT {BATCH_LENGTH}"
    )
});

/// Returns the first rows behind a place, 256 at most.
///
/// # Errors
///
/// [`StoreError::Unavailable`] when the database is another than the one whose places are known, by
/// its `incarnation`; what the database fails with.
pub(crate) async fn list_after(
    connection: &mut Connection,
    incarnation: &str,
    key: RowKey,
) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<Columns> = match connection {
        Connection::Postgres(c) => {
            PgText::<Types>::new(&POSTGRES_AFTER)
                .bind::<Text, _>(key.transaction.max(0).to_string())
                .bind::<BigInt, _>(key.row)
                .load(c)
                .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(format!(
                "SELECT {SQLITE_INCARNATION} AS incarnation, 0 AS \"transaction\", row_number, \
                 brand_id, kind, chatroom_id, account_id, member_id, sequence FROM chatroom_change \
                 WHERE row_number > ? ORDER BY row_number LIMIT {BATCH_LENGTH}",
            ))
            .bind::<BigInt, _>(key.row)
            .load(c)
            .await?
        }
    };
    if rows.iter().any(|row| row.incarnation != incarnation) {
        let cause = "the log of changes has become another one";
        return Err(StoreError::Unavailable(cause.into()));
    }
    rows.into_iter().map(Row::try_from).collect()
}

/// Returns the last rows, `limit` at most, in their order.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_last(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<Columns> = match connection {
        Connection::Postgres(c) => diesel::sql_query(
            "SELECT '' AS incarnation, transaction_id::text::bigint AS transaction, row_number, \
                 brand_id, kind, chatroom_id, account_id, member_id, sequence FROM chatroom_change \
                 WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
                 ORDER BY transaction_id DESC, row_number DESC LIMIT $1",
        )
        .bind::<BigInt, _>(limit)
        .load(c)
        .await?,
        Connection::Sqlite(c) => {
            diesel::sql_query(
                "SELECT '' AS incarnation, 0 AS \"transaction\", row_number, \
                 brand_id, kind, chatroom_id, account_id, member_id, sequence FROM chatroom_change \
                 ORDER BY row_number DESC LIMIT ?",
            )
            .bind::<BigInt, _>(limit)
            .load(c)
            .await?
        }
    };
    rows.into_iter().rev().map(Row::try_from).collect()
}

/// Deletes rows before a place, the first `limit` of the log at most, and returns how many.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn delete_before(
    connection: &mut Connection,
    key: RowKey,
    limit: i64,
) -> Result<usize, StoreError> {
    let deleted = match connection {
        Connection::Postgres(c) => {
            diesel::sql_query(
                "DELETE FROM chatroom_change WHERE (transaction_id, row_number) IN \
                 (SELECT transaction_id, row_number FROM chatroom_change \
                 WHERE (transaction_id, row_number) < ($1::xid8, $2) \
                 ORDER BY transaction_id, row_number LIMIT $3)",
            )
            .bind::<Text, _>(key.transaction.max(0).to_string())
            .bind::<BigInt, _>(key.row)
            .bind::<BigInt, _>(limit)
            .execute(c)
            .await?
        }
        Connection::Sqlite(c) => {
            diesel::sql_query(
                "DELETE FROM chatroom_change WHERE row_number IN \
                 (SELECT row_number FROM chatroom_change WHERE row_number < ? \
                 ORDER BY row_number LIMIT ?)",
            )
            .bind::<BigInt, _>(key.row)
            .bind::<BigInt, _>(limit)
            .execute(c)
            .await?
        }
    };
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use kit::testing::{TestDatabase, TestEngine, assert_rows_come_in_order};

    use super::*;

    #[tokio::test]
    async fn a_reader_far_behind_reads_no_more_than_a_batch() {
        let database = TestDatabase::create(TestEngine::Postgres).await;
        database.open(crate::migrations()).await;
        assert_rows_come_in_order(&database.url, &POSTGRES_AFTER);
    }
}
