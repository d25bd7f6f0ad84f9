//! Repeated calls (SPEC 61).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rapport_proto::identity::v1::RevokeLinkRequest;

use super::*;
use crate::{
    db::Db,
    testing::{self, TestEngine},
};

const ID: &str = "01890000-0000-7000-8000-000000000001";

fn keys(seed: u8) -> RequestKeys {
    let text = BASE64_URL_SAFE_NO_PAD.encode([seed; 32]);
    RequestKeys::new(&EmailDigestKey::new(text.parse().unwrap()))
}

fn key(brand: &str, principal: &str, method: &'static str, reason: &str) -> RequestKey {
    key_of(&keys(1), brand, principal, method, reason)
}

fn key_of(
    keys: &RequestKeys,
    brand: &str,
    principal: &str,
    method: &'static str,
    reason: &str,
) -> RequestKey {
    let body = RevokeLinkRequest {
        reason: reason.to_owned(),
        request_id: ID.to_owned(),
        ..Default::default()
    };
    let brand = BrandId::parse(brand).unwrap();
    keys.key(brand, principal.to_owned(), method, ID, &body)
        .unwrap()
}

/// Answers as a method does: what was answered before, or `answer`.
async fn call(db: &Db, key: RequestKey, answer: &[u8]) -> Result<Vec<u8>, CallError> {
    let input = (key, answer.to_vec());
    db.run_tx("call", input, |connection, (key, answer)| {
        Box::pin(async move {
            if let Some(kept) = find(connection, key).await? {
                return Ok(kept);
            }
            keep(connection, key, answer.clone(), DateTime::UNIX_EPOCH).await?;
            Ok(answer.clone())
        })
    })
    .await
}

#[tokio::test]
async fn the_same_call_again_is_answered_as_the_first_time() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let first = key("shop", "service/1", "RevokeLink", "wrong person");
        assert_eq!(call(&db, first.clone(), b"first").await.unwrap(), b"first");
        assert_eq!(
            call(&db, first, b"second").await.unwrap(),
            b"first",
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn another_body_under_the_same_id_is_refused() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        call(&db, key("shop", "service/1", "RevokeLink", "a"), b"first")
            .await
            .unwrap();
        let other = call(&db, key("shop", "service/1", "RevokeLink", "b"), b"x").await;
        assert!(
            matches!(other, Err(CallError::RequestIdReused)),
            "{engine:?}: {other:?}"
        );
    }
}

#[test]
fn who_has_no_key_cannot_guess_a_body() {
    let digest = |seed| {
        key_of(
            &keys(seed),
            "shop",
            "service/1",
            "RevokeLink",
            "wrong person",
        )
        .body_digest
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2)); // SPEC 55
}

#[tokio::test]
async fn another_principal_brand_or_method_has_ids_of_its_own() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        call(&db, key("shop", "service/1", "RevokeLink", "a"), b"first")
            .await
            .unwrap();
        for other in [
            key("shop", "service/2", "RevokeLink", "b"),
            key("shop-2", "service/1", "RevokeLink", "b"),
            key("shop", "service/1", "EndSession", "b"),
        ] {
            assert_eq!(
                call(&db, other, b"own").await.unwrap(),
                b"own",
                "{engine:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_refused_call_keeps_nothing() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let first = key("shop", "service/1", "RevokeLink", "a");
        let refused: Result<(), CallError> = db
            .run_tx("call", first.clone(), |connection, key| {
                Box::pin(async move {
                    keep(connection, key, b"never".to_vec(), DateTime::UNIX_EPOCH).await?;
                    Err(CallError::PermissionDenied)
                })
            })
            .await;
        assert!(matches!(refused, Err(CallError::PermissionDenied)));
        assert_eq!(
            call(&db, first, b"later").await.unwrap(),
            b"later",
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn of_equal_calls_at_once_one_has_the_effect() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let calls = (0..20_u8).map(|number| {
            let first = key("shop", "service/1", "RevokeLink", "a");
            let db = db.clone();
            // Read committed: nothing but the primary key lets the two meet.
            async move {
                db.run_locked_tx("call", (first, number), |connection, (key, number)| {
                    Box::pin(async move {
                        if let Some(kept) = find(connection, key).await? {
                            return Ok::<_, CallError>(kept);
                        }
                        keep(connection, key, vec![*number], DateTime::UNIX_EPOCH).await?;
                        Ok(vec![*number])
                    })
                })
                .await
            }
        });
        let answers = futures_util::future::join_all(calls).await;
        let first = answers[0].as_ref().unwrap();
        for answer in &answers {
            assert_eq!(answer.as_ref().unwrap(), first, "{engine:?}");
        }
    }
}

#[test]
fn a_request_id_that_is_none_is_refused() {
    let brand = BrandId::parse("shop").unwrap();
    let body = RevokeLinkRequest::default();
    let key = keys(1).key(brand, "operator".to_owned(), "RevokeLink", "7", &body);
    assert!(matches!(
        key,
        Err(CallError::FieldInvalid {
            field: "request_id",
            ..
        })
    ));
}

/// Claims a call, and returns what was kept of an earlier one.
async fn claim_call(db: &Db, key: RequestKey, answer: &[u8]) -> Result<Option<Vec<u8>>, CallError> {
    let input = (key, answer.to_vec());
    db.run_tx("claim_call", input, |connection, (key, answer)| {
        Box::pin(claim(connection, key, answer.clone(), DateTime::UNIX_EPOCH))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_calls_that_claim_an_id_at_once_one_gets_it_and_the_others_its_answer() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let claims = (0..20).map(|number: u8| {
            let (db, key) = (db.clone(), key("shop", "service/1", "RevokeLink", "a"));
            tokio::spawn(async move { (number, claim_call(&db, key, &[number]).await.unwrap()) })
        });
        let answers: Vec<_> = futures_util::future::join_all(claims).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let mut won = answers.iter().filter(|(_, kept)| kept.is_none());
        let (winner, _) = won.next().unwrap();
        assert!(won.next().is_none(), "{engine:?}: {answers:?}");
        let told = answers
            .iter()
            .filter(|(_, kept)| *kept == Some(vec![*winner]));
        assert_eq!(told.count(), 19, "{engine:?}");
        let other = key("shop", "service/1", "RevokeLink", "b");
        let reused = claim_call(&db, other, b"x").await;
        assert!(matches!(reused, Err(CallError::RequestIdReused)));
    }
}

#[tokio::test]
async fn a_call_that_was_forgotten_is_a_first_one_again() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let keys = ["account/1", "account/2", "account/3"]
            .map(|principal| key("shop", principal, "OpenDirectChatroom", ""));
        for key in &keys {
            call(&db, key.clone(), b"first").await.unwrap();
        }
        let forgotten: Result<(), StoreError> = db
            .run_tx("forget", keys.clone(), |connection, keys| {
                Box::pin(async move {
                    forget(connection, &keys[0]).await?;
                    forget_all_of(connection, &keys[1].brand_id, "account/2").await
                })
            })
            .await;
        forgotten.unwrap();
        let mut answers = Vec::new();
        for key in keys {
            answers.push(call(&db, key, b"second").await.unwrap());
        }
        let expected: [&[u8]; 3] = [b"second", b"second", b"first"];
        assert_eq!(answers, expected, "{engine:?}"); // SPEC 55, 61
    }
}
