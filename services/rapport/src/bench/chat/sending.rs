//! Messages a second, and how long one takes.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tonic_health::pb::HealthCheckRequest;

use super::{TEXT, World};
use crate::bench::{
    ChatArgs,
    floor::Floor,
    latencies::Latencies,
    load::{Slice, closed_loop, open_loop},
    report::{Report, median, progress},
    stage::Stage,
};

/// Of which the best is taken for pgbench, as pgbench's and as the service's are.
const CLIENTS: [usize; 5] = [8, 16, 32, 64, 128];
const CALLERS: [usize; 4] = [32, 64, 128, 256];
/// How many times each is measured, in alternation.
const TURNS: u64 = 3;
/// What no run reaches, so that work never runs out.
const FASTEST: f64 = 100_000.0;

/// Finds the best number of callers of each, measures all in alternation, and reports the medians.
pub(super) async fn measure(
    world: &World,
    stage: &Stage,
    args: &ChatArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let floor = stage.floor(TEXT.len()).await?;
    alone(world, &floor, args, report).await?;
    let callers = match args.callers {
        Some(callers) => callers.into(),
        None => best_callers(world).await?,
    };
    let clients = floor.best_clients(&CLIENTS).await?;
    let seconds = args.common.seconds;
    progress(&format!(
        "measuring {TURNS} times: messages and empty calls with {callers} callers, pgbench with \
         {clients} clients"
    ));
    let (mut rates, mut empties, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        rates.push(world.send_all(callers, seconds, turn).await?.rate());
        empties.push(world.ask_all(callers, seconds, turn).await?.rate());
        floors.push(floor.rate(clients, seconds).await?);
    }
    let (rate, empty, floor_rate) = (median(rates), median(empties), median(floors));
    report.count("send_message.callers", callers)?;
    report.figure("send_message.rate", rate, "1/s")?;
    report.figure("empty_call.rate", empty, "1/s")?;
    report.count("pgbench.clients", clients)?;
    report.figure("pgbench.rate", floor_rate, "1/s")?;
    report.figure("send_message.ratio_to_pgbench", rate / floor_rate, "ratio")?;
    report.figure("send_message.ratio_to_empty_call", rate / empty, "ratio")?;
    let sent = world.send_at(rate / 2.0, seconds).await?;
    let kept = floor
        .latencies(clients, seconds, Some(floor_rate / 2.0))
        .await?;
    tails(report, "send_message", &sent)?;
    tails(report, "pgbench.half_rate", &kept)?;
    let ratio = sent.millis_at(0.99) / kept.millis_at(0.99);
    report.figure("send_message.p99_ratio_to_pgbench", ratio, "ratio")
}

/// Measures one caller who is alone, in alternation.
async fn alone(
    world: &World,
    floor: &Floor,
    args: &ChatArgs,
    report: &Report,
) -> anyhow::Result<()> {
    progress("measuring one caller alone");
    let seconds = args.common.seconds;
    let (mut sent, mut asked, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let p50 = |slice: Slice| slice.latencies.millis_at(0.5);
        sent.push(p50(world.send_all(1, seconds, turn).await?));
        asked.push(p50(world.ask_all(1, seconds, turn).await?));
        kept.push(floor.latencies(1, seconds, None).await?.millis_at(0.5));
    }
    let (sent, asked, kept) = (median(sent), median(asked), median(kept));
    report.figure("send_message.idle_p50_ms", sent, "ms")?;
    report.figure("empty_call.idle_p50_ms", asked, "ms")?;
    report.figure("pgbench.idle_p50_ms", kept, "ms")?;
    let ratio = sent / (asked + kept);
    report.figure(
        "send_message.idle_ratio_to_pgbench_and_empty_call",
        ratio,
        "ratio",
    )
}

fn tails(report: &Report, name: &str, latencies: &Latencies) -> anyhow::Result<()> {
    for (quantile, label) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99_9")] {
        let name = format!("{name}.{label}_ms");
        report.figure(&name, latencies.millis_at(quantile), "ms")?;
    }
    Ok(())
}

async fn best_callers(world: &World) -> anyhow::Result<usize> {
    let mut best = (0, 0.0);
    for callers in CALLERS {
        let rate = world.send_all(callers, 1, 0).await?.rate();
        progress(&format!("{callers} callers: {rate:.0} messages a second"));
        if rate > best.1 {
            best = (callers, rate);
        }
    }
    Ok(best.0)
}

impl World {
    /// Has callers send one message after another.
    async fn send_all(&self, callers: usize, seconds: u32, turn: u64) -> anyhow::Result<Slice> {
        let limit = Duration::from_secs(seconds.into());
        closed_loop(self.work(seconds, turn), callers, limit, self.sending()).await
    }

    /// Has a message sent so many times a second, whoever waits.
    async fn send_at(&self, rate: f64, seconds: u32) -> anyhow::Result<Latencies> {
        let limit = Duration::from_secs(seconds.into());
        let slice = open_loop(self.work(seconds, TURNS), rate, limit, self.sending()).await?;
        Ok(slice.latencies)
    }

    /// Has callers make one empty call after another.
    async fn ask_all(&self, callers: usize, seconds: u32, turn: u64) -> anyhow::Result<Slice> {
        let limit = Duration::from_secs(seconds.into());
        let empty = Arc::clone(&self.empty);
        let call = move |number: usize| -> BoxFuture<'static, anyhow::Result<()>> {
            let mut health = empty[number % empty.len()].clone();
            Box::pin(async move {
                health.check(HealthCheckRequest::default()).await?;
                Ok(())
            })
        };
        closed_loop(self.work(seconds, turn), callers, limit, call).await
    }

    fn work(&self, seconds: u32, turn: u64) -> Vec<usize> {
        self.choose((FASTEST * f64::from(seconds)) as usize, turn)
    }

    fn sending(
        &self,
    ) -> impl Fn(usize) -> BoxFuture<'static, anyhow::Result<()>> + Clone + Send + use<> {
        let rooms = Arc::clone(&self.rooms);
        move |number| {
            let rooms = Arc::clone(&rooms);
            Box::pin(async move {
                let room = &rooms[number];
                room.visitor.caller.say(&room.chatroom, TEXT).await?;
                Ok(())
            })
        }
    }
}
