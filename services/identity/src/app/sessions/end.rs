//! The end of a session by its owner.

use chrono::{DateTime, Utc};
use domain::{
    id::{AccountId, BrandId, MemberId, SessionId},
    session::SessionEnd,
};
use kit::{
    access::Principal,
    convert::{instant, timestamp},
    db::{Connection, StoreError},
    error::CallError,
};
use prost_types::Timestamp;
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};

use super::super::{
    App, Stamp, Write,
    accounts::{self, end_all_sessions},
    find_answer,
    journal::Journal,
    keep_answer,
    members::{self, end_all_member_sessions},
};
use crate::{
    convert::event::{RevokedSubject, sessions_revoked},
    error::IdentityError,
    store::{accounts as account_store, members as member_store, sessions, sessions::Owner},
};

struct Ending {
    write: Write,
    stamp: Stamp,
    owner: Owner,
    session_id: SessionId,
    all_sessions: bool,
}

impl App {
    /// Ends the caller's session, or all of his, and returns when it ended.
    pub(crate) async fn end_session(
        &self,
        write: Write,
        principal: &Principal,
        all_sessions: bool,
    ) -> Result<DateTime<Utc>, IdentityError> {
        let (owner, session_id) = match principal {
            Principal::Temporary(subject) | Principal::Client(subject) => {
                (Owner::Account(subject.id), subject.session_id)
            }
            Principal::Member(subject) => (Owner::Member(subject.id), subject.session_id),
            Principal::Anonymous
            | Principal::Service { .. }
            | Principal::Operator
            | Principal::Suite => return Err(CallError::PermissionDenied.into()),
        };
        let stamp = self.write_stamp(&write);
        let ending = Ending {
            write,
            stamp,
            owner,
            session_id,
            all_sessions,
        };
        self.db
            .run_tx("end_session", ending, |c, i| Box::pin(end(c, i)))
            .await
    }
}

async fn end(connection: &mut Connection, input: &Ending) -> Result<DateTime<Utc>, IdentityError> {
    let now = input.stamp.now;
    if let Some(kept) = find_answer::<Timestamp>(connection, &input.write.key).await? {
        let ended = instant(&kept);
        return Ok(ended.ok_or(StoreError::Corrupt {
            what: "request.response",
        })?);
    }
    let mut journal = Journal::new(&input.stamp);
    let ended = if input.all_sessions {
        end_all(connection, &mut journal, input).await?;
        now
    } else {
        end_this(connection, &mut journal, input).await?
    };
    journal.write(connection).await?;
    keep_answer(connection, &input.write.key, &timestamp(ended), now).await?;
    Ok(ended)
}

async fn end_all(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    input: &Ending,
) -> Result<(), StoreError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    match input.owner {
        Owner::Account(account_id) => {
            let mut account = accounts::get(connection, brand_id, account_id).await?;
            end_all_sessions(connection, journal, &mut account, SessionEnd::Ended, now).await?;
            account_store::update(connection, &account).await
        }
        Owner::Member(member_id) => {
            let mut member = members::get(connection, brand_id, member_id).await?;
            end_all_member_sessions(connection, journal, &mut member, SessionEnd::Ended, now)
                .await?;
            member_store::update(connection, &member).await
        }
    }
}

/// Ends one session; one that has ended stays as it is.
async fn end_this(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    input: &Ending,
) -> Result<DateTime<Utc>, IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    let session = sessions::find(connection, brand_id, input.session_id).await?;
    let session = session.ok_or(CallError::Unauthenticated)?;
    if let Some(end_time) = session.end_time {
        return Ok(end_time);
    }
    sessions::end_one(
        connection,
        brand_id,
        input.session_id,
        SessionEnd::Ended,
        now,
    )
    .await?;
    note_one(
        connection,
        journal,
        brand_id,
        input.owner,
        input.session_id,
        SessionEnd::Ended,
        now,
    )
    .await?;
    Ok(now)
}

/// Counts and notes the end of one session, which is written.
pub(super) async fn note_one(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    brand_id: &BrandId,
    owner: Owner,
    session_id: SessionId,
    end: SessionEnd,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (subject, revision, epoch) = match owner {
        Owner::Account(id) => count_account(connection, brand_id, id).await?,
        Owner::Member(id) => count_member(connection, brand_id, id).await?,
    };
    journal.audit(AuditAction::SessionsRevoked, session_id, end.as_str());
    journal.event(Payload::SessionsRevoked(sessions_revoked(
        subject,
        revision,
        epoch,
        &[session_id],
        now,
    )));
    Ok(())
}

async fn count_account(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<(RevokedSubject, i64, i64), StoreError> {
    let mut account = accounts::get(connection, brand_id, account_id).await?;
    account.session_revocations += 1;
    account_store::update(connection, &account).await?;
    let subject = RevokedSubject::Account(account_id);
    Ok((subject, account.session_revocations, account.session_epoch))
}

async fn count_member(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<(RevokedSubject, i64, i64), StoreError> {
    let mut member = members::get(connection, brand_id, member_id).await?;
    member.session_revocations += 1;
    member_store::update(connection, &member).await?;
    let subject = RevokedSubject::Member(member_id);
    Ok((subject, member.session_revocations, member.session_epoch))
}
