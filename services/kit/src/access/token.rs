//! Access tokens: short JWTs that identity signs (RFC 7519, EdDSA) and every service verifies by itself.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::TimeDelta;
use domain::id::BrandId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use quick_cache::sync::Cache;
use rapport_proto::{
    access::v1::Caller,
    identity::v1::{GetKeySetRequest, JsonWebKey, session_service_client::SessionServiceClient},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use super::{Principal, Revocations, Standing, Subject};
use crate::{clock::Clock, error::CallError, retry::IDENTITY, secret};

/// Who signs access tokens: the `iss` claim.
pub const ISSUER: &str = "rapport-identity";

/// How long an access token lives, and the longest that a verifier takes one for.
pub const ACCESS_TOKEN_TTL: TimeDelta = TimeDelta::minutes(10);

/// How many verified tokens are remembered.
const REMEMBERED: usize = 16_384;
/// How long identity is left alone after it was asked for its key set, whatever it answered: tokens
/// with invented key ids cost it one call a second. A key is published before the first token is
/// signed with it, so whichever call fetches the set, the tokens of the others are verified too.
const FETCH_COOLDOWN: Duration = Duration::from_secs(1);
/// How long identity may take to give its key set.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// The account, Member or API key.
    pub sub: Uuid,
    /// The Brand.
    pub brand: String,
    /// `TEMPORARY`, `CLIENT`, `MEMBER` or `SERVICE`.
    pub kind: String,
    /// The session; absent for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// The subject's session epoch; tokens of an older one are refused.
    pub epoch: i64,
    /// The client account's link revision (SPEC 54).
    #[serde(default)]
    pub link_revision: i64,
    /// A service's scopes, as numbers of `rapport.access.v1.Scope`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<i32>,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
}

impl Claims {
    pub(super) fn principal(&self) -> Option<Principal> {
        let brand_id = BrandId::parse(&self.brand).ok()?;
        let principal = match Caller::from_str_name(&format!("CALLER_{}", self.kind))? {
            Caller::Temporary => Principal::Temporary(self.subject(brand_id)?),
            Caller::Client => Principal::Client(self.subject(brand_id)?),
            Caller::Member => Principal::Member(self.subject(brand_id)?),
            Caller::Service => Principal::Service {
                brand_id,
                key_id: self.sub.into(),
                scopes: self.scopes.iter().copied().collect(),
            },
            Caller::Unspecified | Caller::Anonymous | Caller::Operator | Caller::Suite => {
                return None;
            }
        };
        Some(principal)
    }

    fn subject<Id: From<Uuid>>(&self, brand_id: BrandId) -> Option<Subject<Id>> {
        Some(Subject {
            brand_id,
            id: self.sub.into(),
            session_id: self.sid?.into(),
            link_revision: self.link_revision,
        })
    }
}

/// The public keys that access tokens are verified with, by `kid`; clones share them.
#[derive(Clone, Default)]
pub struct KeySet(Arc<RwLock<HashMap<String, DecodingKey>>>);

impl KeySet {
    /// Replaces the keys: OKP keys on Ed25519 (RFC 8037); others are left out.
    pub fn replace(&self, keys: &[JsonWebKey]) {
        let keys = keys
            .iter()
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519")
            .filter_map(|key| {
                Some((
                    key.kid.clone(),
                    DecodingKey::from_ed_components(&key.x).ok()?,
                ))
            })
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    #[cfg(test)]
    pub(super) fn kids(&self) -> std::collections::BTreeSet<String> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.keys().cloned().collect()
    }

    fn get(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(kid).cloned()
    }
}

/// The last time that identity was asked for its keys.
#[derive(Clone, Copy)]
struct Fetch {
    time: Instant,
    succeeded: bool,
}

/// Verifies access tokens, and remembers those it has verified until they expire.
pub struct TokenVerifier {
    keys: KeySet,
    /// Where to ask for keys that are not known yet; identity itself has them all.
    identity: Option<SessionServiceClient<Channel>>,
    last_fetch: Mutex<Option<Fetch>>,
    verified: Cache<[u8; 32], Arc<Claims>>,
    revocations: Revocations,
    clock: Clock,
}

impl TokenVerifier {
    /// Returns a verifier over `keys`, which it fetches from `identity` where that is given.
    pub fn new(
        keys: KeySet,
        identity: Option<SessionServiceClient<Channel>>,
        revocations: Revocations,
        clock: Clock,
    ) -> Self {
        Self {
            keys,
            identity,
            last_fetch: Mutex::new(None),
            verified: Cache::new(REMEMBERED),
            revocations,
            clock,
        }
    }

    /// Returns the caller that a token speaks for.
    ///
    /// # Errors
    ///
    /// [`CallError::Unauthenticated`] when it is forged, expired or revoked;
    /// [`CallError::IdentityUnavailable`] when that cannot be told, because identity has been silent
    /// for too long (SPEC 59) or its keys cannot be had; [`CallError::BrandSuspended`] while its Brand
    /// is.
    pub async fn verify(&self, token: &str) -> Result<Standing, CallError> {
        let digest = secret::token_digest(token);
        let claims = match self.verified.get(&digest) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.verify_anew(token).await?);
                self.verified.insert(digest, Arc::clone(&claims));
                claims
            }
        };
        let standing = Standing::new(claims, self.revocations.clone(), self.clock.clone())?;
        standing.check()?;
        Ok(standing)
    }

    async fn verify_anew(&self, token: &str) -> Result<Claims, CallError> {
        let header = decode_header(token).map_err(|_| CallError::Unauthenticated)?;
        let kid = header.kid.ok_or(CallError::Unauthenticated)?;
        let key = match self.keys.get(&kid) {
            Some(key) => key,
            None => {
                self.fetch_keys().await?;
                self.keys.get(&kid).ok_or(CallError::Unauthenticated)?
            }
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // Expiry is checked on each use, in the time of the service's own clock.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| CallError::Unauthenticated)?
            .claims;
        // What was revoked is remembered for as long as a token may live, and no longer.
        if claims.exp.saturating_sub(claims.iat) > ACCESS_TOKEN_TTL.num_seconds() {
            return Err(CallError::Unauthenticated);
        }
        Ok(claims)
    }

    /// Fetches the key set, once for all who wait, and not again within the cooldown.
    async fn fetch_keys(&self) -> Result<(), CallError> {
        let Some(identity) = &self.identity else {
            return Ok(());
        };
        let mut last_fetch = self.last_fetch.lock().await;
        if let Some(fetch) = *last_fetch
            && fetch.time.elapsed() < FETCH_COOLDOWN
        {
            return if fetch.succeeded {
                Ok(())
            } else {
                Err(CallError::IdentityUnavailable)
            };
        }
        let answer = IDENTITY.call(|| {
            let mut identity = identity.clone();
            async move { identity.get_key_set(GetKeySetRequest {}).await }
        });
        let answer = tokio::time::timeout(FETCH_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        *last_fetch = Some(Fetch {
            time: Instant::now(),
            succeeded: answer.is_ok(),
        });
        let response = answer.map_err(|status| {
            tracing::warn!(code = ?status.code(), "identity's key set cannot be had");
            CallError::IdentityUnavailable
        })?;
        self.keys.replace(&response.into_inner().keys);
        Ok(())
    }
}
