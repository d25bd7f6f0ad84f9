//! Sessions: opened, renewed, ended; and the tokens of services.

mod end;
mod member;
mod refresh;
mod service;

use chrono::{DateTime, Utc};
use domain::id::SessionId;
use kit::{
    db::{Connection, StoreError},
    secret::{random_token, token_digest},
};
use rapport_proto::access::v1::Caller;
use secrecy::{ExposeSecret, SecretString};

pub(crate) use self::service::ApiKeyProof;
use super::App;
use crate::{
    error::IdentityError,
    model::{Account, AccountKind, Member, Session, SessionToken},
    store::sessions,
    token::{AccessToken, Bearer},
};

/// Tells a session token's kind, for people and for scanners of leaked secrets.
const TOKEN_PREFIX: &str = "rst";

/// A session with the tokens that stand for it.
pub(crate) struct OpenedSession {
    pub(crate) session_id: SessionId,
    /// Opaque; told now and never again.
    pub(crate) session_token: SecretString,
    pub(crate) access: AccessToken,
    pub(crate) expire_time: DateTime<Utc>,
}

/// The opaque token of a session about to be opened or renewed. Made before the transaction, which
/// sees no more than the digest.
pub(super) struct SessionSecrets {
    token: SecretString,
}

impl SessionSecrets {
    pub(super) fn new() -> Self {
        Self {
            token: random_token(TOKEN_PREFIX),
        }
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        token_digest(self.token.expose_secret()).to_vec()
    }
}

/// What a transaction needs to open a session.
pub(super) struct NewSession {
    pub(super) session_id: SessionId,
    pub(super) token_digest: Vec<u8>,
}

/// Writes a session and its first token.
pub(super) async fn open_session(
    connection: &mut Connection,
    session: &Session,
    new: &NewSession,
) -> Result<(), StoreError> {
    sessions::insert(connection, session).await?;
    give_token(
        connection,
        session,
        &new.token_digest,
        None,
        session.create_time,
    )
    .await
}

/// Writes the newest token of a session, and which one was exchanged for it.
async fn give_token(
    connection: &mut Connection,
    session: &Session,
    token_digest: &[u8],
    previous_digest: Option<&[u8]>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let token = SessionToken {
        brand_id: session.brand_id.clone(),
        token_digest: token_digest.to_vec(),
        session_id: session.session_id,
        previous_digest: previous_digest.map(<[u8]>::to_vec),
        create_time: now,
        spend_time: None,
        spend_request_id: None,
    };
    sessions::insert_token(connection, &token).await
}

impl App {
    /// Returns a visitor's session, which is written, with an access token.
    pub(super) fn account_session(
        &self,
        account: &Account,
        session: &Session,
        secrets: SessionSecrets,
    ) -> Result<OpenedSession, IdentityError> {
        let bearer = Bearer {
            caller: match account.kind {
                AccountKind::Temporary => Caller::Temporary,
                AccountKind::Client => Caller::Client,
            },
            brand: account.brand_id.to_string(),
            subject: account.account_id.uuid(),
            session: Some(session.session_id.uuid()),
            epoch: account.session_epoch,
            link_revision: account.link_revision,
            scopes: Vec::new(),
        };
        self.opened(bearer, session, secrets)
    }

    /// Returns a Member's session, which is written, with an access token.
    fn member_session(
        &self,
        member: &Member,
        session: &Session,
        secrets: SessionSecrets,
    ) -> Result<OpenedSession, IdentityError> {
        let bearer = Bearer {
            caller: Caller::Member,
            brand: member.brand_id.to_string(),
            subject: member.member_id.uuid(),
            session: Some(session.session_id.uuid()),
            epoch: member.session_epoch,
            link_revision: 0,
            scopes: Vec::new(),
        };
        self.opened(bearer, session, secrets)
    }

    fn opened(
        &self,
        bearer: Bearer,
        session: &Session,
        secrets: SessionSecrets,
    ) -> Result<OpenedSession, IdentityError> {
        Ok(OpenedSession {
            session_id: session.session_id,
            session_token: secrets.token,
            access: self.signer.sign(bearer)?,
            expire_time: session.expire_time,
        })
    }
}
