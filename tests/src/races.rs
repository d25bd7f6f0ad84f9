//! Races have one result (SPEC 13).

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use kit::testing::TestEngine;
use rapport::client::shop::SignedIn;
use rapport_proto::{
    event::v1::{AccountKind, event::Payload},
    identity::v1::{MergePolicyPreset, SignInOutcomeKind},
};

use crate::harness::{TestSuite, identity_events, links_made};

const EQUAL_SIGN_INS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_sign_ins_make_one_account_and_one_event() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let sign_ins = (0..EQUAL_SIGN_INS).map(|_| shop.sign_in("ann", None, None));
        let signed_in = try_join_all(sign_ins).await.unwrap();
        let accounts: BTreeSet<_> = signed_in
            .iter()
            .map(|signed_in| signed_in.visitor.account.account_id.clone())
            .collect();
        assert_eq!(accounts.len(), 1, "{engine:?}");
        let events = identity_events(&shop).await.unwrap();
        let made = events
            .iter()
            .filter(|event| matches!(event.payload, Some(Payload::AccountChanged(_))))
            .count();
        assert_eq!(made, 1, "{engine:?}"); // SPEC 13
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_devices_one_meets_the_first_axis_and_the_other_the_second() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        for round in 0..10 {
            let customer_id = format!("customer-{round}");
            let phone = shop.welcome("Ann", None).await.unwrap();
            let laptop = shop.welcome("Ann", None).await.unwrap();
            let (one, other) = tokio::join!(
                shop.sign_in(&customer_id, None, Some(&phone)),
                shop.sign_in(&customer_id, None, Some(&laptop)),
            );
            let (one, other) = (one.unwrap(), other.unwrap());
            assert_eq!(
                one.visitor.account.account_id,
                other.visitor.account.account_id
            );
            assert_eq!(
                kinds([&one, &other]),
                BTreeSet::from([SignInOutcomeKind::Upgraded, SignInOutcomeKind::Linked]),
                "{engine:?}"
            ); // SPEC 13
        }
        let events = identity_events(&shop).await.unwrap();
        assert_eq!(links_made(&events), 10, "{engine:?}");
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_brand_users_with_one_temporary_one_wins() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::AlwaysLinked).await.unwrap();
        for round in 0..10 {
            let computer = shop.welcome("Ann", None).await.unwrap();
            let (ann, bob) = (format!("ann-{round}"), format!("bob-{round}"));
            let (ann, bob) = tokio::join!(
                shop.sign_in(&ann, None, Some(&computer)),
                shop.sign_in(&bob, None, Some(&computer)),
            );
            let (ann, bob) = (ann.unwrap(), bob.unwrap());
            assert_ne!(
                ann.visitor.account.account_id,
                bob.visitor.account.account_id
            );
            assert_eq!(
                kinds([&ann, &bob]),
                BTreeSet::from([
                    SignInOutcomeKind::Linked,
                    SignInOutcomeKind::LinkedElsewhere
                ]),
                "{engine:?}"
            ); // SPEC 11, 13
            for signed_in in [&ann, &bob] {
                assert_eq!(signed_in.visitor.account.kind(), AccountKind::Client);
            }
        }
        suite.stop().await.unwrap();
    }
}

fn kinds(signed_in: [&SignedIn; 2]) -> BTreeSet<SignInOutcomeKind> {
    signed_in
        .iter()
        .map(|signed_in| signed_in.outcome.kind())
        .collect()
}
