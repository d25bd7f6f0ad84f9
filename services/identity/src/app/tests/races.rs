//! Races have one result (SPEC 13).

use std::sync::Arc;

use domain::{
    merge_policy::Preset,
    sign_in::OutcomeKind::{self, *},
};
use futures_util::future::join_all;
use kit::testing::TestEngine;
use secrecy::SecretString;

use super::world::{World, token};
use crate::app::SignInResult;

const CALLS: usize = 60;

/// Signs in all at once: each pair is a customer and a token.
async fn all_at_once(
    world: &Arc<World>,
    calls: Vec<(String, Option<SecretString>)>,
) -> Vec<SignInResult> {
    let tasks = calls.into_iter().map(|(customer, token)| {
        let world = Arc::clone(world);
        tokio::spawn(async move { world.sign_in(&customer, token.as_ref()).await })
    });
    let results = join_all(tasks).await;
    results.into_iter().map(Result::unwrap).collect()
}

fn count(results: &[SignInResult], kind: OutcomeKind) -> usize {
    results
        .iter()
        .filter(|result| result.outcome.kind == kind)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_equal_sign_ins_make_one_account_and_one_event() {
    for engine in TestEngine::ALL {
        let world = Arc::new(World::new(engine).await);
        let before = world.events().await.len();
        let calls = vec![("c-1".to_owned(), None); 1_000];
        let results = all_at_once(&world, calls).await;
        let id = results[0].account.account_id;
        assert!(results.iter().all(|result| result.account.account_id == id));
        let created = results
            .iter()
            .filter(|result| result.outcome.account_created);
        assert_eq!(created.count(), 1);
        assert_eq!(world.kinds_since(before).await, ["account"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_temporary_account_signed_in_many_times_is_settled_once() {
    for engine in TestEngine::ALL {
        for preset in [Preset::TwoChatrooms, Preset::AlwaysLinked] {
            let world = Arc::new(World::new(engine).await);
            world.preset(preset).await;
            let visitor = token(&world.start(None).await);
            let calls = vec![("c-1".to_owned(), Some(visitor)); CALLS];
            let results = all_at_once(&world, calls).await;
            assert_eq!(count(&results, AlreadyLinked), CALLS - 1, "{preset}");
            let id = results[0].account.account_id;
            assert!(results.iter().all(|result| result.account.account_id == id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_devices_of_one_new_user_meet_both_axes() {
    for engine in TestEngine::ALL {
        let world = Arc::new(World::new(engine).await);
        let mut calls = Vec::new();
        for _ in 0..CALLS {
            calls.push(("c-1".to_owned(), Some(token(&world.start(None).await))));
        }
        let results = all_at_once(&world, calls).await;
        assert_eq!(count(&results, Upgraded), 1, "{engine:?}");
        assert_eq!(count(&results, Linked), CALLS - 1, "{engine:?}");
        let id = results[0].account.account_id;
        assert!(results.iter().all(|result| result.account.account_id == id));
        // SPEC 54: each raised the link revision by one, and none shares it.
        let mut revisions: Vec<i64> = results
            .iter()
            .map(|result| result.opened.as_ref().unwrap().1.link_revision)
            .collect();
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=CALLS as i64).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_users_with_one_temporary_account_one_wins() {
    for engine in TestEngine::ALL {
        for preset in [Preset::TwoChatrooms, Preset::AlwaysLinked] {
            let world = Arc::new(World::new(engine).await);
            world.preset(preset).await;
            let visitor = token(&world.start(None).await);
            let calls = (0..CALLS).map(|n| (format!("c-{n}"), Some(visitor.clone())));
            let results = all_at_once(&world, calls.collect()).await;
            let won = match preset {
                Preset::AlwaysLinked => Linked,
                _ => Upgraded,
            };
            assert_eq!(count(&results, won), 1, "{engine:?} {preset}");
            assert_eq!(
                count(&results, LinkedElsewhere),
                CALLS - 1,
                "{engine:?} {preset}"
            );
        }
    }
}
