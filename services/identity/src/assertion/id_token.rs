//! OpenID Connect ID tokens: a compact JWS over claims (RFC 7519; OpenID Connect Core, 3.1.3.7).
//!
//! Only the signature is left to the library. Its own validation checks the issuer, the audience and
//! the times leniently and only where they are present, so the claims are read and checked here.

mod key_sets;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{email::Provenance, id::CustomerId};
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use self::key_sets::KeySets;
use super::{
    AssertionRefusal, CLOCK_LEEWAY, MAX_BYTES, Trust, VerifiedAssertion, WireProfile, numeric_date,
};
use crate::model::TokenAlgorithm;

/// Whatever these members of a header hold, a token with one of them brings its own key, or asks for
/// what we do not understand (RFC 8725, 3.10; RFC 7515, 4.1.11).
const REFUSED_MEMBERS: [&str; 5] = ["crit", "jku", "jwk", "x5u", "x5c"];

/// The members of a header that we follow. One that is listed twice is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
}

impl Header {
    /// Returns whether it does not say that it is something else than an ID token, such as an access
    /// token of the same issuer (RFC 8725, 3.11; RFC 7515, 4.1.9).
    fn may_be_id_token(&self) -> bool {
        self.typ.as_deref().is_none_or(|kind| {
            ["JWT", "application/jwt"]
                .iter()
                .any(|own| own.eq_ignore_ascii_case(kind))
        })
    }
}

/// The claims that decide. One that is listed twice is refused.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
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
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Many(audiences) => audiences,
        }
    }
}

pub(super) async fn verify(
    token: &str,
    trust: &Trust<'_>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    if token.len() > MAX_BYTES {
        return Err(AssertionRefusal::TooLarge);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(AssertionRefusal::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(AssertionRefusal::Malformed)?;
    let header = read_header(&decode(header)?)?;
    check_signature(&header, message, signature, trust).await?;

    let payload = decode(payload)?;
    let claims: Claims = read_claims(&payload)?;
    let all: Map<String, Value> = read_claims(&payload)?;
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
    let profile: WireProfile = read_claims(&payload)?;
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

fn read_claims<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, AssertionRefusal> {
    serde_json::from_slice(payload).map_err(|_| AssertionRefusal::ClaimsMalformed)
}

fn read_header(bytes: &[u8]) -> Result<Header, AssertionRefusal> {
    let malformed = |_| AssertionRefusal::Malformed;
    let members: Map<String, Value> = serde_json::from_slice(bytes).map_err(malformed)?;
    if REFUSED_MEMBERS
        .iter()
        .any(|member| members.contains_key(*member))
    {
        return Err(AssertionRefusal::HeaderRefused);
    }
    let header: Header = serde_json::from_slice(bytes).map_err(malformed)?;
    if header.may_be_id_token() {
        Ok(header)
    } else {
        Err(AssertionRefusal::HeaderRefused)
    }
}

/// Verifies under the Brand's own keys of that `kid`, and no other.
async fn check_signature(
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
    let key_sets = KeySets::find(header.kid.as_deref(), trust).await;
    let candidates = key_sets.candidates(header.kid.as_deref(), algorithm);
    // Without a `kid` there must be no choice (OpenID Connect Core, 10.1).
    if candidates.is_empty() || (header.kid.is_none() && candidates.len() > 1) {
        return Err(if key_sets.are_complete {
            AssertionRefusal::KeyUnknown
        } else {
            AssertionRefusal::KeySetUnavailable
        });
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

fn library_algorithm(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Ps256 => Algorithm::PS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::Eddsa => Algorithm::EdDSA,
    }
}

/// Returns whether all whom the token is for are the Brand's, and so is whom it was given to, who
/// must be named where there is a choice (OpenID Connect Core, 3.1.3.7, 3 to 5).
fn is_meant_for(claims: &Claims, audiences: &[String]) -> bool {
    let all = claims.aud.as_slice();
    let is_given_to_one = match &claims.azp {
        Some(party) => audiences.contains(party),
        None => all.len() == 1,
    };
    is_given_to_one && !all.is_empty() && all.iter().all(|audience| audiences.contains(audience))
}

fn check_claims(claims: &Claims, trust: &Trust<'_>) -> Result<(), AssertionRefusal> {
    if claims.iss != trust.brand.issuer {
        return Err(AssertionRefusal::IssuerMismatch);
    }
    if !is_meant_for(claims, &trust.brand.audiences.0) {
        return Err(AssertionRefusal::AudienceMismatch);
    }
    let instant = |number: &Number| numeric_date(number).ok_or(AssertionRefusal::ClaimsMalformed);
    let (issue_time, expire_time) = (instant(&claims.iat)?, instant(&claims.exp)?);
    let not_before = claims.nbf.as_ref().map(instant).transpose()?;
    let latest = trust.now + CLOCK_LEEWAY;
    if issue_time > latest || not_before.is_some_and(|not_before| not_before > latest) {
        return Err(AssertionRefusal::NotYetValid);
    }
    if expire_time <= issue_time {
        return Err(AssertionRefusal::ClaimsMalformed);
    }
    if expire_time + CLOCK_LEEWAY <= trust.now {
        return Err(AssertionRefusal::Expired);
    }
    Ok(())
}
