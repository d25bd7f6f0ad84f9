//! What is believed, and what is not (SPEC 4).

mod signed_user_data;
mod wycheproof;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{email::Provenance, id::KeyId};
use ed25519_dalek::{Signer, SigningKey};
use futures_util::FutureExt;
use hmac::{Hmac, Mac};
use kit::secret::Key;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{key_set::InvalidKeySet, *};
use crate::{
    app::sealing_place,
    model::{AssertionKeyKind, BrandState, List, TokenAlgorithm},
};

/// Keys and tokens made by PyJWT, another implementation; their private halves are gone.
const VECTORS: &str = include_str!("tests/vectors.json");
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
/// When the tokens of `VECTORS` were issued.
const ISSUED: i64 = 1_767_225_600;
const ISSUER: &str = "https://login.shop.example";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(ISSUED, 0).unwrap()
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn brand() -> Brand {
    Brand {
        brand_id: BrandId::parse("shop").unwrap(),
        display_name: "Shop".to_owned(),
        state: BrandState::Active,
        merge_policy_revision: 1,
        nonce_required: false,
        token_algorithms: List(vec![
            TokenAlgorithm::Rs256,
            TokenAlgorithm::Ps256,
            TokenAlgorithm::Es256,
            TokenAlgorithm::Eddsa,
        ]),
        issuer: ISSUER.to_owned(),
        audiences: List(vec!["shop".to_owned(), "app".to_owned()]),
        customer_id_claim: "sub".to_owned(),
        widget_policy_version: String::new(),
        temporary_account_ttl_seconds: 1,
        attribution_window_limit_seconds: 1,
        client_session_ttl_seconds: 1,
        time_zone: "UTC".to_owned(),
        revision: 1,
        create_time: now(),
        update_time: now(),
    }
}

fn key(kind: AssertionKeyKind) -> AssertionKey {
    AssertionKey {
        brand_id: brand().brand_id,
        assertion_key_id: KeyId::new(uuid::Uuid::from_u128(kind as u128)),
        kind,
        sealed_secret: None,
        key_set: None,
        jwks_uri: None,
        create_time: now(),
        expire_time: None,
        revoke_time: None,
    }
}

/// The Brand's keys: those of `VECTORS`, our own under `kid` "own", and a secret.
fn keys(sealing_key: &SealingKey) -> Vec<AssertionKey> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let own = BASE64_URL_SAFE_NO_PAD.encode(signing_key().verifying_key().as_bytes());
    let own = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "own", "x": own }] });
    let set = |json: &Value| KeySet::import(&json.to_string()).unwrap().to_json();
    let secret = key(AssertionKeyKind::HmacSecret);
    let place = sealing_place(&secret.brand_id, secret.assertion_key_id);
    vec![
        AssertionKey {
            key_set: Some(set(&vectors["jwks"])),
            ..key(AssertionKeyKind::JwkSet)
        },
        AssertionKey {
            key_set: Some(set(&own)),
            ..key(AssertionKeyKind::JwkSet)
        },
        AssertionKey {
            sealed_secret: Some(sealing_key.seal(SECRET, &place)),
            ..secret
        },
    ]
}

fn verify_for(
    brand: &Brand,
    presented: &PresentedAssertion,
    now: DateTime<Utc>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    let sealing_key = SealingKey::new(Key::random());
    let keys = keys(&sealing_key);
    let trust = Trust {
        brand,
        keys: &keys,
        published_keys: &PublishedKeys::new(Reach::Public),
        sealing_key: &sealing_key,
        now,
    };
    verify_now(presented, &trust)
}

/// Verifies, and does not wait: no key is looked for elsewhere.
fn verify_now(
    presented: &PresentedAssertion,
    trust: &Trust<'_>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    let verified = verify(presented, trust).now_or_never();
    verified.expect("all keys are at hand")
}

