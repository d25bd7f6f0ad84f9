//! Whether an order, or a credit after its link, takes longer where there is much already.
//!
//! Two suites take turns: one whose database has few orders and messages, one with many.

use tokio::time::Instant;

use super::{SMALL, World, links};
use crate::bench::{
    AttributionArgs,
    latencies::Latencies,
    report::{Report, progress},
    stage::Stage,
};

/// How many orders are recorded in each.
const ROUNDS: usize = 300;
/// How many before it counts, so that statements are prepared and pages read.
const WARM_UP: usize = 20;
/// How many times links are made in each.
const TURNS: usize = 2;

/// Fills the databases, measures both, and reports.
pub(super) async fn measure(
    large: &mut World,
    stage: &Stage,
    args: &AttributionArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let beside = stage.beside().await?;
    let running = beside.start_suite().await?;
    let small = World::open(&running, &beside, args.seed).await?;
    let begin = Instant::now();
    large.fill(args.rows).await?;
    progress(&format!("written in {} s", begin.elapsed().as_secs()));

    let (few, many) = record(&small, large).await?;
    let p50 = |rows: u32| format!("record_order.p50_{rows}");
    report.figure(&p50(SMALL), few.millis_at(0.5), "ms")?;
    report.figure(&p50(args.rows), many.millis_at(0.5), "ms")?;
    let ratio = many.millis_at(0.5) / few.millis_at(0.5);
    report.figure("record_order.p50_large_to_small", ratio, "ratio")?;

    let (mut few, mut many) = (Latencies::default(), Latencies::default());
    for _ in 0..TURNS {
        let count = args.links as usize / TURNS;
        few.add(&links::measure(&small, count).await?);
        many.add(&links::measure(large, count).await?);
    }
    report.figure("link_to_credit.p50_ms", few.millis_at(0.5), "ms")?;
    report.figure("link_to_credit.p99_ms", few.millis_at(0.99), "ms")?;
    let p99 = format!("link_to_credit.p99_{}", args.rows);
    report.figure(&p99, many.millis_at(0.99), "ms")?;
    let ratio = many.millis_at(0.99) / few.millis_at(0.99);
    report.figure("link_to_credit.p99_large_to_small", ratio, "ratio")?;
    running.suite.stop().await?;
    beside.clear().await
}

/// Records orders in both in alternation, one at a time.
async fn record(small: &World, large: &World) -> anyhow::Result<(Latencies, Latencies)> {
    progress(&format!("recording {ROUNDS} orders in each"));
    let few = small.choose(WARM_UP + ROUNDS, 0);
    let many = large.choose(WARM_UP + ROUNDS, 0);
    let (into_few, into_many) = (small.recording(), large.recording());
    let (mut in_few, mut in_many) = (Latencies::default(), Latencies::default());
    for (round, (one, other)) in few.into_iter().zip(many).enumerate() {
        let begin = Instant::now();
        into_few(one).await?;
        let first = begin.elapsed();
        into_many(other).await?;
        if round >= WARM_UP {
            in_few.record(first);
            in_many.record(begin.elapsed() - first);
        }
    }
    Ok((in_few, in_many))
}
