//! Which access tokens must not be trusted any more although they have not expired.
//!
//! Identity tells by event; a service keeps what it was told, in its database for the next start
//! and in memory for each call. One that has not heard from identity for too long does not know,
//! and says so (SPEC 59).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use diesel::ExpressionMethods;
use diesel_async::RunQueryDsl;
use domain::id::BrandId;
use rapport_proto::event::v1::{Event, SessionsRevoked, event::Payload, sessions_revoked::Subject};
use tokio::time::Instant;
use uuid::Uuid;

use super::Claims;
use crate::{
    convert,
    db::{Connection, Db, Sql, StoreError, schema::revocation},
    query,
};

/// A revoked session is refused whatever epoch its tokens name.
const ANY_EPOCH: i64 = i64::MAX;

type Row = (BrandId, Uuid, i64);

/// The revocations that this process knows of; clones share them.
#[derive(Clone)]
pub struct Revocations {
    minimum_epochs: Arc<RwLock<HashMap<(BrandId, Uuid), i64>>>,
    contact: Option<Contact>,
}

#[derive(Clone)]
struct Contact {
    last: Arc<Mutex<Instant>>,
    limit: Duration,
}

impl Revocations {
    /// Returns the revocations kept in `db`.
    ///
    /// With a `silence_limit` they are current only for so long after identity was last heard of.
    ///
    /// # Errors
    ///
    /// What reading them fails with.
    pub async fn load(db: &Db, silence_limit: Option<Duration>) -> Result<Self, StoreError> {
        let mut connection = db.read().await?;
        let rows: Vec<(Sql<BrandId>, Sql<Uuid>, i64)> = query!(&mut *connection, |c| {
            use diesel::QueryDsl;
            revocation::table
                .select((
                    revocation::brand_id,
                    revocation::subject_id,
                    revocation::minimum_epoch,
                ))
                .load(c)
                .await
        })?;
        let minimum_epochs = rows
            .into_iter()
            .map(|(brand_id, subject_id, epoch)| ((brand_id.0, subject_id.0), epoch))
            .collect();
        Ok(Self {
            minimum_epochs: Arc::new(RwLock::new(minimum_epochs)),
            contact: silence_limit.map(|limit| Contact {
                last: Arc::new(Mutex::new(Instant::now())),
                limit,
            }),
        })
    }

    /// Remembers what `events` revoke, and that identity was heard of.
    pub fn observe(&self, events: &[Event]) {
        if let Some(contact) = &self.contact {
            *contact.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        let rows: Vec<Row> = events.iter().flat_map(rows).collect();
        if rows.is_empty() {
            return;
        }
        let mut known = self
            .minimum_epochs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (brand_id, subject_id, epoch) in rows {
            let minimum = known.entry((brand_id, subject_id)).or_insert(epoch);
            *minimum = epoch.max(*minimum);
        }
    }

    pub(super) fn is_current(&self) -> bool {
        self.contact.as_ref().is_none_or(|contact| {
            let last = *contact.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.elapsed() < contact.limit
        })
    }

    pub(super) fn is_revoked(&self, claims: &Claims) -> bool {
        let Ok(brand_id) = BrandId::parse(&claims.brand) else {
            return true;
        };
        let known = self
            .minimum_epochs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let below = |subject: Uuid, brand_id: BrandId| {
            known
                .get(&(brand_id, subject))
                .is_some_and(|minimum| claims.epoch < *minimum)
        };
        below(claims.sub, brand_id.clone()) || claims.sid.is_some_and(|sid| below(sid, brand_id))
    }
}

/// Keeps what `events` revoke, in the transaction of `connection`.
///
/// # Errors
///
/// What the database fails with.
pub async fn keep(connection: &mut Connection, events: &[Event]) -> Result<(), StoreError> {
    for event in events {
        let Some(time) = event.event_time.as_ref().and_then(convert::instant) else {
            continue;
        };
        for (brand_id, subject_id, epoch) in rows(event) {
            keep_row(connection, &brand_id, subject_id, epoch, time).await?;
        }
    }
    Ok(())
}

async fn keep_row(
    connection: &mut Connection,
    brand_id: &BrandId,
    subject_id: Uuid,
    epoch: i64,
    time: chrono::DateTime<chrono::Utc>,
) -> Result<(), StoreError> {
    use diesel::query_dsl::methods::FilterDsl;
    query!(connection, |c| diesel::insert_into(revocation::table)
        .values((
            revocation::brand_id.eq(Sql(brand_id)),
            revocation::subject_id.eq(Sql(subject_id)),
            revocation::minimum_epoch.eq(epoch),
            revocation::revoke_time.eq(Sql(time)),
        ))
        .on_conflict((revocation::brand_id, revocation::subject_id))
        .do_update()
        .set((
            revocation::minimum_epoch.eq(epoch),
            revocation::revoke_time.eq(Sql(time)),
        ))
        .filter(revocation::minimum_epoch.lt(epoch))
        .execute(c)
        .await)?;
    Ok(())
}

/// Returns what an event revokes: each subject and the smallest epoch that is still trusted.
fn rows(event: &Event) -> Vec<Row> {
    let (Some(Payload::SessionsRevoked(revoked)), Ok(brand_id)) =
        (&event.payload, BrandId::parse(&event.brand_id))
    else {
        return Vec::new();
    };
    subjects(revoked)
        .map(|(subject, epoch)| (brand_id.clone(), subject, epoch))
        .collect()
}

fn subjects(revoked: &SessionsRevoked) -> impl Iterator<Item = (Uuid, i64)> {
    let sessions = revoked
        .session_ids
        .iter()
        .filter_map(|id| Some((id.parse().ok()?, ANY_EPOCH)));
    let subject = revoked.subject.as_ref().and_then(|subject| match subject {
        Subject::AccountId(id) | Subject::MemberId(id) | Subject::ApiKeyId(id) => id.parse().ok(),
    });
    sessions.chain(subject.map(|subject| (subject, revoked.minimum_epoch)))
}
