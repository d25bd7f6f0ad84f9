//! Signs access tokens with the installation's keys.
//!
//! Access tokens are JWTs (RFC 7519) under EdDSA on Ed25519 (RFC 8037), valid for ten minutes, which
//! every service verifies by itself with the key set. Private keys are kept sealed. The first is made on
//! the first start, and another whenever the newest has reached its lifetime, by whichever replica comes
//! first: the rows decide, and each replica looks at them again and again.

mod rotation;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{SigningKey as Ed25519, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::{
    access::{ACCESS_TOKEN_TTL, Claims, ISSUER, KeySet},
    clock::Clock,
    db::{Connection, Db, StoreError},
    error::CallError,
    secret::SealingKey,
    server::Lifetime,
};
use rand::Rng;
use rapport_proto::{access::v1::Caller, identity::v1::JsonWebKey};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{model::SigningKey, store::signing_keys};

/// How often a replica looks whether a key is due, or was made by another.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A signing key that this installation cannot use.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The database failed.
    #[error("the signing keys cannot be read")]
    Store(#[from] StoreError),
    /// The configured encryption key is not the one that the signing key was sealed under.
    #[error("the signing key {key_id} does not open under the configured encryption key")]
    Sealed {
        /// Its `kid`.
        key_id: String,
    },
}

/// For whom an access token speaks.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    /// What kind of caller it is.
    pub(crate) caller: Caller,
    /// The Brand's slug.
    pub(crate) brand: String,
    /// The account, Member or API key.
    pub(crate) subject: Uuid,
    /// The session; absent for services.
    pub(crate) session: Option<Uuid>,
    /// The subject's session epoch.
    pub(crate) epoch: i64,
    /// The client account's link revision; 0 for others.
    pub(crate) link_revision: i64,
    /// A service's scopes.
    pub(crate) scopes: Vec<i32>,
}

/// An access token, and when it expires.
pub(crate) struct AccessToken {
    pub(crate) token: SecretString,
    pub(crate) expire_time: DateTime<Utc>,
}

/// The keys that sign, one after the other, and the public keys that verify what was signed.
pub(crate) struct TokenSigner {
    db: Db,
    sealing_key: SealingKey,
    lifetime: TimeDelta,
    clock: Clock,
    keys: RwLock<Arc<Keys>>,
    /// What this service verifies with.
    key_set: KeySet,
}

/// The keys that are kept, newest first.
#[derive(Default)]
struct Keys {
    create_times: Vec<DateTime<Utc>>,
    public: Vec<JsonWebKey>,
    private: Vec<EncodingKey>,
}

impl TokenSigner {
    /// Loads the keys, and makes one where none is kept or the newest has reached `lifetime`.
    pub(crate) async fn load(
        db: &Db,
        sealing_key: &SealingKey,
        lifetime: TimeDelta,
        clock: &Clock,
    ) -> Result<Self, SigningKeyError> {
        let signer = Self {
            db: db.clone(),
            sealing_key: sealing_key.clone(),
            lifetime,
            clock: clock.clone(),
            keys: RwLock::default(),
            key_set: KeySet::default(),
        };
        signer.look().await?;
        Ok(signer)
    }

    /// Makes keys when they are due and takes up those of other replicas, until the service stops.
    pub(crate) async fn follow(self: Arc<Self>, lifetime: Lifetime) {
        loop {
            tokio::select! {
                () = lifetime.shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if let Err(error) = self.look().await {
                // It goes on with the keys that it has: they sign until others are to.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "signing keys cannot be brought up to date"
                );
            }
        }
    }

    /// Returns the public keys that are published now.
    pub(crate) fn published_keys(&self) -> Vec<JsonWebKey> {
        let keys = self.keys();
        let count = rotation::published(&keys.create_times, self.clock.now());
        keys.public[..count].to_vec()
    }

    /// Returns the keys that this service verifies with, kept up to date.
    pub(crate) fn key_set(&self) -> KeySet {
        self.key_set.clone()
    }

