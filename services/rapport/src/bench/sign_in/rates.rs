//! How many sign-ins a second there can be, beside pgbench's transactions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::World;
use crate::bench::{
    SignInArgs,
    comer::Comer,
    load::{Slice, closed_loop, open_loop},
    report::{Report, median, progress},
    stage::Stage,
};

/// Of which the best is taken, for sign-ins as for pgbench.
const CALLERS: [usize; 4] = [4, 8, 16, 32];
/// How many times either is measured, in alternation.
const TURNS: usize = 3;
/// What an event of a sign-in weighs.
const PAYLOAD_BYTES: usize = 256;
/// How many sign in to find out how many to welcome.
const FIRST: usize = 100;
/// How many more visitors are welcomed than the rate demands, so that none is missing.
const SPARE: f64 = 1.5;
/// Few: on PostgreSQL those who come at once make each other try again.
const WELCOMERS: usize = 4;
const NO_LIMIT: Duration = Duration::MAX;

/// Finds the best number of callers of each, measures both in alternation, and reports the medians.
pub(super) async fn measure(
    world: &World,
    stage: &Stage,
    args: &SignInArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let floor = stage.floor(PAYLOAD_BYTES).await?;
    let first = world.welcome_all(FIRST).await?;
    let slice = world.sign_in_all(first, CALLERS[0], NO_LIMIT).await?;
    let (callers, clients, guess) = match args.callers {
        Some(callers) => (callers.into(), callers.into(), slice.rate()),
        None => {
            let (callers, best) = best_callers(world, slice.rate()).await?;
            (callers, floor.best_clients(&CALLERS).await?, best)
        }
    };
    let seconds = args.common.seconds;
    progress(&format!(
        "measuring {TURNS} times: sign-ins with {callers} callers, pgbench with {clients} clients"
    ));
    let limit = Duration::from_secs(seconds.into());
    let needed = |rate: f64| (rate * SPARE * f64::from(seconds)).ceil() as usize;
    let (mut rates, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let comers = world.welcome_all(needed(guess)).await?;
        rates.push(world.sign_in_all(comers, callers, limit).await?.rate());
        floors.push(floor.rate(clients, seconds).await?);
    }
    let (rate, floor) = (median(rates), median(floors));
    let open = {
        let comers = world.welcome_all(needed(rate / 2.0)).await?;
        let call = world.call();
        open_loop(comers, rate / 2.0, limit, call).await?.latencies
    };
    report.count("sign_in.callers", callers)?;
    report.figure("sign_in.rate", rate, "1/s")?;
    report.figure("sign_in.half_rate_p50", open.millis_at(0.5), "ms")?;
    report.figure("sign_in.half_rate_p99", open.millis_at(0.99), "ms")?;
    report.count("pgbench.clients", clients)?;
    report.figure("pgbench.rate", floor, "1/s")?;
    report.figure("sign_in.ratio_to_pgbench", rate / floor, "ratio")
}

/// Returns the number of callers with the most sign-ins a second, and how many those are; `guess` is
/// about as many.
async fn best_callers(world: &World, guess: f64) -> anyhow::Result<(usize, f64)> {
    let mut best = (CALLERS[0], guess);
    for callers in CALLERS {
        let comers = world.welcome_all((best.1 * SPARE).ceil() as usize).await?;
        let slice = world.sign_in_all(comers, callers, Duration::from_secs(1));
        let rate = slice.await?.rate();
        progress(&format!("{callers} callers: {rate:.0} sign-ins a second"));
        if rate > best.1 {
            best = (callers, rate);
        }
    }
    Ok(best)
}

impl World {
    /// Returns `count` visitors, each with both accounts, in random order: who signs in next has nothing to
    /// do with who came last.
    async fn welcome_all(&self, count: usize) -> anyhow::Result<Vec<Comer>> {
        let comers = Arc::new(Mutex::new(Vec::with_capacity(count)));
        let (world, welcomed) = (self.clone(), Arc::clone(&comers));
        let call = move |()| {
            let (world, welcomed) = (world.clone(), Arc::clone(&welcomed));
            async move {
                let comer = Comer::welcome(&world.shop).await?;
                let mut welcomed = welcomed.lock().unwrap_or_else(PoisonError::into_inner);
                welcomed.push(comer);
                Ok(())
            }
        };
        closed_loop(vec![(); count], WELCOMERS, NO_LIMIT, call).await?;
        let mut comers = comers.lock().unwrap_or_else(PoisonError::into_inner);
        comers.sort_unstable_by(|one, other| one.customer_id.cmp(&other.customer_id));
        Ok(std::mem::take(&mut comers))
    }

    /// Signs them in, until `limit` has passed.
    async fn sign_in_all(
        &self,
        comers: Vec<Comer>,
        callers: usize,
        limit: Duration,
    ) -> anyhow::Result<Slice> {
        closed_loop(comers, callers, limit, self.call()).await
    }

    /// Returns what signs one of them in.
    fn call(
        &self,
    ) -> impl Fn(Comer) -> futures_util::future::BoxFuture<'static, anyhow::Result<()>>
    + Clone
    + Send
    + use<> {
        let world = self.clone();
        move |comer| {
            let world = world.clone();
            Box::pin(async move { comer.sign_in(&world.shop).await.map(drop) })
        }
    }
}
