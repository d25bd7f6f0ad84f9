//! Relays in competition, and servers that are killed.

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_at_once_leave_neither_a_gap_nor_a_repetition() {
    for engine in TestEngine::ALL {
        let world = World::start(engine).await;
        world.relay().await;
        world.relay().await;
        world.follow(apply).await;
        let writers = (0..4).map(|writer| {
            let log = world.log.clone();
            tokio::spawn(async move {
                append_members(&log, writer * 200..writer * 200 + 200).await;
            })
        });
        for written in join_all(writers.collect::<Vec<_>>()).await {
            written.unwrap();
        }
        world.read(800).await;
        let mut written = world.written().await;
        written.sort_by_key(|cause| cause.parse::<u32>().unwrap());
        assert_eq!(written, numbers(0..800), "{engine:?}");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_under_load_loses_nothing_and_repeats_nothing() {
    let mut world = World::start(TestEngine::Postgres).await;
    world.relay().await;
    world.follow(apply).await;
    let stop = CancellationToken::new();
    let writing = tokio::spawn({
        let (log, stop) = (world.log.clone(), stop.clone());
        async move {
            let mut count = 0;
            while !stop.is_cancelled() {
                append_members(&log, count..count + 1).await;
                count += 1;
            }
            count
        }
    });
    for _ in 0..5 {
        let before = members(&world.reader).await;
        wait_until(LONG, async || members(&world.reader).await > before).await;
        world.nats.kill();
        world.nats.restart().await;
    }
    stop.cancel();
    let count = writing.await.unwrap();
    world.read(count.into()).await;
    assert_eq!(world.written().await, numbers(0..count));
    world.end().await;
}

#[tokio::test]
async fn a_stream_that_is_lost_is_made_again_and_filled_from_the_log() {
    let world = World::start(TestEngine::Sqlite).await;
    world.follow(apply).await;
    append_members(&world.log, 0..10).await;
    world.read(10).await;
    let broker = world.broker("test").await;
    broker
        .jetstream
        .delete_stream("rapport_identity")
        .await
        .unwrap();
    append_members(&world.log, 10..20).await;
    world.read(20).await;
    assert_eq!(world.written().await, numbers(0..20));
    world.end().await;
}

#[tokio::test]
async fn a_log_that_was_restored_is_published_and_read_anew() {
    let world = World::start(TestEngine::Sqlite).await;
    append_members(&world.log, 0..5).await;
    world.follow(apply).await;
    world.read(5).await;
    // As the restore procedure does.
    let renamed: Result<(), StoreError> = world
        .log
        .run_tx("rename", (), |connection, ()| {
            Box::pin(async move {
                let rename = diesel::sql_query("UPDATE incarnation SET name = 'another'");
                query!(connection, |c| rename.execute(c).await)?;
                Ok(())
            })
        })
        .await;
    renamed.unwrap();
    append_members(&world.log, 5..8).await;
    world.read(8).await;
    let copy = LogCopy::new(&world.broker("test").await, "identity");
    let end = copy.end(&copy.open().await.unwrap()).await.unwrap();
    assert_eq!(end.position.unwrap().incarnation, "another");
    world.end().await;
}
