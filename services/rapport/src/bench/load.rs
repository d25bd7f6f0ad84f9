//! Callers: some that call again as soon as they are answered, or ever new ones at a fixed rate.
//!
//! Callers that wait for their answer slow down with the server, and so hide how long others would
//! have waited. At a fixed rate nobody waits for anybody, and a call's latency counts from when it was
//! to begin, whether or not it could.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::latencies::Latencies;

/// What became of a slice.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// From the first call's beginning to the last one's end.
    pub(super) elapsed: Duration,
    /// One of each call.
    pub(super) latencies: Latencies,
}

impl Slice {
    /// Returns the calls a second.
    pub(super) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.latencies.len()).unwrap_or(u32::MAX))
            / self.elapsed.as_secs_f64()
    }
}

/// Has `callers` callers take one piece of `work` after another, until `limit` has passed or no work
/// is left.
///
/// # Errors
///
/// The first error of a call.
pub(super) async fn closed_loop<W, C, F>(
    work: Vec<W>,
    callers: usize,
    limit: Duration,
    call: C,
) -> anyhow::Result<Slice>
where
    W: Send + 'static,
    C: Fn(W) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let work = Arc::new(Mutex::new(work.into_iter()));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (work, call) = (Arc::clone(&work), call.clone());
        tasks.spawn(async move {
            let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
            let mut latencies = Latencies::default();
            while start.elapsed() < limit
                && let Some(piece) = next()
            {
                let begin = Instant::now();
                call(piece).await?;
                latencies.record(begin.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut slice = Slice::default();
    while let Some(ended) = tasks.join_next().await {
        slice.latencies.add(&ended??);
    }
    slice.elapsed = start.elapsed();
    Ok(slice)
}

/// Begins a call every `1 / rate` seconds, `rate` above 0, until `limit` has passed or no work is
/// left, and waits for all of them.
///
/// # Errors
///
/// The first error of a call.
pub(super) async fn open_loop<W, C, F>(
    work: Vec<W>,
    rate: f64,
    limit: Duration,
    call: C,
) -> anyhow::Result<Slice>
where
    W: Send + 'static,
    C: Fn(W) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let interval = Duration::from_secs_f64(1.0 / rate);
    let start = Instant::now();
    let mut begin = start;
    let mut tasks = JoinSet::new();
    for piece in work {
        if begin - start >= limit {
            break;
        }
        tokio::time::sleep_until(begin).await;
        let call = call.clone();
        tasks.spawn(async move {
            call(piece).await?;
            anyhow::Ok(begin.elapsed())
        });
        begin += interval;
    }
    let mut slice = Slice::default();
    while let Some(ended) = tasks.join_next().await {
        slice.latencies.record(ended??);
    }
    slice.elapsed = start.elapsed();
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn callers_who_wait_for_answers_share_the_work_until_time_is_up() {
        let one_second = |_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        };
        let limit = Duration::from_secs(10);
        let slice = closed_loop(vec![(); 1_000], 4, limit, one_second)
            .await
            .unwrap();
        assert_eq!(slice.latencies.len(), 40);
        assert_eq!(slice.rate(), 4.0);
        let slice = closed_loop(vec![(); 8], 4, limit, one_second)
            .await
            .unwrap();
        assert_eq!((slice.latencies.len(), slice.rate()), (8, 4.0));
    }

    /// One that took the server away for a second would be one slow call of a caller who waits; here
    /// all that were to begin meanwhile are slow.
    #[tokio::test(start_paused = true)]
    async fn at_a_fixed_rate_latency_counts_from_the_intended_beginning() {
        let server = Arc::new(tokio::sync::Mutex::new(()));
        let call = move |is_slow: bool| {
            let server = Arc::clone(&server);
            async move {
                let _turn = server.lock().await;
                let millis = if is_slow { 1_000 } else { 0 };
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(())
            }
        };
        let work = (0..20).map(|number| number == 0).collect();
        let slice = open_loop(work, 10.0, Duration::from_secs(60), call)
            .await
            .unwrap();
        assert_eq!(slice.latencies.len(), 20);
        // 1,000 ms, 900 ms, … 100 ms, and ten that found the server free.
        assert!(slice.latencies.millis_at(0.75) > 450.0, "{slice:?}");
        assert!(slice.latencies.millis_at(0.95) > 850.0, "{slice:?}");
    }
}
