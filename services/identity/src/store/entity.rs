//! How a plain struct becomes the row of a table.

use chrono::{DateTime, Utc};
use domain::{
    email::Provenance,
    id::{
        AccountId, BrandId, CustomerId, ErasureId, KeyId, LinkId, MemberId, RequestId, SessionId,
    },
    merge_policy::{OnExistingClient, OnNewClient},
    person::LinkScope,
    session::SessionEnd,
    sign_in::{MergeCase, OutcomeKind},
};
use kit::db::Sql;
use uuid::Uuid;

use crate::model::{
    AccountKind, AccountState, AssertionKeyKind, BrandState, List, MemberState, SessionKind,
    TokenAlgorithm,
};

/// A type that a column can hold, and what diesel sees of it.
pub(super) trait Column {
    /// What diesel reads and writes.
    type Stored;

    fn store(&self) -> Self::Stored;
    fn restore(stored: Self::Stored) -> Self;
}

impl<T: Column> Column for Option<T> {
    type Stored = Option<T::Stored>;

    fn store(&self) -> Self::Stored {
        self.as_ref().map(T::store)
    }

    fn restore(stored: Self::Stored) -> Self {
        stored.map(T::restore)
    }
}

macro_rules! plain_columns {
    ($($type:ty),+ $(,)?) => {$(
        impl Column for $type {
            type Stored = $type;

            fn store(&self) -> $type {
                self.clone()
            }

            fn restore(stored: $type) -> Self {
                stored
            }
        }
    )+};
}

macro_rules! word_columns {
    ($($type:ty),+ $(,)?) => {$(
        impl Column for $type {
            type Stored = Sql<$type>;

            fn store(&self) -> Sql<$type> {
                Sql(self.clone())
            }

            fn restore(stored: Sql<$type>) -> Self {
                stored.0
            }
        }
    )+};
}

plain_columns!(bool, i64, String, Vec<u8>);
word_columns!(
    AccountId,
    AccountKind,
    AccountState,
    AssertionKeyKind,
    BrandId,
    BrandState,
    CustomerId,
    DateTime<Utc>,
    ErasureId,
    KeyId,
    LinkId,
    LinkScope,
    List<String>,
    List<TokenAlgorithm>,
    MemberId,
    MemberState,
    MergeCase,
    OnExistingClient,
    OnNewClient,
    OutcomeKind,
    Provenance,
    RequestId,
    SessionEnd,
    SessionId,
    SessionKind,
    Uuid,
);

/// Defines the row of a table for a struct that has a field for each column, in the table's order.
macro_rules! row {
    ($row:ident of $entity:ty as $table:ident ($($key:ident),+) { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(diesel::AsChangeset, diesel::Insertable, diesel::Queryable)]
        #[diesel(table_name = $table, primary_key($($key),+))]
        struct $row {
            $($field: <$type as $crate::store::entity::Column>::Stored,)+
        }

        impl From<&$entity> for $row {
            fn from(entity: &$entity) -> Self {
                Self { $($field: $crate::store::entity::Column::store(&entity.$field),)+ }
            }
        }

        impl From<$row> for $entity {
            fn from(row: $row) -> Self {
                Self { $($field: $crate::store::entity::Column::restore(row.$field),)+ }
            }
        }
    };
}

pub(super) use row;
