//! Signs access tokens with the installation's key.
//!
//! Access tokens are JWTs (RFC 7519) under EdDSA on Ed25519 (RFC 8037), valid for ten minutes, which
//! every service verifies by itself with the key set. The private key is kept sealed; it is made on
//! the first start, by whichever replica comes first.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{SigningKey as Ed25519, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::{
    access::{Claims, ISSUER},
    db::{Connection, Db, StoreError},
    error::CallError,
    secret::SealingKey,
};
use rand::Rng;
use rapport_proto::{access::v1::Caller, identity::v1::JsonWebKey};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{model::SigningKey, store::signing_keys};

/// How long an access token is valid.
const ACCESS_TOKEN_TTL: TimeDelta = TimeDelta::minutes(10);

/// A signing key that this installation cannot use.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The database failed.
    #[error("the signing key cannot be read")]
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

/// The key that signs, and the public keys that verify what was signed.
pub(crate) struct TokenSigner {
    key_id: String,
    key: EncodingKey,
    key_set: Vec<JsonWebKey>,
}

impl TokenSigner {
    /// Loads the newest key, or makes the first.
    pub(crate) async fn load(
        db: &Db,
        sealing_key: &SealingKey,
        now: DateTime<Utc>,
    ) -> Result<Self, SigningKeyError> {
        let keys = db
            .run_tx("load_signing_keys", make(sealing_key, now), |c, made| {
                Box::pin(list_or_insert(c, made))
            })
            .await?;
        let key_set = keys.iter().map(json_web_key).collect();
        // The transaction has left at least one.
        let newest = keys.into_iter().next().ok_or(StoreError::Corrupt {
            what: "signing_key",
        })?;
        let key = open(&newest, sealing_key).ok_or_else(|| SigningKeyError::Sealed {
            key_id: newest.signing_key_id.clone(),
        })?;
        Ok(Self {
            key_id: newest.signing_key_id,
            key,
            key_set,
        })
    }

    /// Returns the public keys.
    pub(crate) fn key_set(&self) -> &[JsonWebKey] {
        &self.key_set
    }

    /// Signs a token for `bearer`, valid from `now` for ten minutes.
    pub(crate) fn sign(
        &self,
        bearer: Bearer,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, CallError> {
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
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        let token = encode(&header, &claims, &self.key)
            .map_err(|error| CallError::Internal(error.into()))?;
        Ok(AccessToken {
            token: token.into(),
            expire_time,
        })
    }
}

/// Makes a key, in case there is none.
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

async fn list_or_insert(
    connection: &mut Connection,
    made: &SigningKey,
) -> Result<Vec<SigningKey>, StoreError> {
    let keys = signing_keys::list(connection).await?;
    if !keys.is_empty() {
        return Ok(keys);
    }
    signing_keys::insert(connection, made).await?;
    Ok(vec![made.clone()])
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