fn outcome(brand: &Brand, presented: &PresentedAssertion, now: DateTime<Utc>) -> String {
    match verify_for(brand, presented, now) {
        Ok(verified) => verified.customer_id().to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

fn part(json: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// Signs a token with our own key, whatever its header and claims say.
fn token(header: &str, claims: &str) -> PresentedAssertion {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = signing_key().sign(message.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes());
    PresentedAssertion::IdToken(format!("{message}.{signature}"))
}

const HEADER: &str = r#"{"alg":"EdDSA","kid":"own"}"#;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "c-1", "aud": "shop",
        "iat": ISSUED, "exp": ISSUED + 300,
    })
}

fn claims_with(name: &str, value: Value) -> String {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    claims.to_string()
}

fn check_claim(name: &str, value: Value, expected: &str) {
    let token = token(HEADER, &claims_with(name, value.clone()));
    assert_eq!(outcome(&brand(), &token, now()), expected, "{name} {value}");
}

#[test]
fn tokens_of_another_implementation_verify_under_each_algorithm() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for (algorithm, text) in vectors["tokens"].as_object().unwrap() {
        let text = text.as_str().unwrap();
        let token = |text: &str| PresentedAssertion::IdToken(text.to_owned());
        assert_eq!(outcome(&brand(), &token(text), now()), "c-1", "{algorithm}");
        // One bit of the signature, one of the claims.
        let last = text.rfind('.').unwrap();
        for at in [last + 5, last - 5] {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let tampered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            let refused = outcome(&brand(), &token(&tampered), now());
            assert_eq!(refused, "SIGNATURE_INVALID", "{algorithm}");
        }
        let not_allowed = Brand {
            token_algorithms: List(Vec::new()),
            ..brand()
        };
        assert_eq!(
            outcome(&not_allowed, &token(text), now()),
            "ALGORITHM_REFUSED"
        );
    }
}

#[test]
fn a_key_serves_the_algorithm_it_was_made_for_alone() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for (algorithm, text) in vectors["tokens"].as_object().unwrap() {
        let (_, rest) = text.as_str().unwrap().split_once('.').unwrap();
        for other in ["RS256", "PS256", "ES256", "EdDSA", "HS256", "none", "ES384"] {
            if other == algorithm {
                continue;
            }
            let header = json!({ "alg": other, "kid": algorithm }).to_string();
            let confused = PresentedAssertion::IdToken(format!("{}.{rest}", part(&header)));
            let refused = outcome(&brand(), &confused, now());
            let reasons = ["SIGNATURE_INVALID", "KEY_UNKNOWN", "ALGORITHM_REFUSED"];
            assert!(
                reasons.contains(&refused.as_str()),
                "{algorithm} as {other}: {refused}"
            );
        }
    }
}

#[test]
fn a_token_says_when_and_for_whom() {
    check_claim("sub", json!("c-1"), "c-1");
    check_claim(
        "iss",
        json!("https://login.shop.example/"),
        "ISSUER_MISMATCH",
    );
    check_claim("iss", Value::Null, "CLAIMS_MALFORMED");
    check_claim("iss", json!([ISSUER]), "CLAIMS_MALFORMED");
    check_claim("aud", json!(["app"]), "c-1");
    check_claim("aud", json!(["app", "x"]), "AUDIENCE_MISMATCH");
    check_claim("aud", json!(["app", "shop"]), "AUDIENCE_MISMATCH");
    check_claim("azp", json!("app"), "c-1");
    check_claim("azp", json!("x"), "AUDIENCE_MISMATCH");
    check_claim("azp", json!(["app"]), "CLAIMS_MALFORMED");
    check_claim("aud", json!("other"), "AUDIENCE_MISMATCH");
    check_claim("aud", json!([]), "AUDIENCE_MISMATCH");
    check_claim("aud", Value::Null, "CLAIMS_MALFORMED");
    check_claim("sub", json!(""), "CUSTOMER_ID_INVALID");
    check_claim("sub", json!(7), "CLAIMS_MALFORMED");
    check_claim("exp", Value::Null, "CLAIMS_MALFORMED");
    check_claim("exp", json!((ISSUED + 300).to_string()), "CLAIMS_MALFORMED");
    check_claim("exp", json!(1e300), "CLAIMS_MALFORMED");
    check_claim("exp", json!(u64::MAX), "CLAIMS_MALFORMED");
    check_claim("exp", json!(-1), "CLAIMS_MALFORMED");
    check_claim("exp", json!(ISSUED), "CLAIMS_MALFORMED");
    check_claim("exp", json!(ISSUED as f64 + 300.5), "c-1");
    check_claim("iat", Value::Null, "CLAIMS_MALFORMED");
    check_claim("iat", json!(ISSUED + 30), "c-1");
    check_claim("iat", json!(ISSUED + 31), "NOT_YET_VALID");
    check_claim("nbf", json!(ISSUED + 30), "c-1");
    check_claim("nbf", json!(ISSUED + 31), "NOT_YET_VALID");
    check_claim("nbf", json!("soon"), "CLAIMS_MALFORMED");
}

