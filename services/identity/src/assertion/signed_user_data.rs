//! User data signed with HMAC-SHA-256: a JSON document and its hash under a secret that the Brand
//! and we share.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chrono::TimeDelta;
use domain::{
    email::Provenance,
    id::{CustomerId, KeyId},
};
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::Sha256;

use super::{
    AssertionRefusal, CLOCK_LEEWAY, MAX_BYTES, Trust, VerifiedAssertion, WireProfile, numeric_date,
};
use crate::model::AssertionKeyKind;

/// The longest that signed user data may live.
const MAX_LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the document says. A field that is listed twice is refused, so that nobody can read it in
/// another way than we do.
#[derive(Deserialize)]
struct Document {
    brand_id: String,
    customer_id: String,
    iat: i64,
    exp: i64,
    #[serde(default)]
    nonce: Option<String>,
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

pub(super) fn verify(
    json: &str,
    signature: &str,
    key_id: Option<KeyId>,
    trust: &Trust<'_>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    if json.len() > MAX_BYTES {
        return Err(AssertionRefusal::TooLarge);
    }
    let signature = decode_signature(signature).ok_or(AssertionRefusal::Malformed)?;
    check_signature(json.as_bytes(), &signature, key_id, trust)?;
    let document: Document =
        serde_json::from_str(json).map_err(|_| AssertionRefusal::ClaimsMalformed)?;
    if document.brand_id != trust.brand.brand_id.as_str() {
        return Err(AssertionRefusal::BrandMismatch);
    }
    check_times(&document, trust)?;
    let customer_id = CustomerId::parse(&document.customer_id)
        .map_err(|_| AssertionRefusal::CustomerIdInvalid)?;
    let profile = WireProfile {
        email: document.email,
        given_name: document.given_name,
        family_name: document.family_name,
        locale: document.locale,
        picture: document.picture,
    };
    Ok(VerifiedAssertion {
        brand_id: trust.brand.brand_id.clone(),
        customer_id,
        nonce: document.nonce,
        profile: profile.into_profile(Provenance::Attested),
    })
}

fn decode_signature(text: &str) -> Option<Vec<u8>> {
    const HEXADECIMAL_LENGTH: usize = 64;
    if text.len() != HEXADECIMAL_LENGTH {
        return BASE64.decode(text).ok();
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    Some(
        digits?
            .chunks_exact(2)
            .map(|pair| (pair[0] << 4) | pair[1])
            .collect(),
    )
}

/// Tries the secret that is named, or each one in force, in constant time.
fn check_signature(
    message: &[u8],
    signature: &[u8],
    key_id: Option<KeyId>,
    trust: &Trust<'_>,
) -> Result<(), AssertionRefusal> {
    let mut refusal = AssertionRefusal::KeyUnknown;
    for key in trust.keys {
        let is_meant = key_id.is_none_or(|key_id| key_id == key.assertion_key_id);
        if key.kind != AssertionKeyKind::HmacSecret || !key.is_in_force(trust.now) || !is_meant {
            continue;
        }
        let place = crate::app::sealing_place(&key.brand_id, key.assertion_key_id);
        let secret = key
            .sealed_secret
            .as_deref()
            .and_then(|sealed| trust.sealing_key.open(sealed, &place).ok());
        let Some(secret) = secret else {
            tracing::error!(
                assertion_key.id = %key.assertion_key_id,
                "assertion key does not open under the configured encryption key"
            );
            continue;
        };
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.expose_secret())
            .expect("HMAC takes a key of any length");
        mac.update(message);
        if mac.verify_slice(signature).is_ok() {
            return Ok(());
        }
        refusal = AssertionRefusal::SignatureInvalid;
    }
    Err(refusal)
}

fn check_times(document: &Document, trust: &Trust<'_>) -> Result<(), AssertionRefusal> {
    let instant =
        |seconds: i64| numeric_date(&seconds.into()).ok_or(AssertionRefusal::ClaimsMalformed);
    let (issue_time, expire_time) = (instant(document.iat)?, instant(document.exp)?);
    if expire_time <= issue_time {
        return Err(AssertionRefusal::ClaimsMalformed);
    }
    if expire_time - issue_time > MAX_LIFETIME {
        return Err(AssertionRefusal::LifetimeTooLong);
    }
    if issue_time > trust.now + CLOCK_LEEWAY {
        return Err(AssertionRefusal::NotYetValid);
    }
    if expire_time + CLOCK_LEEWAY <= trust.now {
        return Err(AssertionRefusal::Expired);
    }
    Ok(())
}
