//! Calls that may be repeated: what was done under a `request_id` is done once (SPEC 61).
//!
//! The row is written in the transaction of the effect. It holds what the repeated call needs to
//! answer again, and never a secret.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{Array, Binary, Text},
};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, RequestId};
use prost::Message;

use crate::{
    convert,
    db::{Connection, DbTime, DbUuid, PgText, Sql, StoreError, schema::request},
    error::CallError,
    query,
    secret::{DigestKey, EmailDigestKey},
};

/// What makes two calls the same call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    brand_id: BrandId,
    principal: String,
    method: &'static str,
    request_id: RequestId,
    body_digest: Vec<u8>,
}

/// Makes the keys of calls.
///
/// A call is kept longer than the person it was about (SPEC 55), and names and e-mails are easily
/// guessed: so a body's digest is keyed.
#[derive(Clone, Debug)]
pub struct RequestKeys(DigestKey);

impl RequestKeys {
    /// Returns what makes the keys of this installation's calls.
    pub fn new(secret: &EmailDigestKey) -> Self {
        Self(secret.derive("request body"))
    }

    /// Returns the key of a call: `principal` is who calls, as kind and id; `method` the RPC's name;
    /// `body` the request, whose `request_id` field holds `request_id`.
    ///
    /// # Errors
    ///
    /// [`CallError::FieldInvalid`] when `request_id` is no UUID.
    pub fn key(
        &self,
        brand_id: BrandId,
        principal: String,
        method: &'static str,
        request_id: &str,
        body: &impl Message,
    ) -> Result<RequestKey, CallError> {
        Ok(RequestKey {
            brand_id,
            principal,
            method,
            request_id: convert::field("request_id", request_id.parse())?,
            body_digest: self.0.digest(&body.encode_to_vec()).to_vec(),
        })
    }
}

impl RequestKey {
    /// Returns the id that the caller chose; events carry it as their cause.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }
}

/// The row of a call that is carried out now.
macro_rules! row {
    ($key:expr, $response:expr, $now:expr) => {
        (
            request::brand_id.eq(Sql(&$key.brand_id)),
            request::principal.eq(&$key.principal),
            request::method.eq($key.method),
            request::request_id.eq(Sql($key.request_id)),
            request::body_digest.eq(&$key.body_digest),
            request::response.eq(&$response),
            request::create_time.eq(Sql($now)),
        )
    };
}

/// Returns what was kept of the call, if it was carried out before.
///
/// # Errors
///
/// [`CallError::RequestIdReused`] when another body was sent under this id.
pub async fn find(
    connection: &mut Connection,
    key: &RequestKey,
) -> Result<Option<Vec<u8>>, CallError> {
    let kept: Option<(Vec<u8>, Vec<u8>)> = query!(connection, |c| request::table
        .find((
            Sql(&key.brand_id),
            &key.principal,
            key.method,
            Sql(key.request_id)
        ))
        .select((request::body_digest, request::response))
        .first(c)
        .await
        .optional())?;
    match kept {
        Some((digest, _)) if digest != key.body_digest => Err(CallError::RequestIdReused),
        kept => Ok(kept.map(|(_, response)| response)),
    }
}

