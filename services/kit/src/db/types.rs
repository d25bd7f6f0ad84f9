//! SQL types that both engines know, and how the words of `domain` map to them.

use std::{
    error::Error,
    fmt::{Debug, Display},
    io::Write,
    str::FromStr,
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{self, SqlType},
    sqlite::{Sqlite, SqliteValue},
};
use uuid::Uuid;

/// `uuid` on PostgreSQL, a BLOB of 16 bytes on SQLite.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(
    postgres_type(oid = 2950, array_oid = 2951),
    sqlite_type(name = "Binary")
)]
pub struct DbUuid;

/// `timestamptz` on PostgreSQL, INTEGER microseconds since 1970 on SQLite.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(
    postgres_type(oid = 1184, array_oid = 1185),
    sqlite_type(name = "Long")
)]
pub struct DbTime;

/// `text` that holds a string id of `domain`.
#[derive(Clone, Copy, Debug, QueryId, SqlType)]
#[diesel(postgres_type(oid = 25, array_oid = 1009), sqlite_type(name = "Text"))]
pub struct DbText;

impl sql_types::SqlOrd for DbUuid {}
impl sql_types::SqlOrd for DbTime {}
impl sql_types::SqlOrd for DbText {}

/// A word of `domain` on its way to or from a column: an id as [`DbUuid`], an instant as [`DbTime`],
/// and whatever has one spelling as text, such as a Brand's id or a label, as [`DbText`].
///
/// It exists because `domain` knows no database, and Rust lets nobody else teach its types one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbUuid)]
#[diesel(sql_type = DbTime)]
#[diesel(sql_type = DbText)]
pub struct Sql<T: Debug>(pub T);

impl<T: Debug + Copy + Into<Uuid>> ToSql<DbUuid, Pg> for Sql<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.into().as_bytes())?;
        Ok(IsNull::No)
    }
}

impl<T: Debug + Copy + Into<Uuid>> ToSql<DbUuid, Sqlite> for Sql<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.into().as_bytes().to_vec());
        Ok(IsNull::No)
    }
}

impl<T: Debug + From<Uuid>> FromSql<DbUuid, Pg> for Sql<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.as_bytes())?.into()))
    }
}

impl<T: Debug + From<Uuid>> FromSql<DbUuid, Sqlite> for Sql<T> {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<sql_types::Binary, Sqlite>>::from_sql(value)?;
        Ok(Self(Uuid::from_slice(&bytes)?.into()))
    }
}

impl<T: Debug + Display> ToSql<DbText, Pg> for Sql<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write!(out, "{}", self.0)?;
        Ok(IsNull::No)
    }
}

impl<T: Debug + Display> ToSql<DbText, Sqlite> for Sql<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.to_string());
        Ok(IsNull::No)
    }
}

impl<T: Debug + FromStr<Err: Error + Send + Sync + 'static>> FromSql<DbText, Pg> for Sql<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(std::str::from_utf8(value.as_bytes())?.parse()?))
    }
}

impl<T: Debug + FromStr<Err: Error + Send + Sync + 'static>> FromSql<DbText, Sqlite> for Sql<T> {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<sql_types::Text, Sqlite>>::from_sql(value)?;
        Ok(Self(text.parse()?))
    }
}

impl ToSql<DbTime, Pg> for Sql<DateTime<Utc>> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <DateTime<Utc> as ToSql<sql_types::Timestamptz, Pg>>::to_sql(&self.0, &mut out.reborrow())
    }
}

impl ToSql<DbTime, Sqlite> for Sql<DateTime<Utc>> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.timestamp_micros());
        Ok(IsNull::No)
    }
}

impl FromSql<DbTime, Pg> for Sql<DateTime<Utc>> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <DateTime<Utc> as FromSql<sql_types::Timestamptz, Pg>>::from_sql(value).map(Self)
    }
}

impl FromSql<DbTime, Sqlite> for Sql<DateTime<Utc>> {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<sql_types::BigInt, Sqlite>>::from_sql(value)?;
        let instant = DateTime::from_timestamp_micros(micros);
        instant
            .map(Self)
            .ok_or_else(|| "instant out of range".into())
    }
}

/// A query whose rows are locked until the transaction ends: `FOR UPDATE` on PostgreSQL; nothing on
/// SQLite, whose one writer excludes all others.
#[derive(Clone, Copy, Debug)]
pub struct Locked<Q>(Q);

/// Gives every query the method [`locked`](LockedDsl::locked).
pub trait LockedDsl: Sized {
    /// Locks the rows of the query against other writers.
    fn locked(self) -> Locked<Self> {
        Locked(self)
    }
}

impl<Q: Query> LockedDsl for Q {}

impl<Q: Query> Query for Locked<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryId> QueryId for Locked<Q> {
    type QueryId = Locked<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Locked<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE");
        Ok(())
    }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Locked<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}
