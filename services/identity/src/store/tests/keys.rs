//! Keys of a Brand, and when they are in force.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn keys() {
    check(|c, ()| {
        Box::pin(async move {
            let key = |number, expire_time| AssertionKey {
                brand_id: shop(),
                assertion_key_id: id(number),
                kind: AssertionKeyKind::HmacSecret,
                sealed_secret: Some(vec![0, 255]),
                key_set: None,
                jwks_uri: None,
                create_time: at(0),
                expire_time,
                revoke_time: None,
            };
            assertion_keys::insert(c, &key(1, None)).await?;
            assertion_keys::insert(c, &key(2, Some(at(5)))).await?;
            let (first, second): (KeyId, KeyId) = (id(1), id(2));
            assert_eq!(
                assertion_keys::find(c, &shop(), second).await?,
                Some(key(2, Some(at(5))))
            );
            let count = |keys: Vec<AssertionKey>| keys.len();
            let now = |seconds| Some(at(seconds));
            assert_eq!(
                count(assertion_keys::list(c, &shop(), now(4), None, 9).await?),
                2
            );
            assert_eq!(
                count(assertion_keys::list(c, &shop(), now(5), None, 9).await?),
                1
            );
            assert_eq!(
                count(assertion_keys::list(c, &shop(), None, Some(second), 9).await?),
                1
            );
            assertion_keys::revoke(c, &shop(), first, at(6)).await?;
            assert_eq!(
                count(assertion_keys::list(c, &shop(), now(4), None, 9).await?),
                1
            );
            assert_eq!(
                count(assertion_keys::list(c, &shop(), None, None, 9).await?),
                2
            );

            let api_key = ApiKey {
                brand_id: shop(),
                api_key_id: id(1),
                display_name: "Shop".to_owned(),
                scopes: List(vec!["LINKS_READ".to_owned()]),
                secret_digest: vec![7; 32],
                create_time: at(0),
                expire_time: None,
                revoke_time: None,
            };
            api_keys::insert(c, &api_key).await?;
            let found = api_keys::find_by_secret(c, &shop(), &[7; 32]).await?;
            assert_eq!(found, Some(api_key.clone()));
            let other = BrandId::parse("other").unwrap();
            assert_eq!(api_keys::find_by_secret(c, &other, &[7; 32]).await?, None); // SPEC 1
            api_keys::revoke(c, &shop(), first, at(6)).await?;
            let revoked = api_keys::find(c, &shop(), first).await?.unwrap();
            assert_eq!(revoked.revoke_time, Some(at(6)));
            assert!(
                api_keys::list(c, &shop(), Some(at(7)), None, 9)
                    .await?
                    .is_empty()
            );
            Ok(())
        })
    })
    .await;
}

#[test]
fn what_is_in_force_is_neither_over_nor_revoked() {
    let key = |expire_time, revoke_time| AssertionKey {
        brand_id: shop(),
        assertion_key_id: id(1),
        kind: AssertionKeyKind::JwkSet,
        sealed_secret: None,
        key_set: None,
        jwks_uri: None,
        create_time: at(0),
        expire_time,
        revoke_time,
    };
    let now = at(10);
    assert!(key(None, None).is_in_force(now));
    assert!(key(Some(now + TimeDelta::microseconds(1)), None).is_in_force(now));
    assert!(!key(Some(now), None).is_in_force(now));
    assert!(!key(None, Some(now)).is_in_force(now));
}
