//! Tokens that are not what identity signed, or not any more.

use std::sync::atomic::Ordering;

use rapport_proto::event::v1::{SessionsRevoked, event::Payload, sessions_revoked::Subject};

use super::*;
use crate::{secret, server};

/// Returns a token with another header, and `sign` over its header and claims.
fn forged(header: &str, claims: &Claims, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let claims = serde_json::to_vec(claims).unwrap();
    let signed = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header),
        BASE64_URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(&signed));
    format!("{signed}.{signature}")
}

fn sign(suite: &Suite, text: &str) -> Vec<u8> {
    use ed25519_dalek::Signer;
    suite.issuer.key.sign(text.as_bytes()).to_vec()
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    use hmac::Mac;
    let mut mac = <hmac::Hmac<sha2::Sha256> as Mac>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let suite = Suite::start().await;
    let claims = claims("CLIENT");
    let good = suite.token(&claims);
    let public = *suite.issuer.key.verifying_key().as_bytes();
    let (body, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = body.split_once('.').unwrap();
    let member = serde_json::to_vec(&self::claims("MEMBER")).unwrap();
    let other_body = BASE64_URL_SAFE_NO_PAD.encode(member);
    let no_kid = forged(r#"{"alg":"EdDSA"}"#, &claims, |text| sign(&suite, text));
    for (attack, token) in [
        (
            "claims exchanged",
            format!("{header}.{other_body}.{signature}"),
        ),
        ("signature cut off", format!("{body}.")),
        (
            "signature of zeros",
            format!("{body}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 64])),
        ),
        (
            "alg none",
            forged(r#"{"alg":"none","kid":"one"}"#, &claims, |_| Vec::new()),
        ),
        (
            "HMAC with the public key",
            forged(r#"{"alg":"HS256","kid":"one"}"#, &claims, |text| {
                hmac_sha256(&public, text)
            }),
        ),
        (
            "another algorithm's name over a good signature",
            forged(r#"{"alg":"ES256","kid":"one"}"#, &claims, |text| {
                sign(&suite, text)
            }),
        ),
        (
            "another key under this id",
            Issuer::new(2).sign("one", &claims),
        ),
        ("an id that nobody knows", suite.issuer.sign("two", &claims)),
        ("no key id", no_kid),
    ] {
        let status = suite.end_session(&bearer_of(&token)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{attack}");
        check(
            Err::<(), _>(status),
            Code::Unauthenticated,
            "UNAUTHENTICATED",
        );
    }
    suite.end_session(&bearer_of(&good)).await.unwrap();
}

#[tokio::test]
async fn signed_tokens_that_break_the_form_are_refused() {
    let suite = Suite::start().await;
    let good = claims("CLIENT");
    for claims in [
        Claims {
            iss: "somebody".to_owned(),
            ..good.clone()
        },
        Claims {
            brand: "No Slug".to_owned(),
            ..good.clone()
        },
        Claims {
            kind: "OPERATOR".to_owned(),
            ..good.clone()
        },
        Claims {
            kind: "SUITE".to_owned(),
            ..good.clone()
        },
        Claims {
            kind: "ANONYMOUS".to_owned(),
            ..good.clone()
        },
        Claims {
            sid: None,
            ..good.clone()
        },
        // Longer than any revocation is remembered.
        Claims {
            exp: 601,
            ..good.clone()
        },
        Claims {
            iat: i64::MIN,
            exp: i64::MAX,
            ..good.clone()
        },
    ] {
        let token = bearer_of(&suite.token(&claims));
        check(
            suite.end_session(&token).await,
            Code::Unauthenticated,
            "UNAUTHENTICATED",
        );
    }
}

#[tokio::test]
async fn a_token_expires_also_while_it_is_remembered() {
    let suite = Suite::start().await;
    let token = bearer_of(&suite.token(&claims("CLIENT")));
    suite.end_session(&token).await.unwrap();
    suite.clock.advance(TimeDelta::seconds(599));
    suite.end_session(&token).await.unwrap();
    suite.clock.advance(TimeDelta::seconds(1));
    check(
        suite.end_session(&token).await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

fn revoked(
    subject: Subject,
    minimum_epoch: i64,
    sessions: &[Uuid],
) -> rapport_proto::event::v1::Event {
    let mut event = testing::event("shop", "");
    event.payload = Some(Payload::SessionsRevoked(SessionsRevoked {
        subject: Some(subject),
        minimum_epoch,
        session_ids: sessions.iter().map(Uuid::to_string).collect(),
        ..Default::default()
    }));
    event
}

#[tokio::test]
async fn a_revoked_session_is_refused_at_once_and_others_of_the_account_are_not() {
    let suite = Suite::start().await;
    let one = claims("CLIENT");
    let other = Claims {
        sid: Some(Uuid::from_u128(3)),
        ..one.clone()
    };
    let (one, other) = (
        bearer_of(&suite.token(&one)),
        bearer_of(&suite.token(&other)),
    );
    suite.end_session(&one).await.unwrap();
    let account = Subject::AccountId(Uuid::from_u128(1).to_string());
    suite
        .revocations
        .observe(&[revoked(account.clone(), 1, &[Uuid::from_u128(2)])]);
    check(
        suite.end_session(&one).await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
    suite.end_session(&other).await.unwrap();
    suite.revocations.observe(&[revoked(account, 2, &[])]);
    check(
        suite.end_session(&other).await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
    // A token of the new epoch is trusted.
    let new = Claims {
        epoch: 2,
        sid: Some(Uuid::from_u128(4)),
        ..claims("CLIENT")
    };
    suite
        .end_session(&bearer_of(&suite.token(&new)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_revocation_says_nothing_about_another_brand() {
    let suite = Suite::start().await;
    let elsewhere = Claims {
        brand: "other".to_owned(),
        ..claims("CLIENT")
    };
    let account = Subject::AccountId(Uuid::from_u128(1).to_string());
    suite
        .revocations
        .observe(&[revoked(account, 2, &[Uuid::from_u128(2)])]);
    suite
        .end_session(&bearer_of(&suite.token(&elsewhere)))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_word_from_identity_no_token_is_trusted_and_forged_ones_are_still_refused() {
    // SPEC 59.
    let suite = Suite::start_with(Some(Duration::ZERO), &LimitConfig::default()).await;
    let token = bearer_of(&suite.token(&claims("CLIENT")));
    check(
        suite.end_session(&token).await,
        Code::Unavailable,
        "IDENTITY_UNAVAILABLE",
    );
    let forged = bearer_of(&Issuer::new(2).sign("one", &claims("CLIENT")));
    check(
        suite.end_session(&forged).await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
}

/// Returns a verifier that knows no key and asks the stub at `uri`.
async fn asking(suite: &Suite, uri: &str) -> TokenVerifier {
    let identity = SessionServiceClient::new(server::channel(uri).unwrap());
    let revocations = Revocations::load(&suite.db, None).await.unwrap();
    TokenVerifier::new(
        KeySet::default(),
        Some(identity),
        revocations,
        suite.clock.clone(),
    )
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_costs_identity_little_and_locks_nobody_out() {
    let suite = Suite::start().await;
    let stub = Stub {
        keys: vec![suite.issuer.public("new")],
        ..Stub::default()
    };
    let calls = Arc::clone(&stub.key_set_calls);
    let running = stub.run_for_suite(anywhere(), &suite.db).await;
    let verifier = asking(&suite, &format!("http://{}", running.addr)).await;
    let begin = std::time::Instant::now();
    for number in 0..200 {
        let unknown = suite
            .issuer
            .sign(&format!("invented-{number}"), &claims("CLIENT"));
        let refused = verifier.verify(&unknown).await;
        assert!(
            matches!(refused, Err(CallError::Unauthenticated)),
            "{refused:?}"
        );
    }
    let good = suite.issuer.sign("new", &claims("CLIENT"));
    assert!(verifier.verify(&good).await.is_ok());
    let allowed = 1 + usize::try_from(begin.elapsed().as_secs()).unwrap();
    assert!(calls.load(Ordering::SeqCst) <= allowed);
    running.stop().await;
}

#[tokio::test]
async fn while_identity_is_away_each_caller_of_an_unknown_key_is_answered_at_once() {
    let suite = Suite::start().await;
    let verifier = asking(&suite, "http://127.0.0.1:1").await;
    for number in 0..50 {
        let token = suite.issuer.sign(&format!("{number}"), &claims("CLIENT"));
        let refused = verifier.verify(&token).await;
        assert!(
            matches!(refused, Err(CallError::IdentityUnavailable)),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn an_identity_that_hangs_holds_nobody_up_for_long() {
    let suite = Suite::start().await;
    // Takes connections, and never says a word.
    let silent = tokio::net::TcpListener::bind(anywhere()).await.unwrap();
    let verifier = asking(&suite, &format!("http://{}", silent.local_addr().unwrap())).await;
    let token = suite.issuer.sign("new", &claims("CLIENT"));
    let answers = (0..20).map(|_| verifier.verify(&token));
    let answers = futures_util::future::join_all(answers);
    let answers = tokio::time::timeout(Duration::from_secs(10), answers)
        .await
        .unwrap();
    for answer in answers {
        assert!(
            matches!(answer, Err(CallError::IdentityUnavailable)),
            "{answer:?}"
        );
    }
}

#[test]
fn only_ed25519_keys_are_taken_from_a_key_set() {
    let good = Issuer::new(1).public("good");
    let keys = KeySet::default();
    keys.replace(&[
        good.clone(),
        JsonWebKey {
            kid: "rsa".to_owned(),
            kty: "RSA".to_owned(),
            ..good.clone()
        },
        JsonWebKey {
            kid: "x25519".to_owned(),
            crv: "X25519".to_owned(),
            ..good.clone()
        },
        JsonWebKey {
            kid: "broken".to_owned(),
            x: "?".to_owned(),
            ..good
        },
    ]);
    assert_eq!(keys.kids(), BTreeSet::from(["good".to_owned()]));
}

#[test]
fn secrets_are_compared_whole() {
    assert!(secret::equal("abc", "abc"));
    assert!(!secret::equal("abc", "ab"));
}