/// Keeps what the repeated call needs, where it is known before the call is carried out, and returns
/// `None`; or returns what was kept of the call, if it was carried out before.
///
/// That is one statement for [`find`] and [`keep`]. It reads no place where there is nothing yet: on
/// PostgreSQL such a read conflicts with all calls whose ids fall near this one.
///
/// # Errors
///
/// [`CallError::RequestIdReused`] when another body was sent under this id.
pub async fn claim(
    connection: &mut Connection,
    key: &RequestKey,
    response: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, CallError> {
    let inserted = query!(&mut *connection, |c| diesel::insert_into(request::table)
        .values(row!(key, response, now))
        .on_conflict_do_nothing()
        .execute(c)
        .await)?;
    if inserted == 1 {
        return Ok(None);
    }
    find(connection, key).await
}

/// Claims calls that are carried out together and of which nothing is repeated but their effect, and
/// returns of each, in their order, whether it is the first of its id; on PostgreSQL that is one
/// statement. Others who claim some of them wait until the transaction ends.
///
/// # Errors
///
/// What the database fails with; [`CallError::RequestIdReused`] stands among the results.
pub async fn claim_all<'a>(
    connection: &mut Connection,
    keys: impl Iterator<Item = &'a RequestKey>,
    now: DateTime<Utc>,
) -> Result<VecDeque<Result<bool, CallError>>, StoreError> {
    let keys: Vec<&RequestKey> = keys.collect();
    let mut inserted: BTreeSet<(String, RequestId)> = BTreeSet::new();
    match connection {
        _ if keys.is_empty() => {}
        Connection::Postgres(c) => {
            // Each transaction inserts in this order, so that two never wait for each other.
            let mut sorted = keys.clone();
            sorted.sort_unstable_by_key(|key| (&key.brand_id, &key.principal, key.request_id));
            let rows: Vec<(String, Sql<RequestId>)> = insertion(&sorted, now).load(c).await?;
            inserted.extend(rows.into_iter().map(|(principal, id)| (principal, id.0)));
        }
        Connection::Sqlite(_) => {
            for key in &keys {
                let claimed = claim(connection, key, Vec::new(), now).await;
                if matches!(claimed, Ok(None)) {
                    inserted.insert((key.principal.clone(), key.request_id));
                }
            }
        }
    }
    let mut claims = VecDeque::with_capacity(keys.len());
    for key in keys {
        // The first of those that are equal takes it away.
        let is_first = inserted.remove(&(key.principal.clone(), key.request_id));
        claims.push_back(match is_first {
            true => Ok(true),
            false => find(connection, key).await.map(|_| false),
        });
    }
    Ok(claims)
}

fn insertion(keys: &[&RequestKey], now: DateTime<Utc>) -> PgText<'static, (Text, DbUuid)> {
    let each = |text: fn(&RequestKey) -> &str| {
        let texts = keys.iter().map(|key| text(key).to_owned());
        texts.collect::<Vec<String>>()
    };
    let digests: Vec<Vec<u8>> = keys.iter().map(|key| key.body_digest.clone()).collect();
    PgText::new(
        "INSERT INTO request (create_time, response, brand_id, principal, method, request_id, \
         body_digest) SELECT ?, '', * FROM unnest(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING \
         RETURNING principal, request_id",
    )
    .bind::<DbTime, _>(Sql(now))
    .bind::<Array<Text>, _>(each(|key| key.brand_id.as_str()))
    .bind::<Array<Text>, _>(each(|key| &key.principal))
    .bind::<Array<Text>, _>(each(|key| key.method))
    .bind::<Array<DbUuid>, _>(
        keys.iter()
            .map(|key| Sql(key.request_id))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Binary>, _>(digests)
}

/// Keeps what the repeated call needs.
///
/// # Errors
///
/// [`StoreError::Conflict`] when the same call has been kept since [`find`] looked: the transaction is
/// run again and finds it.
pub async fn keep(
    connection: &mut Connection,
    key: &RequestKey,
    response: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(request::table)
        .values(row!(key, response, now))
        .execute(c)
        .await)
    .map_err(|error| match error {
        StoreError::Constraint { source, .. } => StoreError::Conflict(source),
        error => error,
    })?;
    Ok(())
}

/// Forgets a call, whose effect is no more: the same request is a first one again.
///
/// # Errors
///
/// What the database fails with.
pub async fn forget(connection: &mut Connection, key: &RequestKey) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(request::table.find((
        Sql(&key.brand_id),
        &key.principal,
        key.method,
        Sql(key.request_id)
    )))
    .execute(c)
    .await)?;
    Ok(())
}

/// Forgets all calls of a principal, as kind and id, who will never repeat one (SPEC 55).
///
/// # Errors
///
/// What the database fails with.
pub async fn forget_all_of(
    connection: &mut Connection,
    brand_id: &BrandId,
    principal: &str,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(
        request::table
            .filter(request::brand_id.eq(Sql(brand_id)))
            .filter(request::principal.eq(principal))
    )
    .execute(c)
    .await)?;
    Ok(())
}

#[cfg(test)]
mod tests;
