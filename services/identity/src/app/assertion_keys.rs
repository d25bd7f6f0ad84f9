//! The keys with which a Brand proves who its visitors are (SPEC 4).

use chrono::{DateTime, Utc};
use domain::id::{BrandId, KeyId};
use kit::db::Connection;
use rand::Rng;
use rapport_proto::identity::v1::AuditAction;
use secrecy::{ExposeSecret, SecretSlice};

use super::{
    App, Stamp, Write, brands::touch_brand, find_answer, find_brand, journal::Journal, keep_answer,
    sealing_place,
};
use crate::{
    assertion::{JwksUri, KeySet},
    error::IdentityError,
    model::{AssertionKey, AssertionKeyKind},
    store::assertion_keys,
};

/// Two, so that they rotate with overlap.
const MAX_HMAC_SECRETS: usize = 2;
/// Enough for several issuers in rotation, few enough to look through at each sign-in. Inline or
/// published, each kind for itself.
const MAX_KEY_SETS: usize = 8;

/// What a new key consists of.
pub(crate) enum KeyMaterial {
    /// A secret that the server makes.
    NewHmacSecret,
    /// A secret that the Brand has already.
    ImportedHmacSecret(SecretSlice<u8>),
    /// Public keys.
    KeySet(KeySet),
    /// Where public keys are fetched from.
    JwksUri(JwksUri),
}

/// A key to be made.
pub(crate) struct NewAssertionKey {
    pub(crate) material: KeyMaterial,
    /// From when on it proves nothing.
    pub(crate) expire_time: Option<DateTime<Utc>>,
}

/// A key just made.
pub(crate) struct MadeAssertionKey {
    pub(crate) key: AssertionKey,
    /// The secret, where the server made it: told now and never again.
    pub(crate) secret: Option<SecretSlice<u8>>,
}

struct Creation {
    write: Write,
    stamp: Stamp,
    key: AssertionKey,
}

struct Revocation {
    write: Write,
    stamp: Stamp,
    key_id: KeyId,
}

impl App {
    /// Adds a key.
    pub(crate) async fn create_assertion_key(
        &self,
        write: Write,
        new: NewAssertionKey,
    ) -> Result<MadeAssertionKey, IdentityError> {
        let stamp = self.write_stamp(&write);
        let key_id: KeyId = self.ids.next();
        let place = sealing_place(&write.brand_id, key_id);
        let seal = |secret: &SecretSlice<u8>| self.sealing_key.seal(secret.expose_secret(), &place);
        let mut key = AssertionKey {
            brand_id: write.brand_id.clone(),
            assertion_key_id: key_id,
            kind: AssertionKeyKind::HmacSecret,
            sealed_secret: None,
            key_set: None,
            jwks_uri: None,
            create_time: stamp.now,
            expire_time: new.expire_time,
            revoke_time: None,
        };
        let mut made_secret = None;
        match new.material {
            KeyMaterial::NewHmacSecret => {
                let secret = random_secret();
                key.sealed_secret = Some(seal(&secret));
                made_secret = Some(secret);
            }
            KeyMaterial::ImportedHmacSecret(secret) => key.sealed_secret = Some(seal(&secret)),
            KeyMaterial::KeySet(keys) => {
                key.kind = AssertionKeyKind::JwkSet;
                key.key_set = Some(keys.to_json());
            }
            KeyMaterial::JwksUri(uri) => {
                key.kind = AssertionKeyKind::JwksUri;
                key.jwks_uri = Some(uri.as_str().to_owned());
            }
        }
        let creation = Creation { write, stamp, key };
        let key = self
            .db
            .run_tx("create_assertion_key", creation, |c, i| {
                Box::pin(create(c, i))
            })
            .await?;
        Ok(MadeAssertionKey {
            key,
            secret: made_secret,
        })
    }

    /// Lists the Brand's keys, newest first, those before `before`.
    pub(crate) async fn list_assertion_keys(
        &self,
        brand_id: &BrandId,
        include_revoked: bool,
        before: Option<KeyId>,
        limit: i64,
    ) -> Result<Vec<AssertionKey>, IdentityError> {
        let mut connection = self.db.read().await?;
        find_brand(&mut connection, brand_id).await?;
        let in_force_at = (!include_revoked).then(|| self.clock.now());
        Ok(assertion_keys::list(&mut connection, brand_id, in_force_at, before, limit).await?)
    }

    /// Revokes a key; a revoked one stays as it is.
    pub(crate) async fn revoke_assertion_key(
        &self,
        write: Write,
        key_id: KeyId,
    ) -> Result<AssertionKey, IdentityError> {
        let stamp = self.write_stamp(&write);
        let revocation = Revocation {
            write,
            stamp,
            key_id,
        };
        self.db
            .run_tx("revoke_assertion_key", revocation, |c, i| {
                Box::pin(revoke(c, i))
            })
            .await
    }
}

fn random_secret() -> SecretSlice<u8> {
    let mut secret = vec![0; 32];
    rand::rng().fill_bytes(&mut secret);
    secret.into()
}

async fn create(
    connection: &mut Connection,
    input: &Creation,
) -> Result<AssertionKey, IdentityError> {
    let Creation { write, stamp, key } = input;
    let brand = find_brand(connection, &stamp.brand_id).await?;
    if let Some(id) = find_answer::<String>(connection, &write.key).await? {
        let made = id.parse().ok().map(|id| ("assertionKeyId", id));
        return Err(IdentityError::SecretNotRepeated { made });
    }
    let limit = match key.kind {
        AssertionKeyKind::HmacSecret => MAX_HMAC_SECRETS,
        AssertionKeyKind::JwkSet | AssertionKeyKind::JwksUri => MAX_KEY_SETS,
    };
    let in_force = assertion_keys::list_in_force(connection, &stamp.brand_id, stamp.now).await?;
    let of_kind = in_force.iter().filter(|other| other.kind == key.kind);
    if of_kind.count() >= limit {
        return Err(IdentityError::AssertionKeyLimitReached { limit });
    }
    assertion_keys::insert(connection, key).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::AssertionKeyCreated, key.assertion_key_id, "");
    touch_brand(connection, &mut journal, brand, stamp.now).await?;
    journal.write(connection).await?;
    let made = key.assertion_key_id.to_string();
    keep_answer(connection, &write.key, &made, stamp.now).await?;
    Ok(key.clone())
}

async fn revoke(
    connection: &mut Connection,
    input: &Revocation,
) -> Result<AssertionKey, IdentityError> {
    let Revocation {
        write,
        stamp,
        key_id,
    } = input;
    let brand = find_brand(connection, &stamp.brand_id).await?;
    let key = assertion_keys::find(connection, &stamp.brand_id, *key_id).await?;
    let key = key.ok_or(IdentityError::AssertionKeyNotFound)?;
    let is_repeated = find_answer::<()>(connection, &write.key).await?.is_some();
    if is_repeated || key.revoke_time.is_some() {
        return Ok(key);
    }
    assertion_keys::revoke(connection, &stamp.brand_id, *key_id, stamp.now).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::AssertionKeyRevoked, key_id, "");
    touch_brand(connection, &mut journal, brand, stamp.now).await?;
    journal.write(connection).await?;
    keep_answer(connection, &write.key, &(), stamp.now).await?;
    Ok(AssertionKey {
        revoke_time: Some(stamp.now),
        ..key
    })
}