    /// Signs a token for `bearer`, valid from now for ten minutes.
    pub(crate) fn sign(&self, bearer: Bearer) -> Result<AccessToken, CallError> {
        let now = self.clock.now();
        let expire_time = now + ACCESS_TOKEN_TTL;
        let kind = bearer.caller.as_str_name();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: bearer.subject,
            brand: bearer.brand,
            kind: kind.strip_prefix("CALLER_").unwrap_or(kind).to_owned(),
            sid: bearer.session,
            epoch: bearer.epoch,
            link_revision: bearer.link_revision,
            scopes: bearer.scopes,
            iat: now.timestamp(),
            exp: expire_time.timestamp(),
        };
        let keys = self.keys();
        let index = rotation::signing(&keys.create_times, now)
            .ok_or_else(|| CallError::Internal("there is no signing key".into()))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(keys.public[index].kid.clone());
        let token = encode(&header, &claims, &keys.private[index])
            .map_err(|error| CallError::Internal(error.into()))?;
        Ok(AccessToken {
            token: token.into(),
            expire_time,
        })
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the rows, changes them where it is time, and takes up what has changed.
    async fn look(&self) -> Result<(), SigningKeyError> {
        let now = self.clock.now();
        let mut rows = signing_keys::list(&mut *self.db.read().await?).await?;
        let create_times = create_times(&rows);
        if rotation::is_due(&create_times, now, self.lifetime)
            || rotation::published(&create_times, now) < rows.len()
        {
            let rotation = Rotation {
                made: make(&self.sealing_key, now),
                lifetime: self.lifetime,
                now,
            };
            rows = self
                .db
                .run_tx("rotate_signing_keys", rotation, |c, i| {
                    Box::pin(rotate(c, i))
                })
                .await?;
        }
        let known = self.keys();
        let is_known = rows
            .iter()
            .map(|row| &row.signing_key_id)
            .eq(known.public.iter().map(|key| &key.kid));
        if !is_known {
            let keys = open_all(&rows, &self.sealing_key)?;
            self.key_set.replace(&keys.public);
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            tracing::info!(count = rows.len(), "signing keys taken up");
        }
        Ok(())
    }
}

struct Rotation {
    /// The next key, in case it is due.
    made: SigningKey,
    lifetime: TimeDelta,
    now: DateTime<Utc>,
}

/// Adds a key where one is due, deletes those that nothing is verified with any more, and returns those
/// that are kept.
async fn rotate(
    connection: &mut Connection,
    input: &Rotation,
) -> Result<Vec<SigningKey>, StoreError> {
    let mut keys = signing_keys::list(connection).await?;
    if rotation::is_due(&create_times(&keys), input.now, input.lifetime) {
        signing_keys::insert(connection, &input.made).await?;
        keys.insert(0, input.made.clone());
    }
    let kept = rotation::published(&create_times(&keys), input.now);
    for key in keys.split_off(kept) {
        signing_keys::delete(connection, &key.signing_key_id).await?;
    }
    Ok(keys)
}

fn create_times(keys: &[SigningKey]) -> Vec<DateTime<Utc>> {
    keys.iter().map(|key| key.create_time).collect()
}

/// Makes a key.
fn make(sealing_key: &SealingKey, now: DateTime<Utc>) -> SigningKey {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let public_key = Ed25519::from_bytes(&seed).verifying_key();
    let signing_key_id = BASE64_URL_SAFE_NO_PAD.encode(&public_key.as_bytes()[..12]);
    SigningKey {
        sealed_private_key: sealing_key.seal(&seed, &place(&signing_key_id)),
        public_key: public_key.as_bytes().to_vec(),
        signing_key_id,
        create_time: now,
    }
}

fn open_all(rows: &[SigningKey], sealing_key: &SealingKey) -> Result<Keys, SigningKeyError> {
    let private = rows.iter().map(|row| {
        open(row, sealing_key).ok_or_else(|| SigningKeyError::Sealed {
            key_id: row.signing_key_id.clone(),
        })
    });
    Ok(Keys {
        private: private.collect::<Result<_, _>>()?,
        public: rows.iter().map(json_web_key).collect(),
        create_times: create_times(rows),
    })
}

/// Returns the signing half of a stored key.
fn open(key: &SigningKey, sealing_key: &SealingKey) -> Option<EncodingKey> {
    let seed = sealing_key
        .open(&key.sealed_private_key, &place(&key.signing_key_id))
        .ok()?;
    let seed: &[u8; 32] = seed.expose_secret().as_slice().try_into().ok()?;
    let document = Ed25519::from_bytes(seed).to_pkcs8_der().ok()?;
    Some(EncodingKey::from_ed_der(document.as_bytes()))
}

fn place(key_id: &str) -> String {
    format!("signing_key/{key_id}")
}

fn json_web_key(key: &SigningKey) -> JsonWebKey {
    JsonWebKey {
        kid: key.signing_key_id.clone(),
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: BASE64_URL_SAFE_NO_PAD.encode(&key.public_key),
        alg: "EdDSA".to_owned(),
        r#use: "sig".to_owned(),
    }
}
