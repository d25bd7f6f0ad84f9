//! The tables `session` and `session_token`.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, MemberId, RequestId, SessionId},
    session::SessionEnd,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{
    entity::row,
    schema::{session, session_token},
};
use crate::model::{Session, SessionKind, SessionToken};

row!(Row of Session as session (brand_id, session_id) {
    brand_id: BrandId,
    session_id: SessionId,
    kind: SessionKind,
    account_id: Option<AccountId>,
    member_id: Option<MemberId>,
    create_time: DateTime<Utc>,
    expire_time: DateTime<Utc>,
    end_kind: Option<SessionEnd>,
    end_time: Option<DateTime<Utc>>,
});

row!(TokenRow of SessionToken as session_token (brand_id, token_digest) {
    brand_id: BrandId,
    token_digest: Vec<u8>,
    session_id: SessionId,
    previous_digest: Option<Vec<u8>>,
    create_time: DateTime<Utc>,
    spend_time: Option<DateTime<Utc>>,
    spend_request_id: Option<RequestId>,
});

/// Whose sessions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A visitor's.
    Account(AccountId),
    /// A Member's.
    Member(MemberId),
}

pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    session_id: SessionId,
) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> = query!(connection, |c| session::table
        .find((Sql(brand_id), Sql(session_id)))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Session::from))
}

pub(crate) async fn insert(
    connection: &mut Connection,
    session: &Session,
) -> Result<(), StoreError> {
    let row = Row::from(session);
    query!(connection, |c| diesel::insert_into(session::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

pub(crate) async fn update(
    connection: &mut Connection,
    session: &Session,
) -> Result<(), StoreError> {
    let row = Row::from(session);
    query!(connection, |c| diesel::update(
        session::table.find((Sql(&session.brand_id), Sql(session.session_id)))
    )
    .set(&row)
    .execute(c)
    .await)?;
    Ok(())
}

/// Returns the ids of the next `limit` sessions of an account, open or ended, behind `after`.
pub(crate) async fn list_ids(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    after: SessionId,
    limit: i64,
) -> Result<Vec<SessionId>, StoreError> {
    let ids: Vec<Sql<SessionId>> = query!(connection, |c| session::table
        .filter(session::brand_id.eq(Sql(brand_id)))
        .filter(session::account_id.eq(Sql(account_id)))
        .filter(session::session_id.gt(Sql(after)))
        .order(session::session_id)
        .limit(limit)
        .select(session::session_id)
        .load(c)
        .await)?;
    Ok(ids.into_iter().map(|id| id.0).collect())
}

/// Ends all open sessions of an owner, and returns their ids.
pub(crate) async fn end_all(
    connection: &mut Connection,
    brand_id: &BrandId,
    owner: Owner,
    end: SessionEnd,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, StoreError> {
    let end = (
        session::end_kind.eq(Some(Sql(end))),
        session::end_time.eq(Some(Sql(now))),
    );
    let open = diesel::update(session::table)
        .filter(session::brand_id.eq(Sql(brand_id)))
        .filter(session::end_kind.is_null());
    let ended: Vec<Sql<SessionId>> = match owner {
        Owner::Account(account_id) => query!(connection, |c| open
            .filter(session::account_id.eq(Sql(account_id)))
            .set(end)
            .returning(session::session_id)
            .get_results(c)
            .await),
        Owner::Member(member_id) => query!(connection, |c| open
            .filter(session::member_id.eq(Sql(member_id)))
            .set(end)
            .returning(session::session_id)
            .get_results(c)
            .await),
    }?;
    Ok(ended.into_iter().map(|session_id| session_id.0).collect())
}

/// Ends one session, which is open.
pub(crate) async fn end_one(
    connection: &mut Connection,
    brand_id: &BrandId,
    session_id: SessionId,
    end: SessionEnd,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        session::table.find((Sql(brand_id), Sql(session_id)))
    )
    .set((
        session::end_kind.eq(Some(Sql(end))),
        session::end_time.eq(Some(Sql(now))),
    ))
    .execute(c)
    .await)?;
    Ok(())
}

/// Returns the token with this digest, spent or not.
pub(crate) async fn find_token(
    connection: &mut Connection,
    brand_id: &BrandId,
    token_digest: &[u8],
) -> Result<Option<SessionToken>, StoreError> {
    let row: Option<TokenRow> = query!(connection, |c| session_token::table
        .find((Sql(brand_id), token_digest))
        .first(c)
        .await
        .optional())?;
    Ok(row.map(SessionToken::from))
}

pub(crate) async fn insert_token(
    connection: &mut Connection,
    token: &SessionToken,
) -> Result<(), StoreError> {
    let row = TokenRow::from(token);
    query!(connection, |c| diesel::insert_into(session_token::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

/// Marks a token as exchanged.
pub(crate) async fn spend_token(
    connection: &mut Connection,
    brand_id: &BrandId,
    token_digest: &[u8],
    request_id: RequestId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::update(
        session_token::table.find((Sql(brand_id), token_digest))
    )
    .set((
        session_token::spend_time.eq(Some(Sql(now))),
        session_token::spend_request_id.eq(Some(Sql(request_id))),
    ))
    .execute(c)
    .await)?;
    Ok(())
}

/// Forgets the newest token of a session, which its owner never got.
pub(crate) async fn delete_unspent_token(
    connection: &mut Connection,
    brand_id: &BrandId,
    session_id: SessionId,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(session_token::table)
        .filter(session_token::brand_id.eq(Sql(brand_id)))
        .filter(session_token::session_id.eq(Sql(session_id)))
        .filter(session_token::spend_time.is_null())
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns when an account was last used: when the newest token of any session of it was given.
pub(crate) async fn last_use(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let theirs: Vec<Sql<SessionId>> = query!(connection, |c| session::table
        .filter(session::brand_id.eq(Sql(brand_id)))
        .filter(session::account_id.eq(Sql(account_id)))
        .select(session::session_id)
        .load(c)
        .await)?;
    let given: Vec<Sql<DateTime<Utc>>> = query!(connection, |c| session_token::table
        .filter(session_token::brand_id.eq(Sql(brand_id)))
        .filter(session_token::session_id.eq_any(&theirs))
        .filter(session_token::spend_time.is_null())
        .select(session_token::create_time)
        .load(c)
        .await)?;
    Ok(given.into_iter().map(|time| time.0).max())
}

/// Returns the newest token of a session, the one that is good.
pub(crate) async fn find_unspent_token(
    connection: &mut Connection,
    brand_id: &BrandId,
    session_id: SessionId,
) -> Result<Option<SessionToken>, StoreError> {
    let row: Option<TokenRow> = query!(connection, |c| session_token::table
        .filter(session_token::brand_id.eq(Sql(brand_id)))
        .filter(session_token::session_id.eq(Sql(session_id)))
        .filter(session_token::spend_time.is_null())
        .first(c)
        .await
        .optional())?;
    Ok(row.map(SessionToken::from))
}
