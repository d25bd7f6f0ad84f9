//! Which access tokens must not be trusted any more although they have not expired.
//!
//! Identity tells by event; a service keeps what it was told, in its database for the next start
//! and in memory for each call. One that has not heard from identity for too long does not know,
//! and says so (SPEC 59).
//!
//! A suspended Brand is remembered beside them: its tokens are refused until it is resumed.
//!
//! A revocation matters as long as tokens from before it can live, so memory holds those of the last
//! quarter of an hour before the latest one. Time is told by the events: no clock is asked.

mod brands;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::ExpressionMethods;
use diesel_async::RunQueryDsl;
use domain::id::BrandId;
use rapport_proto::event::v1::{Event, SessionsRevoked, event::Payload, sessions_revoked::Subject};
use tokio::time::Instant;
use uuid::Uuid;

use self::brands::Brands;
use super::{ACCESS_TOKEN_TTL, Claims};
use crate::{
    convert,
    db::{Connection, Db, Sql, StoreError, schema::revocation},
    event_log::BATCH_LENGTH,
    query,
};

/// A revoked session is refused whatever epoch its tokens name.
const ANY_EPOCH: i64 = i64::MAX;
/// As long as an access token lives, and five minutes more for clocks that differ.
const REMEMBERED: TimeDelta = TimeDelta::seconds(ACCESS_TOKEN_TTL.num_seconds() + 5 * 60);
/// Memory is looked through again when it holds twice what was left the last time, and this many.
const LEAST_TO_FORGET: usize = 1_024;

type Row = (BrandId, Uuid, Revoked);

/// From which epoch on tokens are trusted, and when that was said.
#[derive(Clone, Copy, Debug)]
struct Revoked {
    minimum_epoch: i64,
    revoke_time: DateTime<Utc>,
}

/// The revocations that this process knows of; clones share them.
#[derive(Clone)]
pub struct Revocations {
    known: Arc<RwLock<Memory>>,
    contact: Option<Contact>,
}

#[derive(Default)]
struct Memory {
    revoked: HashMap<(BrandId, Uuid), Revoked>,
    latest: DateTime<Utc>,
    brands: Brands,
    /// How many there may be before the old ones are looked for.
    limit: usize,
}

impl Memory {
    fn remember(&mut self, (brand_id, subject_id, new): Row) {
        self.latest = self.latest.max(new.revoke_time);
        self.revoked
            .entry((brand_id, subject_id))
            .and_modify(|known| {
                known.minimum_epoch = known.minimum_epoch.max(new.minimum_epoch);
                known.revoke_time = known.revoke_time.max(new.revoke_time);
            })
            .or_insert(new);
        if self.revoked.len() > self.limit {
            let oldest = self.latest - REMEMBERED;
            self.revoked.retain(|_, known| known.revoke_time >= oldest);
            self.limit = LEAST_TO_FORGET.max(2 * self.revoked.len());
        }
    }
}

#[derive(Clone)]
struct Contact {
    last: Arc<Mutex<Instant>>,
    limit: Duration,
}

impl Revocations {
    /// Returns the revocations kept in `db` that may still matter, and the suspended Brands.
    ///
    /// With a `silence_limit` they are current only for so long after identity was last heard of.
    ///
    /// # Errors
    ///
    /// What reading them fails with.
    pub async fn load(db: &Db, silence_limit: Option<Duration>) -> Result<Self, StoreError> {
        let mut connection = db.read().await?;
        let mut memory = Memory {
            brands: Brands::load(&mut connection).await?,
            ..Memory::default()
        };
        for row in load_recent(&mut connection).await? {
            memory.remember(row);
        }
        Ok(Self {
            known: Arc::new(RwLock::new(memory)),
            contact: silence_limit.map(|limit| Contact {
                last: Arc::new(Mutex::new(Instant::now())),
                limit,
            }),
        })
    }

