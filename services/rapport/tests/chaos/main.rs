//! `kill -9` under load: of each service, of PostgreSQL, of NATS, and of all at once. What was acknowledged
//! outlives it, nothing is there twice, and credits are those of a model. And a rolling restart, which costs no
//! call.
//!
//! `scripts/chaos` runs many rounds; as a test each fault has one or two. A round in which the fault hit
//! nothing fails.

mod balancer;
mod checks;
mod load;
mod model;
mod rolling;
mod stack;
mod story;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use rapport::client::shop::Shop;
use rapport_proto::identity::v1::MergePolicyPreset;

use crate::{
    checks::Ledger,
    load::Load,
    stack::{REPLICAS, Stack},
    story::Story,
};

/// How many rounds a fault has, instead of the test command's two.
const ROUNDS: &str = "RAPPORT_CHAOS_ROUNDS";
const CALLERS: usize = 8;
/// How many calls are answered before a fault, at least; each round's has another moment.
const BEFORE: usize = 40;
/// How many are answered while something is away that others stand in for, and how many afterwards.
const MEANWHILE: usize = 40;
const AFTERWARDS: usize = 40;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Service(&'static str),
    Postgres,
    Nats,
    All,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_is_killed_and_nothing_is_lost() {
    Box::pin(endure(Victim::Service("identity"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_is_killed_and_nothing_is_lost() {
    Box::pin(endure(Victim::Service("chat"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attribution_is_killed_and_nothing_is_lost() {
    Box::pin(endure(Victim::Service("attribution")))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed_and_nothing_is_lost() {
    Box::pin(endure(Victim::Postgres)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_killed_and_nothing_is_lost() {
    Box::pin(endure(Victim::Nats)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_killed_at_once_and_nothing_is_lost() {
    Box::pin(endure(Victim::All)).await.unwrap();
}

/// Kills the victim under load, round after round, and checks after each.
async fn endure(victim: Victim) -> anyhow::Result<()> {
    let rounds = match std::env::var(ROUNDS) {
        Ok(rounds) => rounds.parse().context(ROUNDS)?,
        Err(_) => 2,
    };
    let mut stack = Stack::start().await?;
    let channels = stack.channels()?;
    let shop = Shop::open(&channels, &stack.operator_token()?, "shop").await?;
    shop.set_merge_policy(MergePolicyPreset::AlwaysLinked)
        .await?;
    let mut ledger = Ledger::default();
    for round in 1..=rounds {
        let load = Load::prepare(&channels, &shop).await?;
        let workers = try_join_all((0..CALLERS).map(|caller| work(&load, caller)));
        let (stories, hit) = tokio::try_join!(workers, strike(&mut stack, &load, victim, round))?;
        let stories: Vec<Story> = stories.into_iter().flatten().collect();
        ensure!(hit > 0, "round {round}: the fault hit nothing");
        let checked = checks::check(&stack, &load, &stories, &mut ledger).await;
        checked.with_context(|| format!("round {round} of {victim:?}"))?;
        println!(
            "{victim:?} {round}/{rounds}: {hit} calls hit, {} answered, {} stories kept",
            load.answered(),
            stories.len()
        );
    }
    println!("{victim:?}: {ledger}");
    Ok(())
}

async fn work(load: &Load, caller: usize) -> anyhow::Result<Vec<Story>> {
    let mut stories = Vec::new();
    while !load.is_over() {
        stories.push(story::play(load, caller + CALLERS * stories.len()).await?);
    }
    Ok(stories)
}

/// Kills the victim while calls are under way and brings it back; returns how many calls the fault hit: which
/// failed, or, where nobody waits for the victim, were answered without it.
///
/// Of a service one replica is killed in odd rounds, and all in even ones.
async fn strike(
    stack: &mut Stack,
    load: &Load,
    victim: Victim,
    round: usize,
) -> anyhow::Result<usize> {
    load.wait_for_answers(BEFORE + 7 * round % BEFORE).await?;
    let is_service = matches!(victim, Victim::Service(_));
    let replica = (is_service && round % 2 == 1).then_some(round / 2 % REPLICAS);
    let (answered, failed) = (load.answered(), load.failed());
    stack.kill(victim, replica)?;
    if victim != Victim::Nats {
        load.wait_for_a_failure(failed).await?;
    }
    if replica.is_some() || victim == Victim::Nats {
        load.wait_for_answers(MEANWHILE).await?;
    }
    let answered = load.answered() - answered;
    stack.revive().await?;
    load.wait_for_answers(AFTERWARDS).await?;
    load.end();
    Ok(match victim {
        Victim::Nats => answered,
        _ => load.failed() - failed,
    })
}
