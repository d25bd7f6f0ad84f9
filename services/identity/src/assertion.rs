//! Verifies what a Brand signs to say who its visitor is (SPEC 4).
//!
//! There is one way in, [`verify`], and one thing that comes out, a [`VerifiedAssertion`], which
//! nothing else can make. Two forms:
//!
//! | form             | signed with            | names the Brand by     | lives                              |
//! |------------------|------------------------|------------------------|------------------------------------|
//! | signed user data | HMAC-SHA-256, a secret | `brand_id`             | `exp` at most 15 minutes after `iat` |
//! | OIDC ID token    | a private key whose public one the Brand gave | `iss` and `aud` | as its `exp` says         |
//!
//! The caller is told one thing alone, that it is refused; why is an [`AssertionRefusal`], for the
//! audit log. What is fetched is the key set at the address that the Brand configured, and nothing
//! else: a header that points elsewhere is a reason to refuse. That the Brand's server is down is told
//! too, since it says nothing of the assertion, and trying again may help.
//!
//! Profile fields that cannot be what they should be (an e-mail without `@`, a name of 10 kB) count
//! as absent: they are the Brand's word about a customer, not proof of who he is, and a customer
//! must not be locked out by them.

mod id_token;
mod key_server;
mod key_set;
mod published_keys;
mod signed_user_data;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    email::{Email, Provenance},
    id::{BrandId, CustomerId, KeyId},
};
use kit::secret::SealingKey;
use serde::Deserialize;

use crate::model::{AssertionKey, Brand};

pub(crate) use key_server::{JwksUri, Reach};
pub(crate) use key_set::KeySet;
pub(crate) use published_keys::PublishedKeys;

/// The most bytes of an assertion (both forms).
const MAX_BYTES: usize = 8 * 1024;
/// How far the Brand's clock may be from ours.
const CLOCK_LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// The most characters of a name or language.
const MAX_NAME_CHARACTERS: usize = 200;
/// The most characters of a picture's address.
const MAX_URI_CHARACTERS: usize = 2_000;

/// What a visitor's browser brings from the Brand, not yet believed.
pub(crate) enum PresentedAssertion {
    /// A compact JWS.
    IdToken(String),
    /// A JSON document and its HMAC.
    SignedUserData {
        /// The document; these bytes are what is signed.
        json: String,
        /// The HMAC, in hexadecimal digits or base64.
        signature: String,
        /// The secret that signed it; `None` tries each.
        key_id: Option<KeyId>,
    },
}

/// What the verification depends on, besides the assertion: all of it the Brand's own.
pub(crate) struct Trust<'a> {
    /// The Brand with its settings.
    pub(crate) brand: &'a Brand,
    /// Its keys; only those in force count.
    pub(crate) keys: &'a [AssertionKey],
    /// The sets that it publishes elsewhere.
    pub(crate) published_keys: &'a PublishedKeys,
    /// Opens the secrets among them.
    pub(crate) sealing_key: &'a SealingKey,
    /// The present.
    pub(crate) now: DateTime<Utc>,
}

/// The Brand has said who the visitor is: only [`verify`] makes one.
#[derive(Clone)]
pub(crate) struct VerifiedAssertion {
    brand_id: BrandId,
    customer_id: CustomerId,
    nonce: Option<String>,
    profile: Profile,
}

impl VerifiedAssertion {
    /// Returns the Brand that says so.
    pub(crate) fn brand_id(&self) -> &BrandId {
        &self.brand_id
    }

    /// Returns who the visitor is at the Brand.
    pub(crate) fn customer_id(&self) -> &CustomerId {
        &self.customer_id
    }

    /// Returns the nonce of the temporary session that it is meant for, if it names one.
    pub(crate) fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Returns what the Brand says of the visitor.
    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }
}

/// The fields that the Brand owns (SPEC 14); an absent one says nothing.
#[derive(Clone, Default)]
pub(crate) struct Profile {
    /// The e-mail as it was spelled.
    pub(crate) email: Option<AssertedEmail>,
    pub(crate) given_name: Option<String>,
    pub(crate) family_name: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) picture_uri: Option<String>,
}

/// An e-mail in an assertion.
#[derive(Clone)]
pub(crate) struct AssertedEmail {
    /// As it was spelled.
    pub(crate) spelling: String,
    /// As it is compared.
    pub(crate) email: Email,
    /// Whether the Brand stands for it.
    pub(crate) provenance: Provenance,
}

