//! The keys with which a Brand's programs get their tokens.

use chrono::{DateTime, Utc};
use domain::id::{BrandId, KeyId};
use kit::{
    db::Connection,
    secret::{random_token, token_digest},
};
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};
use secrecy::{ExposeSecret, SecretString};

use super::{App, Stamp, Write, find_answer, find_brand, journal::Journal, keep_answer};
use crate::{
    convert::event::{RevokedSubject, sessions_revoked},
    error::IdentityError,
    model::{ApiKey, List},
    store::api_keys,
};

/// Tells a secret's kind, for people and for scanners of leaked secrets.
const SECRET_PREFIX: &str = "rak";
/// The epoch of all tokens of a key; a key is revoked once, so that 1 is above them all.
pub(super) const TOKEN_EPOCH: i64 = 0;

/// A key to be made.
pub(crate) struct NewApiKey {
    pub(crate) display_name: String,
    /// Names of scopes.
    pub(crate) scopes: Vec<String>,
    /// From when on it gives no token.
    pub(crate) expire_time: Option<DateTime<Utc>>,
}

/// A key just made.
pub(crate) struct MadeApiKey {
    pub(crate) key: ApiKey,
    /// Told now and never again.
    pub(crate) secret: SecretString,
}

struct Creation {
    write: Write,
    stamp: Stamp,
    key: ApiKey,
}

struct Revocation {
    write: Write,
    stamp: Stamp,
    key_id: KeyId,
}

impl App {
    /// Makes a key.
    pub(crate) async fn create_api_key(
        &self,
        write: Write,
        new: NewApiKey,
    ) -> Result<MadeApiKey, IdentityError> {
        let stamp = self.write_stamp(&write);
        let secret = random_token(SECRET_PREFIX);
        let key = ApiKey {
            brand_id: write.brand_id.clone(),
            api_key_id: self.ids.next(),
            display_name: new.display_name,
            scopes: List(new.scopes),
            secret_digest: token_digest(secret.expose_secret()).to_vec(),
            create_time: stamp.now,
            expire_time: new.expire_time,
            revoke_time: None,
        };
        let creation = Creation { write, stamp, key };
        let key = self
            .db
            .run_tx("create_api_key", creation, |c, i| Box::pin(create(c, i)))
            .await?;
        Ok(MadeApiKey { key, secret })
    }

    /// Lists the Brand's keys, newest first, those before `before`.
    pub(crate) async fn list_api_keys(
        &self,
        brand_id: &BrandId,
        include_revoked: bool,
        before: Option<KeyId>,
        limit: i64,
    ) -> Result<Vec<ApiKey>, IdentityError> {
        let mut connection = self.db.read().await?;
        find_brand(&mut connection, brand_id).await?;
        let in_force_at = (!include_revoked).then(|| self.clock.now());
        Ok(api_keys::list(&mut connection, brand_id, in_force_at, before, limit).await?)
    }

    /// Revokes a key and the tokens that it gave; a revoked one stays as it is.
    pub(crate) async fn revoke_api_key(
        &self,
        write: Write,
        key_id: KeyId,
    ) -> Result<ApiKey, IdentityError> {
        let stamp = self.write_stamp(&write);
        let revocation = Revocation {
            write,
            stamp,
            key_id,
        };
        self.db
            .run_tx("revoke_api_key", revocation, |c, i| Box::pin(revoke(c, i)))
            .await
    }
}

async fn create(connection: &mut Connection, input: &Creation) -> Result<ApiKey, IdentityError> {
    let Creation { write, stamp, key } = input;
    find_brand(connection, &stamp.brand_id).await?;
    if let Some(id) = find_answer::<String>(connection, &write.key).await? {
        let made = id.parse().ok().map(|id| ("apiKeyId", id));
        return Err(IdentityError::SecretNotRepeated { made });
    }
    api_keys::insert(connection, key).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::ApiKeyCreated, key.api_key_id, "");
    journal.write(connection).await?;
    let made = key.api_key_id.to_string();
    keep_answer(connection, &write.key, &made, stamp.now).await?;
    Ok(key.clone())
}

async fn revoke(connection: &mut Connection, input: &Revocation) -> Result<ApiKey, IdentityError> {
    let Revocation {
        write,
        stamp,
        key_id,
    } = input;
    find_brand(connection, &stamp.brand_id).await?;
    let key = api_keys::find(connection, &stamp.brand_id, *key_id).await?;
    let key = key.ok_or(IdentityError::ApiKeyNotFound)?;
    let is_repeated = find_answer::<()>(connection, &write.key).await?.is_some();
    if is_repeated || key.revoke_time.is_some() {
        return Ok(key);
    }
    api_keys::revoke(connection, &stamp.brand_id, *key_id, stamp.now).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::ApiKeyRevoked, key_id, "");
    journal.event(Payload::SessionsRevoked(sessions_revoked(
        RevokedSubject::ApiKey(*key_id),
        1,
        TOKEN_EPOCH + 1,
        &[],
        stamp.now,
    )));
    journal.write(connection).await?;
    keep_answer(connection, &write.key, &(), stamp.now).await?;
    Ok(ApiKey {
        revoke_time: Some(stamp.now),
        ..key
    })
}
