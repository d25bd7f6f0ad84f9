//! OpenID Connect ID tokens: a compact JWS over claims (RFC 7519; OpenID Connect Core, 3.1.3.7).
//!
//! Only the signature is left to the library. Its own validation checks the issuer, the audience and
//! the times leniently and only where they are present, so the claims are read and checked here.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{email::Provenance, id::CustomerId};
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::{
    AssertionRefusal, CLOCK_LEEWAY, KeySet, MAX_BYTES, Trust, VerifiedAssertion, WireProfile,
    numeric_date,
};
use crate::model::{AssertionKeyKind, TokenAlgorithm};

/// Whatever these members of a header hold, a token with one of them brings its own key, or asks for
/// what we do not understand (RFC 8725, 3.10; RFC 7515, 4.1.11).
const REFUSED_MEMBERS: [&str; 5] = ["crit", "jku", "jwk", "x5u", "x5c"];

/// The members of a header that we follow. One that is listed twice is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

/// The claims that decide. One that is listed twice is refused.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Number,
    iat: Number,
    #[serde(default)]
    nbf: Option<Number>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    email_verified: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has_one_of(&self, expected: &[String]) -> bool {
        match self {
            Self::One(audience) => expected.contains(audience),
            Self::Many(audiences) => audiences.iter().any(|audience| expected.contains(audience)),
        }
    }
}

pub(super) fn verify(
    token: &str,
    trust: &Trust<'_>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    if token.len() > MAX_BYTES {
        return Err(AssertionRefusal::TooLarge);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(AssertionRefusal::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(AssertionRefusal::Malformed)?;
    let header = read_header(&decode(header)?)?;
    check_signature(&header, message, signature, trust)?;

    let payload = decode(payload)?;
    let claims: Claims = json(&payload)?;
    let all: Map<String, Value> = json(&payload)?;
    check_claims(&claims, trust)?;
    let customer_id = match trust.brand.customer_id_claim.as_str() {
        "sub" => Some(claims.sub.as_str()),
        claim => all.get(claim).and_then(Value::as_str),
    };
    let customer_id = customer_id
        .and_then(|id| CustomerId::parse(id).ok())
        .ok_or(AssertionRefusal::CustomerIdInvalid)?;
    // Some providers write the truth value as a text.
    let provenance = match &claims.email_verified {
        Some(Value::Bool(true)) => Provenance::Attested,
        Some(Value::String(text)) if text == "true" => Provenance::Attested,
        _ => Provenance::Typed,
    };
    let profile: WireProfile = json(&payload)?;
    Ok(VerifiedAssertion {
        brand_id: trust.brand.brand_id.clone(),
        customer_id,
        nonce: claims.nonce,
        profile: profile.into_profile(provenance),
    })
}

fn decode(part: &str) -> Result<Vec<u8>, AssertionRefusal> {
    BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AssertionRefusal::Malformed)
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, AssertionRefusal> {
    serde_json::from_slice(bytes).map_err(|_| AssertionRefusal::Malformed)
}

fn read_header(bytes: &[u8]) -> Result<Header, AssertionRefusal> {
    let members: Map<String, Value> = json(bytes)?;
    if REFUSED_MEMBERS
        .iter()
        .any(|member| members.contains_key(*member))
    {
        return Err(AssertionRefusal::HeaderRefused);
    }
    json(bytes)
}

/// Verifies under the Brand's own keys of that `kid`, and no other.
fn check_signature(
    header: &Header,
    message: &str,
    signature: &str,
    trust: &Trust<'_>,
) -> Result<(), AssertionRefusal> {
    let algorithm: TokenAlgorithm = header
        .alg
        .parse()
        .map_err(|_| AssertionRefusal::AlgorithmRefused)?;
    if !trust.brand.token_algorithms.0.contains(&algorithm) {
        return Err(AssertionRefusal::AlgorithmRefused);
    }
    let sets = key_sets(trust);
    let candidates: Vec<_> = sets
        .iter()
        .flat_map(|set| set.keys())
        .filter(|key| header.kid.is_none() || key.key_id() == header.kid.as_deref())
        .filter_map(|key| key.decoding_key(algorithm))
        .collect();
    // Without a `kid` there must be no choice (OpenID Connect Core, 10.1).
    if candidates.is_empty() || (header.kid.is_none() && candidates.len() > 1) {
        return Err(AssertionRefusal::KeyUnknown);
    }
    let is_signed = candidates.iter().any(|key| {
        crypto::verify(
            signature,
            message.as_bytes(),
            key,
            library_algorithm(algorithm),
        )
        .unwrap_or(false)
    });
    if is_signed {
        Ok(())
    } else {
        Err(AssertionRefusal::SignatureInvalid)
    }
}

fn key_sets(trust: &Trust<'_>) -> Vec<KeySet> {
    trust
        .keys
        .iter()
        .filter(|key| key.kind == AssertionKeyKind::JwkSet && key.is_in_force(trust.now))
        .filter_map(|key| KeySet::from_json(key.key_set.as_deref()?))
        .collect()
}

fn library_algorithm(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Ps256 => Algorithm::PS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::Eddsa => Algorithm::EdDSA,
    }
}

fn check_claims(claims: &Claims, trust: &Trust<'_>) -> Result<(), AssertionRefusal> {
    if claims.iss != trust.brand.issuer {
        return Err(AssertionRefusal::IssuerMismatch);
    }
    if !claims.aud.has_one_of(&trust.brand.audiences.0) {
        return Err(AssertionRefusal::AudienceMismatch);
    }
    let instant = |number: &Number| numeric_date(number).ok_or(AssertionRefusal::Malformed);
    let (issue_time, expire_time) = (instant(&claims.iat)?, instant(&claims.exp)?);
    let not_before = claims.nbf.as_ref().map(instant).transpose()?;
    let latest = trust.now + CLOCK_LEEWAY;
    if issue_time > latest || not_before.is_some_and(|not_before| not_before > latest) {
        return Err(AssertionRefusal::NotYetValid);
    }
    if expire_time <= issue_time {
        return Err(AssertionRefusal::Malformed);
    }
    if expire_time + CLOCK_LEEWAY <= trust.now {
        return Err(AssertionRefusal::Expired);
    }
    Ok(())
}
