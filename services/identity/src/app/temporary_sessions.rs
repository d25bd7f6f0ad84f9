//! Temporary accounts of anonymous visitors (SPEC 2).

use domain::{email::Email, email::Provenance, session::Widget, text::Username};
use kit::{
    db::Connection,
    secret::{random_token, token_digest},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    App, Stamp, Write,
    accounts::note_account,
    find_answer, find_serving_brand,
    journal::Journal,
    keep_answer,
    sessions::{NewSession, OpenedSession, SessionSecrets, open_session},
};
use crate::{
    error::IdentityError,
    model::{Account, AccountEmail, AccountKind, Brand, Session, SessionKind},
    store::accounts,
};

/// Tells a nonce's kind.
const NONCE_PREFIX: &str = "rtn";

/// What an anonymous visitor says of himself.
pub(crate) struct NewTemporarySession {
    pub(crate) username: Username,
    /// As he spelled it, and as it is compared.
    pub(crate) email: Option<(String, Email)>,
    pub(crate) widget: Widget,
    /// The version of the widget policy that he has accepted.
    pub(crate) accepted_policy: String,
}

/// A temporary account just made.
pub(crate) struct StartedSession {
    pub(crate) account: Account,
    pub(crate) session: OpenedSession,
    /// To be put into the assertion that signs this visitor in.
    pub(crate) nonce: SecretString,
}

struct Start {
    write: Write,
    stamp: Stamp,
    account: Account,
    email_digest: Option<[u8; 32]>,
    accepted_policy: String,
    session: NewSession,
}

impl App {
    /// Makes a temporary account and opens its session.
    ///
    /// Not repeatable, because its answer is made of secrets: `SecretNotRepeated`.
    pub(crate) async fn start_temporary_session(
        &self,
        write: Write,
        new: NewTemporarySession,
    ) -> Result<StartedSession, IdentityError> {
        if !new.widget.admits_temporary() {
            return Err(IdentityError::WidgetNeedsClient);
        }
        let stamp = self.write_stamp(&write);
        let nonce = random_token(NONCE_PREFIX);
        let secrets = SessionSecrets::new();
        let (email, email_digest) = match new.email {
            Some((spelling, email)) => {
                let digest = self.email_digest_key.digest(&write.brand_id, &email);
                (Some(spelling), Some(digest))
            }
            None => (None, None),
        };
        let kind = AccountKind::Temporary;
        let account = Account {
            username: Some(new.username.as_str().to_owned()),
            email_provenance: email.is_some().then_some(Provenance::Typed),
            email,
            nonce_digest: Some(token_digest(nonce.expose_secret()).to_vec()),
            ..Account::empty(write.brand_id.clone(), self.ids.next(), kind, stamp.now)
        };
        let start = Start {
            session: NewSession {
                session_id: self.ids.next(),
                token_digest: secrets.digest(),
            },
            write,
            stamp,
            account,
            email_digest,
            accepted_policy: new.accepted_policy,
        };
        let (account, session) = self
            .db
            .run_tx("start_temporary_session", start, |c, i| {
                Box::pin(begin(c, i))
            })
            .await?;
        let session = self.account_session(&account, &session, secrets)?;
        Ok(StartedSession {
            account,
            session,
            nonce,
        })
    }
}

/// Refuses a visitor who has not accepted the Brand's widget policy (SPEC 2).
pub(super) fn check_policy(brand: &Brand, accepted: &str) -> Result<(), IdentityError> {
    let wanted = brand.widget_policy_version.as_str();
    if !accepted.is_empty() && (wanted.is_empty() || accepted == wanted) {
        return Ok(());
    }
    Err(IdentityError::WidgetPolicyNotAccepted {
        version: wanted.to_owned(),
    })
}

async fn begin(
    connection: &mut Connection,
    input: &Start,
) -> Result<(Account, Session), IdentityError> {
    let now = input.stamp.now;
    let brand = find_serving_brand(connection, &input.stamp.brand_id).await?;
    check_policy(&brand, &input.accepted_policy)?;
    if let Some(()) = find_answer(connection, &input.write.key).await? {
        return Err(IdentityError::SecretNotRepeated { made: None });
    }
    let expire_time = now + brand.temporary_account_ttl();
    let account = Account {
        expire_time: Some(expire_time),
        ..input.account.clone()
    };
    accounts::insert(connection, &account).await?;
    if let Some(digest) = input.email_digest {
        let email = AccountEmail {
            brand_id: brand.brand_id.clone(),
            account_id: account.account_id,
            number: 1,
            digest: digest.to_vec(),
            provenance: Provenance::Typed,
            from_time: now,
            until_time: None,
        };
        accounts::insert_email(connection, &email).await?;
    }
    let session = Session {
        brand_id: brand.brand_id.clone(),
        session_id: input.session.session_id,
        kind: SessionKind::Temporary,
        account_id: Some(account.account_id),
        member_id: None,
        create_time: now,
        expire_time,
        end_kind: None,
        end_time: None,
    };
    open_session(connection, &session, &input.session).await?;
    let mut journal = Journal::new(&input.stamp);
    note_account(connection, &mut journal, &account).await?;
    journal.write(connection).await?;
    keep_answer(connection, &input.write.key, &(), now).await?;
    Ok((account, session))
}
