//! The public keys of a Brand, as a JWK set (RFC 7517).

mod roca;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};

use crate::model::TokenAlgorithm;

/// The most bytes of a set.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// The most keys of a set.
const MAX_KEYS: usize = 32;
/// The sizes of an RSA modulus that are neither weak nor meant to keep us busy, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// A text that cannot be a Brand's key set; keys are never repeated in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidKeySet {
    /// Too large.
    #[error("must be at most 64 KiB and 32 keys")]
    TooLarge,
    /// Not JSON of that form.
    #[error("must be a JWK set in JSON")]
    Malformed,
    /// A private or symmetric key, which must not leave the Brand.
    #[error("must hold public keys only")]
    NotPublic,
    /// Nothing in it verifies an ID token.
    #[error("must hold a usable key: RSA of 2,048 to 8,192 bits, EC on P-256, OKP on Ed25519")]
    NothingUsable,
}

/// The keys of a set that can verify ID tokens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct KeySet {
    keys: Vec<PublicKey>,
}

/// A public key: the members that we use, and none else.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct PublicKey {
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    intended_use: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_ops: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl KeySet {
    /// Returns the usable keys of a set that a Brand gives.
    ///
    /// Keys of other types or uses are left out, as RFC 7517, section 5 asks.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySet`] says why there is none.
    pub(crate) fn import(json: &str) -> Result<Self, InvalidKeySet> {
        #[derive(Deserialize)]
        struct Wire {
            keys: Vec<serde_json::Map<String, serde_json::Value>>,
        }
        if json.len() > MAX_BYTES {
            return Err(InvalidKeySet::TooLarge);
        }
        let wire: Wire = serde_json::from_str(json).map_err(|_| InvalidKeySet::Malformed)?;
        if wire.keys.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooLarge);
        }
        // `d` is private in every key type, `k` is a symmetric key (RFC 7518, section 6).
        if wire
            .keys
            .iter()
            .any(|key| key.contains_key("d") || key.contains_key("k"))
        {
            return Err(InvalidKeySet::NotPublic);
        }
        let keys: Vec<PublicKey> = wire
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key.into()).ok())
            .filter(PublicKey::is_usable)
            .collect();
        if keys.is_empty() {
            return Err(InvalidKeySet::NothingUsable);
        }
        Ok(Self { keys })
    }

    /// Returns the set that [`KeySet::to_json`] wrote.
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Returns the set for storing.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a key is a plain struct of texts")
    }

    /// Returns the `kid` of each key that has one.
    pub(crate) fn key_ids(&self) -> Vec<String> {
        self.keys.iter().filter_map(|key| key.kid.clone()).collect()
    }

    pub(super) fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
}

impl PublicKey {
    pub(super) fn key_id(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn is_usable(&self) -> bool {
        [
            TokenAlgorithm::Rs256,
            TokenAlgorithm::Ps256,
            TokenAlgorithm::Es256,
            TokenAlgorithm::Eddsa,
        ]
        .into_iter()
        .any(|algorithm| self.decoding_key(algorithm).is_some())
    }

    /// Returns the key for verifying under `algorithm`, or `None` where it is not meant for that:
    /// what a key is used for is decided by the key, never by a token's header alone (RFC 8725, 3.1).
    pub(super) fn decoding_key(&self, algorithm: TokenAlgorithm) -> Option<DecodingKey> {
        let is_for =
            |own: &Option<String>, meant: &str| own.as_deref().is_none_or(|own| own == meant);
        let may_verify = self
            .key_ops
            .as_ref()
            .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !is_for(&self.intended_use, "sig")
            || !is_for(&self.alg, &algorithm.to_string())
            || !may_verify
        {
            return None;
        }
        match (algorithm, self.kty.as_str(), self.crv.as_deref()) {
            (TokenAlgorithm::Rs256 | TokenAlgorithm::Ps256, "RSA", None) => self.rsa(),
            (TokenAlgorithm::Es256, "EC", Some("P-256")) => self.p256(),
            (TokenAlgorithm::Eddsa, "OKP", Some("Ed25519")) => self.ed25519(),
            _ => None,
        }
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let (modulus, exponent) = (bytes(self.n.as_ref()?)?, bytes(self.e.as_ref()?)?);
        let modulus = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
        let fits = RSA_BYTES.contains(&modulus.len())
            && (1..=8).contains(&exponent.len())
            && !roca::is_of_weak_chip(modulus);
        fits.then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
    }

    fn p256(&self) -> Option<DecodingKey> {
        let (x, y) = (self.x.as_ref()?, self.y.as_ref()?);
        let fits = bytes(x)?.len() == 32 && bytes(y)?.len() == 32;
        fits.then(|| DecodingKey::from_ec_components(x, y).ok())?
    }

    fn ed25519(&self) -> Option<DecodingKey> {
        let x = self.x.as_ref()?;
        let fits = bytes(x)?.len() == 32;
        fits.then(|| DecodingKey::from_ed_components(x).ok())?
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}