#[test]
fn a_token_expires_after_its_leeway() {
    let token = token(HEADER, &claims().to_string());
    let at = |seconds| now() + TimeDelta::seconds(seconds);
    assert_eq!(outcome(&brand(), &token, at(329)), "c-1");
    assert_eq!(outcome(&brand(), &token, at(330)), "EXPIRED");
}

fn check_header(header: &str, expected: &str) {
    let token = token(header, &claims().to_string());
    assert_eq!(outcome(&brand(), &token, now()), expected, "{header}");
}

#[test]
fn a_header_leads_nowhere_but_to_the_brands_own_keys() {
    check_header(HEADER, "c-1");
    for member in ["crit", "jku", "jwk", "x5u", "x5c"] {
        for value in ["null", "[]", "\"https://evil.example\"", "{}"] {
            let header = format!(r#"{{"alg":"EdDSA","kid":"own","{member}":{value}}}"#);
            check_header(&header, "HEADER_REFUSED");
        }
    }
    check_header(r#"{"alg":"EdDSA","kid":"other"}"#, "KEY_UNKNOWN");
    check_header(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, "SIGNATURE_INVALID");
    // Two keys would do, and none is named.
    check_header(r#"{"alg":"EdDSA"}"#, "KEY_UNKNOWN");
    check_header(r#"{"alg":"none","kid":"own"}"#, "ALGORITHM_REFUSED");
    check_header(r#"{"alg":"HS256","kid":"own"}"#, "ALGORITHM_REFUSED");
    check_header(r#"{"alg":"EdDSA","alg":"EdDSA","kid":"own"}"#, "MALFORMED");
    check_header(r#"{"kid":"own"}"#, "MALFORMED");
    // The same issuer's other tokens are no proof (RFC 8725, 3.11).
    for (kind, expected) in [
        ("JWT", "c-1"),
        ("application/jwt", "c-1"),
        ("at+jwt", "HEADER_REFUSED"),
        ("logout+jwt", "HEADER_REFUSED"),
        ("", "HEADER_REFUSED"),
    ] {
        check_header(
            &format!(r#"{{"alg":"EdDSA","kid":"own","typ":"{kind}"}}"#),
            expected,
        );
    }
    check_header("[]", "MALFORMED");
}

#[test]
fn what_is_no_token_is_refused() {
    let check = |text: String, expected: &str| {
        let token = PresentedAssertion::IdToken(text);
        assert_eq!(outcome(&brand(), &token, now()), expected);
    };
    for text in ["", "a", "a.b", "a.b.c.d", "....", "{}"] {
        check(text.to_owned(), "MALFORMED");
    }
    check("a".repeat(8 * 1024 + 1), "TOO_LARGE");
    let message = format!("{}.{}", part(HEADER), part(&claims().to_string()));
    check(format!("{message}."), "SIGNATURE_INVALID");
    let twice = claims().to_string().replacen('{', r#"{"sub":"c-2","#, 1);
    assert_eq!(
        outcome(&brand(), &token(HEADER, &twice), now()),
        "CLAIMS_MALFORMED"
    );
}

#[test]
fn the_customer_id_is_the_claim_that_the_brand_chose() {
    let brand = Brand {
        customer_id_claim: "shop_id".to_owned(),
        ..brand()
    };
    let with = token(HEADER, &claims_with("shop_id", json!("s-9")));
    assert_eq!(outcome(&brand, &with, now()), "s-9"); // SPEC 4
    let without = token(HEADER, &claims().to_string());
    assert_eq!(outcome(&brand, &without, now()), "CUSTOMER_ID_INVALID");
}

#[test]
fn an_unverified_email_is_typed() {
    let provenance = |verified: Value| {
        let mut claims = claims();
        claims["email"] = json!("Ann@Shop.example");
        claims["email_verified"] = verified;
        let verified = verify_for(&brand(), &token(HEADER, &claims.to_string()), now());
        verified
            .unwrap()
            .profile()
            .email
            .as_ref()
            .unwrap()
            .provenance
    };
    assert_eq!(provenance(json!(true)), Provenance::Attested); // SPEC 3
    assert_eq!(provenance(json!("true")), Provenance::Attested);
    for unverified in [json!(false), Value::Null, json!("false"), json!(1)] {
        assert_eq!(provenance(unverified), Provenance::Typed);
    }
}

/// Signs user data, whatever it says.
fn signed(json: &str) -> (Vec<u8>, PresentedAssertion) {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(SECRET).unwrap();
    mac.update(json.as_bytes());
    let signature = mac.finalize().into_bytes().to_vec();
    let hexadecimal: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let presented = user_data(json, &hexadecimal, None);
    (signature, presented)
}

fn user_data(json: &str, signature: &str, key_id: Option<KeyId>) -> PresentedAssertion {
    PresentedAssertion::SignedUserData {
        json: json.to_owned(),
        signature: signature.to_owned(),
        key_id,
    }
}

fn data() -> Value {
    json!({
        "brand_id": "shop", "customer_id": "c-1", "iat": ISSUED, "exp": ISSUED + 900,
    })
}

#[test]
fn a_key_that_is_revoked_or_expired_proves_nothing() {
    let sealing_key = SealingKey::new(Key::random());
    let json = data().to_string();
    let presented = [signed(&json).1, token(HEADER, &claims().to_string())];
    for (expire_time, revoke_time) in [(Some(now()), None), (None, Some(now()))] {
        let keys: Vec<AssertionKey> = keys(&sealing_key)
            .into_iter()
            .map(|key| AssertionKey {
                expire_time,
                revoke_time,
                ..key
            })
            .collect();
        let brand = brand();
        let trust = Trust {
            brand: &brand,
            keys: &keys,
            published_keys: &PublishedKeys::new(Reach::Public),
            sealing_key: &sealing_key,
            now: now(),
        };
        for presented in &presented {
            let refused = verify_now(presented, &trust).err();
            assert_eq!(refused, Some(AssertionRefusal::KeyUnknown));
        }
    }
}

#[test]
fn a_key_set_holds_public_keys_that_can_be_used() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let set = KeySet::import(&vectors["jwks"].to_string()).unwrap();
    assert_eq!(set.key_ids(), ["RS256", "PS256", "ES256", "EdDSA"]);
    assert_eq!(KeySet::from_json(&set.to_json()), Some(set));
    let check = |key: Value, expected: InvalidKeySet| {
        let json = json!({ "keys": [key] }).to_string();
        assert_eq!(KeySet::import(&json), Err(expected), "{json}");
    };
    check(
        json!({ "kty": "oct", "k": "c2VjcmV0" }),
        InvalidKeySet::NotPublic,
    );
    let mut private = vectors["jwks"]["keys"][3].clone();
    private["d"] = json!("AA");
    check(private, InvalidKeySet::NotPublic);
    let short = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" });
    check(short, InvalidKeySet::NothingUsable);
    let weak = json!({ "kty": "RSA", "n": part(&"n".repeat(255)), "e": "AQAB" });
    check(weak, InvalidKeySet::NothingUsable);
    let mut encryption = vectors["jwks"]["keys"][3].clone();
    encryption["use"] = json!("enc");
    check(encryption, InvalidKeySet::NothingUsable);
    assert_eq!(KeySet::import("{}"), Err(InvalidKeySet::Malformed));
    let many = json!({ "keys": vec![json!({ "kty": "x" }); 33] }).to_string();
    assert_eq!(KeySet::import(&many), Err(InvalidKeySet::TooLarge));
}
