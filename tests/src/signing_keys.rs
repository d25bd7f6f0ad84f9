//! Signing keys change, and nobody who holds a token notices (SPEC 59).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use kit::{clock::Clock, testing::TestEngine};
use rapport::client::{
    shop::{Shop, service_token},
    wait_until,
};
use rapport_proto::identity::v1::{GetKeySetRequest, MergePolicyPreset};

use crate::{harness::TestSuite, revocation::wait_for_refusals};

/// Returns a new token, and the id of the key that signed it; each service takes it.
async fn good_token(suite: &TestSuite, shop: &Shop) -> anyhow::Result<(String, String)> {
    let token = service_token(&suite.channels, &shop.brand_id, &shop.api_key).await?;
    assert_good(suite, &token).await?;
    let header = token.split('.').next().unwrap_or_default();
    let header: serde_json::Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header)?)?;
    let kid = header["kid"].as_str().unwrap_or_default().to_owned();
    Ok((token, kid))
}

/// Waits until each service takes the token: a service asks for a key that it does not know once a
/// second, and the clock of this test runs faster than that second.
async fn assert_good(suite: &TestSuite, token: &str) -> anyhow::Result<()> {
    wait_for_refusals(&suite.channels.caller(token)?, None).await?;
    Ok(())
}

/// Waits until so many keys are published, and returns their ids, newest first.
async fn published(suite: &TestSuite, count: usize) -> anyhow::Result<Vec<String>> {
    wait_until("keys are published", async || {
        let mut anonymous = suite.channels.anonymous();
        let keys = anonymous.get_key_set(GetKeySetRequest {}).await?;
        let kids: Vec<_> = keys
            .into_inner()
            .keys
            .into_iter()
            .map(|key| key.kid)
            .collect();
        Ok((kids.len() == count).then_some(kids))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_from_before_during_and_after_a_change_of_keys_are_good_everywhere() {
    for engine in TestEngine::ALL {
        let clock = Clock::manual(Clock::system().now());
        let suite = TestSuite::start_at(engine, clock.clone()).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let (_, first) = good_token(&suite, &shop).await.unwrap();

        clock.advance(TimeDelta::days(30));
        let both = published(&suite, 2).await.unwrap();
        assert_eq!(both[1], first);
        clock.advance(TimeDelta::minutes(55));
        let (during, signed_by) = good_token(&suite, &shop).await.unwrap();
        assert_eq!(signed_by, first, "{engine:?}: published, and not used yet");

        clock.advance(TimeDelta::minutes(6));
        let (after, signed_by) = good_token(&suite, &shop).await.unwrap();
        assert_eq!(signed_by, both[0], "{engine:?}");
        assert_good(&suite, &during).await.unwrap();

        clock.advance(TimeDelta::minutes(9));
        assert_good(&suite, &after).await.unwrap();
        clock.advance(TimeDelta::minutes(6));
        assert_eq!(
            published(&suite, 1).await.unwrap(),
            [signed_by],
            "{engine:?}"
        );
        suite.stop().await.unwrap();
    }
}
