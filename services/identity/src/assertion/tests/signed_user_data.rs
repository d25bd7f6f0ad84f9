//! The form of the session tag (SPEC 4).

use super::*;

fn check_data(name: &str, value: Value, expected: &str) {
    let mut data = data();
    data[name] = value.clone();
    let presented = signed(&data.to_string()).1;
    assert_eq!(
        outcome(&brand(), &presented, now()),
        expected,
        "{name} {value}"
    );
}

#[test]
fn signed_user_data_says_when_and_for_whom() {
    check_data("customer_id", json!("c-2"), "c-2");
    check_data("customer_id", json!("a\nb"), "CUSTOMER_ID_INVALID");
    check_data("brand_id", json!("other"), "BRAND_MISMATCH"); // SPEC 1
    check_data("exp", json!(ISSUED + 901), "LIFETIME_TOO_LONG"); // SPEC 4
    check_data("exp", json!(ISSUED), "CLAIMS_MALFORMED");
    check_data("exp", json!(i64::MAX), "CLAIMS_MALFORMED");
    check_data("exp", json!("never"), "CLAIMS_MALFORMED");
    check_data("exp", Value::Null, "CLAIMS_MALFORMED");
    check_data("iat", json!(ISSUED + 31), "NOT_YET_VALID");
    check_data("iat", json!(ISSUED as f64 + 0.5), "CLAIMS_MALFORMED");
    check_data("email", json!("no address"), "c-1");
    check_data("role", json!("member"), "c-1"); // SPEC 14
    let old = signed(&data().to_string()).1;
    assert_eq!(
        outcome(&brand(), &old, now() + TimeDelta::seconds(930)),
        "EXPIRED"
    );
    let twice = data()
        .to_string()
        .replacen('{', r#"{"customer_id":"c-2","#, 1);
    assert_eq!(
        outcome(&brand(), &signed(&twice).1, now()),
        "CLAIMS_MALFORMED"
    );
    let large = format!("{}{}", data(), " ".repeat(8 * 1024));
    assert_eq!(outcome(&brand(), &signed(&large).1, now()), "TOO_LARGE");
}

#[test]
fn the_signature_is_of_the_exact_bytes_in_either_notation() {
    let json = data().to_string();
    let (signature, presented) = signed(&json);
    assert_eq!(outcome(&brand(), &presented, now()), "c-1");
    let padded = base64::prelude::BASE64_STANDARD.encode(&signature);
    let check = |json: &str, signature: &str, key_id, expected: &str| {
        let presented = user_data(json, signature, key_id);
        assert_eq!(
            outcome(&brand(), &presented, now()),
            expected,
            "{signature}"
        );
    };
    check(&json, &padded, None, "c-1");
    check(&json, padded.trim_end_matches('='), None, "c-1");
    let named = key(AssertionKeyKind::HmacSecret).assertion_key_id;
    check(&json, &padded, Some(named), "c-1");
    check(
        &json,
        &padded,
        Some(KeyId::new(uuid::Uuid::max())),
        "KEY_UNKNOWN",
    );
    check(&format!("{json} "), &padded, None, "SIGNATURE_INVALID");
    check(&json, "", None, "SIGNATURE_INVALID");
    check(&json, "0000", None, "SIGNATURE_INVALID");
    check(&json, "not base64!", None, "MALFORMED");
    check(&json, &"g".repeat(64), None, "MALFORMED");
}