    /// Remembers what `events`, one batch of identity's log or none, revoke and suspend, and that
    /// identity was heard of.
    ///
    /// A full batch is no contact: more has happened than it tells, and who is still reading what
    /// happened long ago does not know whom he may trust now.
    pub fn observe(&self, events: &[Event]) {
        let rows: Vec<Row> = events.iter().flat_map(rows).collect();
        let brands: Vec<brands::Row> = events.iter().filter_map(brands::row).collect();
        if !rows.is_empty() || !brands.is_empty() {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                known.remember(row);
            }
            for row in brands {
                known.brands.remember(row);
            }
        }
        let is_full = i64::try_from(events.len()).is_ok_and(|count| count >= BATCH_LENGTH);
        if let (Some(contact), false) = (&self.contact, is_full) {
            *contact.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// Tells whether identity was heard of lately enough to know whom it trusts.
    pub(crate) fn is_current(&self) -> bool {
        self.contact.as_ref().is_none_or(|contact| {
            let last = *contact.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.elapsed() < contact.limit
        })
    }

    pub(super) fn is_suspended(&self, brand_id: &BrandId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.brands.is_suspended(brand_id)
    }

    pub(super) fn is_revoked(&self, claims: &Claims) -> bool {
        let Ok(brand_id) = BrandId::parse(&claims.brand) else {
            return true;
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let below = |subject: Uuid, brand_id: BrandId| {
            let revoked = known.revoked.get(&(brand_id, subject));
            revoked.is_some_and(|revoked| claims.epoch < revoked.minimum_epoch)
        };
        below(claims.sub, brand_id.clone()) || claims.sid.is_some_and(|sid| below(sid, brand_id))
    }
}

async fn load_recent(connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
    use diesel::{OptionalExtension, QueryDsl};
    let latest: Option<Sql<DateTime<Utc>>> = query!(connection, |c| revocation::table
        .select(revocation::revoke_time)
        .order(revocation::revoke_time.desc())
        .first(c)
        .await
        .optional())?;
    let Some(Sql(latest)) = latest else {
        return Ok(Vec::new());
    };
    type Kept = (Sql<BrandId>, Sql<Uuid>, i64, Sql<DateTime<Utc>>);
    let rows: Vec<Kept> = query!(connection, |c| QueryDsl::filter(
        revocation::table,
        revocation::revoke_time.ge(Sql(latest - REMEMBERED))
    )
    .select((
        revocation::brand_id,
        revocation::subject_id,
        revocation::minimum_epoch,
        revocation::revoke_time,
    ))
    .load(c)
    .await)?;
    Ok(rows
        .into_iter()
        .map(|(brand_id, subject_id, minimum_epoch, revoke_time)| {
            let revoked = Revoked {
                minimum_epoch,
                revoke_time: revoke_time.0,
            };
            (brand_id.0, subject_id.0, revoked)
        })
        .collect())
}

/// Keeps what `events` revoke, and which Brands they suspend, in the transaction of `connection`.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when one breaks the contract: it must not be passed over; what the database
/// fails with.
pub async fn keep(connection: &mut Connection, events: &[Event]) -> Result<(), StoreError> {
    for event in events {
        match &event.payload {
            Some(Payload::SessionsRevoked(_)) => {
                let rows = rows(event);
                if rows.is_empty() {
                    let what = "sessions_revoked";
                    return Err(StoreError::Corrupt { what });
                }
                for row in rows {
                    keep_row(connection, row).await?;
                }
            }
            Some(Payload::BrandChanged(_)) => {
                let what = "brand_changed";
                let row = brands::row(event).ok_or(StoreError::Corrupt { what })?;
                brands::keep(connection, row).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn keep_row(
    connection: &mut Connection,
    (brand_id, subject_id, revoked): Row,
) -> Result<(), StoreError> {
    use diesel::query_dsl::methods::FilterDsl;
    let epoch = revoked.minimum_epoch;
    query!(connection, |c| diesel::insert_into(revocation::table)
        .values((
            revocation::brand_id.eq(Sql(&brand_id)),
            revocation::subject_id.eq(Sql(subject_id)),
            revocation::minimum_epoch.eq(epoch),
            revocation::revoke_time.eq(Sql(revoked.revoke_time)),
        ))
        .on_conflict((revocation::brand_id, revocation::subject_id))
        .do_update()
        .set((
            revocation::minimum_epoch.eq(epoch),
            revocation::revoke_time.eq(Sql(revoked.revoke_time)),
        ))
        .filter(revocation::minimum_epoch.lt(epoch))
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns what an event revokes: each subject and the smallest epoch that is still trusted. Nothing
/// where it revokes nothing or breaks the contract.
fn rows(event: &Event) -> Vec<Row> {
    let Some(Payload::SessionsRevoked(revoked)) = &event.payload else {
        return Vec::new();
    };
    let time = event.event_time.as_ref().and_then(convert::instant);
    let (Ok(brand_id), Some(revoke_time)) = (BrandId::parse(&event.brand_id), time) else {
        return Vec::new();
    };
    let subjects: Option<Vec<(Uuid, i64)>> = subjects(revoked).collect();
    subjects
        .unwrap_or_default()
        .into_iter()
        .map(|(subject_id, minimum_epoch)| {
            let revoked = Revoked {
                minimum_epoch,
                revoke_time,
            };
            (brand_id.clone(), subject_id, revoked)
        })
        .collect()
}

/// Returns the subjects, `None` for each that cannot be read.
fn subjects(revoked: &SessionsRevoked) -> impl Iterator<Item = Option<(Uuid, i64)>> {
    let sessions = revoked
        .session_ids
        .iter()
        .map(|id| Some((id.parse().ok()?, ANY_EPOCH)));
    let subject = revoked.subject.as_ref().map(|subject| match subject {
        Subject::AccountId(id) | Subject::MemberId(id) | Subject::ApiKeyId(id) => {
            Some((id.parse().ok()?, revoked.minimum_epoch))
        }
    });
    sessions.chain(subject)
}

#[cfg(test)]
mod tests;