/// Why an assertion proves nothing. For the audit log; the caller never learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionRefusal {
    /// Larger than any honest one.
    #[error("TOO_LARGE")]
    TooLarge,
    /// Not of the form it claims.
    #[error("MALFORMED")]
    Malformed,
    /// Its header points to a key elsewhere, or asks for what we do not know.
    #[error("HEADER_REFUSED")]
    HeaderRefused,
    /// Not signed in a way that the Brand allows.
    #[error("ALGORITHM_REFUSED")]
    AlgorithmRefused,
    /// The Brand has no such key in force.
    #[error("KEY_UNKNOWN")]
    KeyUnknown,
    /// None of the keys at hand is meant, and a set that may have it could not be fetched.
    #[error("KEY_SET_UNAVAILABLE")]
    KeySetUnavailable,
    /// The signature does not fit.
    #[error("SIGNATURE_INVALID")]
    SignatureInvalid,
    /// It is signed, and does not say what it must.
    #[error("CLAIMS_MALFORMED")]
    ClaimsMalformed,
    /// It was made for another Brand.
    #[error("BRAND_MISMATCH")]
    BrandMismatch,
    /// It was not issued by the Brand's issuer.
    #[error("ISSUER_MISMATCH")]
    IssuerMismatch,
    /// It was not issued for the Brand's shop.
    #[error("AUDIENCE_MISMATCH")]
    AudienceMismatch,
    /// Its times say that it is over.
    #[error("EXPIRED")]
    Expired,
    /// Its times say that it is yet to come.
    #[error("NOT_YET_VALID")]
    NotYetValid,
    /// It would be valid for longer than it may.
    #[error("LIFETIME_TOO_LONG")]
    LifetimeTooLong,
    /// It names no customer.
    #[error("CUSTOMER_ID_INVALID")]
    CustomerIdInvalid,
}

/// Returns what the assertion proves.
///
/// # Errors
///
/// [`AssertionRefusal`], of which the caller must be told no more than that there is one; but for
/// `KeySetUnavailable`.
pub(crate) async fn verify(
    presented: &PresentedAssertion,
    trust: &Trust<'_>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    match presented {
        PresentedAssertion::IdToken(token) => id_token::verify(token, trust).await,
        PresentedAssertion::SignedUserData {
            json,
            signature,
            key_id,
        } => signed_user_data::verify(json, signature, *key_id, trust),
    }
}

/// The profile fields as both forms spell them.
#[derive(Deserialize)]
struct WireProfile {
    #[serde(default)]
    email: Option<serde_json::Value>,
    #[serde(default)]
    given_name: Option<serde_json::Value>,
    #[serde(default)]
    family_name: Option<serde_json::Value>,
    #[serde(default)]
    locale: Option<serde_json::Value>,
    #[serde(default)]
    picture: Option<serde_json::Value>,
}

impl WireProfile {
    fn into_profile(self, provenance: Provenance) -> Profile {
        let name = |field| text(field, MAX_NAME_CHARACTERS);
        Profile {
            email: text(self.email, Email::MAX_BYTES).and_then(|spelling| {
                let email = Email::parse(&spelling).ok()?;
                Some(AssertedEmail {
                    spelling,
                    email,
                    provenance,
                })
            }),
            given_name: name(self.given_name),
            family_name: name(self.family_name),
            locale: name(self.locale),
            picture_uri: text(self.picture, MAX_URI_CHARACTERS),
        }
    }
}

/// Returns a field's text, or `None` where it is not one that can be kept.
fn text(field: Option<serde_json::Value>, max_characters: usize) -> Option<String> {
    let field = field?;
    let text = field.as_str()?.trim();
    let fits = !text.is_empty()
        && text.chars().count() <= max_characters
        && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// Returns the instant of a `NumericDate` (RFC 7519, section 2), or `None` for a number that is no
/// instant between 1970 and the year 10000.
fn numeric_date(number: &serde_json::Number) -> Option<DateTime<Utc>> {
    const YEAR_10000: f64 = 253_402_300_800.0;
    let seconds = number.as_f64()?;
    if !(0.0..YEAR_10000).contains(&seconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction of a second is left out, and the range fits"
    )]
    DateTime::from_timestamp(seconds as i64, 0)
}

#[cfg(test)]
mod tests;
