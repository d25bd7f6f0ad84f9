//! Sessions of Members, whom the Brand's own program has authenticated.

use chrono::TimeDelta;
use domain::id::{MemberId, SessionId};
use kit::{
    db::{Connection, StoreError},
    error::CallError,
};

use super::{
    super::{App, Stamp, Write, find_answer, find_serving_brand, keep_answer},
    NewSession, OpenedSession, SessionSecrets, give_token, open_session,
};
use crate::{
    app::MemberWithCustomers,
    error::IdentityError,
    model::{MemberState, Session, SessionKind},
    store::{members, sessions},
};

/// How long a Member's session lives after its last refresh.
pub(super) const MEMBER_SESSION_TTL: TimeDelta = TimeDelta::hours(12);

struct Issue {
    write: Write,
    stamp: Stamp,
    member_id: MemberId,
    session: NewSession,
}

impl App {
    /// Opens a session for a Member; the repeated call gives the same session new tokens.
    pub(crate) async fn issue_member_session(
        &self,
        write: Write,
        member_id: MemberId,
    ) -> Result<(OpenedSession, MemberWithCustomers), IdentityError> {
        let stamp = self.write_stamp(&write);
        let secrets = SessionSecrets::new();
        let issue = Issue {
            session: NewSession {
                session_id: self.ids.next(),
                token_digest: secrets.digest(),
            },
            write,
            stamp,
            member_id,
        };
        let (session, member) = self
            .db
            .run_tx("issue_member_session", issue, |c, i| {
                Box::pin(issue_session(c, i))
            })
            .await?;
        let opened = self.member_session(&member.member, &session, secrets)?;
        Ok((opened, member))
    }
}

async fn issue_session(
    connection: &mut Connection,
    input: &Issue,
) -> Result<(Session, MemberWithCustomers), IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    find_serving_brand(connection, brand_id).await?;
    let member = members::find(connection, brand_id, input.member_id).await?;
    let member = member.ok_or(IdentityError::MemberNotFound)?;
    if member.state == MemberState::Deactivated {
        return Err(IdentityError::MemberDeactivated);
    }
    let customers = members::list_customers(connection, brand_id, input.member_id).await?;
    let member = MemberWithCustomers { member, customers };
    if let Some(session_id) = find_answer::<String>(connection, &input.write.key).await? {
        let session = repeat(connection, input, &session_id).await?;
        return Ok((session, member));
    }
    let session = Session {
        brand_id: brand_id.clone(),
        session_id: input.session.session_id,
        kind: SessionKind::Member,
        account_id: None,
        member_id: Some(input.member_id),
        create_time: now,
        expire_time: now + MEMBER_SESSION_TTL,
        end_kind: None,
        end_time: None,
    };
    open_session(connection, &session, &input.session).await?;
    let kept = session.session_id.to_string();
    keep_answer(connection, &input.write.key, &kept, now).await?;
    Ok((session, member))
}

/// Replaces the token of the session that the first call opened. Where it is over, the call is as
/// one whose secret is not repeated.
async fn repeat(
    connection: &mut Connection,
    input: &Issue,
    session_id: &str,
) -> Result<Session, IdentityError> {
    let brand_id = &input.stamp.brand_id;
    let session_id: SessionId = session_id.parse().map_err(|_| StoreError::Corrupt {
        what: "request.response",
    })?;
    let session = sessions::find(connection, brand_id, session_id).await?;
    let session = session
        .filter(|session| session.state().is_open(input.stamp.now))
        .ok_or(CallError::RequestIdReused)?;
    sessions::delete_unspent_token(connection, brand_id, session_id).await?;
    give_token(
        connection,
        &session,
        &input.session.token_digest,
        None,
        input.stamp.now,
    )
    .await?;
    Ok(session)
}
