//! The renewal of a session.
//!
//! A session token works once. Which of two people shows a token that was exchanged before, the
//! visitor or a thief, cannot be told, so the session ends; only the very request that exchanged it
//! is a retry, as long as nobody has used what it gave.
//!
//! | the token …                                            | answer                            |
//! |--------------------------------------------------------|-----------------------------------|
//! | is the newest                                          | exchanged for a new one           |
//! | was exchanged last, by this `request_id`               | the new one is replaced by another |
//! | was exchanged by another request, or before the last   | refused, and the session ends     |
//! | is unknown, or its session is over                     | refused                           |

use domain::{
    id::{BrandId, RequestId, SessionId},
    session::SessionEnd,
};
use kit::{
    db::{Connection, StoreError},
    limit::Subject,
    secret::token_digest,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    super::{Actor, App, Stamp, accounts, find_serving_brand, journal::Journal, members},
    OpenedSession, SessionSecrets,
    end::note_one,
    give_token,
    member::MEMBER_SESSION_TTL,
};
use crate::{
    error::IdentityError,
    model::{Account, AccountKind, Brand, Member, MemberState, Session, SessionToken},
    store::{accounts as account_store, sessions, sessions::Owner},
};

struct Refresh {
    stamp: Stamp,
    request_id: RequestId,
    shown_digest: Vec<u8>,
    new_digest: Vec<u8>,
}

/// What became of it; a refusal too is written.
enum Refreshed {
    Account(Session, Account),
    Member(Session, Member),
    Refused,
}

impl App {
    /// Renews a session: a new token for the one shown, and a new access token.
    pub(crate) async fn refresh_session(
        &self,
        brand_id: &BrandId,
        actor: Actor,
        session_token: &SecretString,
        request_id: RequestId,
    ) -> Result<OpenedSession, IdentityError> {
        let shown_digest = token_digest(session_token.expose_secret()).to_vec();
        let session_id = self.find_session(brand_id, &shown_digest).await?;
        self.limits
            .check_account(brand_id, Subject::Session(session_id.uuid()))?;
        let secrets = SessionSecrets::new();
        let refresh = Refresh {
            stamp: self.stamp(brand_id, actor, Some(request_id)),
            request_id,
            shown_digest,
            new_digest: secrets.digest(),
        };
        let refreshed = self
            .db
            .run_tx("refresh_session", refresh, |c, i| {
                Box::pin(refresh_in(c, i))
            })
            .await?;
        match refreshed {
            Refreshed::Account(session, account) => {
                self.account_session(&account, &session, secrets)
            }
            Refreshed::Member(session, member) => self.member_session(&member, &session, secrets),
            Refreshed::Refused => Err(IdentityError::SessionRefused),
        }
    }

    /// Returns whose token it is: an invented one costs no transaction, and the calls of a session are
    /// counted together though each shows another token.
    async fn find_session(
        &self,
        brand_id: &BrandId,
        digest: &[u8],
    ) -> Result<SessionId, IdentityError> {
        let mut connection = self.db.read().await?;
        let token = sessions::find_token(&mut connection, brand_id, digest).await?;
        let token = token.ok_or(IdentityError::SessionRefused)?;
        Ok(token.session_id)
    }
}

async fn refresh_in(
    connection: &mut Connection,
    input: &Refresh,
) -> Result<Refreshed, IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    let token = sessions::find_token(connection, brand_id, &input.shown_digest).await?;
    let Some(token) = token else {
        return Ok(Refreshed::Refused);
    };
    let brand = find_serving_brand(connection, brand_id).await?;
    let session = sessions::find(connection, brand_id, token.session_id).await?;
    let session = session.ok_or(StoreError::Corrupt { what: "session" })?;
    if !session.state().is_open(now) {
        return Ok(Refreshed::Refused);
    }
    if token.spend_time.is_none() {
        let spent = &token.token_digest;
        sessions::spend_token(connection, brand_id, spent, input.request_id, now).await?;
    } else if is_retry(connection, &token, input).await? {
        sessions::delete_unspent_token(connection, brand_id, session.session_id).await?;
    } else {
        end_as_stolen(connection, &session, input).await?;
        return Ok(Refreshed::Refused);
    }
    renew(connection, &brand, session, input).await
}

/// Tells whether this request exchanged the token, and no token was exchanged since.
async fn is_retry(
    connection: &mut Connection,
    token: &SessionToken,
    input: &Refresh,
) -> Result<bool, StoreError> {
    if token.spend_request_id != Some(input.request_id) {
        return Ok(false);
    }
    let newest =
        sessions::find_unspent_token(connection, &token.brand_id, token.session_id).await?;
    let previous = newest.and_then(|newest| newest.previous_digest);
    Ok(previous.as_deref() == Some(token.token_digest.as_slice()))
}

async fn end_as_stolen(
    connection: &mut Connection,
    session: &Session,
    input: &Refresh,
) -> Result<(), StoreError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    let (session_id, end) = (session.session_id, SessionEnd::Revoked);
    sessions::end_one(connection, brand_id, session_id, end, now).await?;
    let mut journal = Journal::new(&input.stamp);
    note_one(
        connection,
        &mut journal,
        brand_id,
        owner(session)?,
        session_id,
        end,
        now,
    )
    .await?;
    journal.write(connection).await
}

async fn renew(
    connection: &mut Connection,
    brand: &Brand,
    session: Session,
    input: &Refresh,
) -> Result<Refreshed, IdentityError> {
    let (brand_id, now) = (&brand.brand_id, input.stamp.now);
    let owner = owner(&session)?;
    let renewed = match owner {
        Owner::Account(account_id) => {
            let mut account = accounts::get(connection, brand_id, account_id).await?;
            let expire_time = match account.kind {
                AccountKind::Temporary => now + brand.temporary_account_ttl(),
                AccountKind::Client => now + brand.client_session_ttl(),
            };
            if account.kind == AccountKind::Temporary {
                account.expire_time = Some(expire_time);
                account_store::update(connection, &account).await?;
            }
            let session = Session {
                expire_time,
                ..session
            };
            Refreshed::Account(session, account)
        }
        Owner::Member(member_id) => {
            let member = members::get(connection, brand_id, member_id).await?;
            if member.state == MemberState::Deactivated {
                return Ok(Refreshed::Refused);
            }
            let session = Session {
                expire_time: now + MEMBER_SESSION_TTL,
                ..session
            };
            Refreshed::Member(session, member)
        }
    };
    if let Refreshed::Account(session, _) | Refreshed::Member(session, _) = &renewed {
        sessions::update(connection, session).await?;
        let previous = Some(input.shown_digest.as_slice());
        give_token(connection, session, &input.new_digest, previous, now).await?;
    }
    Ok(renewed)
}

/// Returns whose session it is; the schema gives it one owner.
fn owner(session: &Session) -> Result<Owner, StoreError> {
    match (session.account_id, session.member_id) {
        (Some(account_id), _) => Ok(Owner::Account(account_id)),
        (None, Some(member_id)) => Ok(Owner::Member(member_id)),
        (None, None) => Err(StoreError::Corrupt { what: "session" }),
    }
}
