//! Places in a stream, and messages that come when they should not.

use async_nats::jetstream::context::PublishErrorKind;
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::{super::copy::Last, *};
use crate::event_log::{self, Start};

/// Reads the numbers of `count` events from a place on.
async fn read_from(reader: &Reader, place: &str, count: usize) -> Vec<String> {
    let mut deliveries = reader.watch(place, false).await.unwrap();
    let mut causes = Vec::new();
    while causes.len() < count {
        let delivery = tokio::time::timeout(LONG, deliveries.next()).await.unwrap();
        let batch = delivery.unwrap().unwrap().batch;
        causes.extend(batch.events.into_iter().map(|event| event.cause_id));
    }
    causes
}

#[tokio::test]
async fn a_reader_finds_each_place_that_the_log_gave_and_hears_when_there_is_no_more() {
    for engine in TestEngine::ALL {
        let world = World::start(engine).await;
        let mut log = event_log::watch(
            world.log.clone(),
            Start::Beginning,
            None,
            CancellationToken::new(),
        );
        let mut places = vec![String::new()];
        for number in 0..20 {
            append_members(&world.log, number..number + 1).await;
            let mut batch = log.next().await.unwrap().unwrap();
            while batch.events.is_empty() {
                batch = log.next().await.unwrap().unwrap();
            }
            places.push(batch.position);
            // A place inside a message would be given the whole message again.
            world.published(places.len() - 1).await;
        }
        let broker = world.broker("chat").await;
        let reader = broker.reader(ServiceName::Identity).await.unwrap();
        for (seen, place) in (0..20).zip(&places) {
            let rest = read_from(&reader, place, (20 - seen) as usize).await;
            assert_eq!(rest, numbers(seen..20), "{engine:?} from {place}");
        }
        let mut at_end = reader.watch(&places[20], false).await.unwrap();
        let heartbeat = at_end.next().await.unwrap().unwrap().batch;
        assert_eq!(
            (heartbeat.events, &heartbeat.position),
            (Vec::new(), &places[20])
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_reader_goes_on_where_one_over_grpc_ended() {
    let world = World::start(TestEngine::Sqlite).await;
    append_members(&world.log, 0..5).await;
    let stub = testing::stub::Stub {
        log: Some(world.log.clone()),
        ..Default::default()
    };
    let grpc = stub
        .run_for_suite(testing::stub::anywhere(), &world.log)
        .await;
    let shutdown = CancellationToken::new();
    let following = tokio::spawn(consumer::follow(
        grpc.event_source(),
        String::new(),
        world.reader.clone(),
        Clock::system(),
        apply,
        |_| {},
        shutdown.clone(),
    ));
    world.read(5).await;
    shutdown.cancel();
    following.await.unwrap();
    grpc.stop().await;
    world.published(5).await;
    append_members(&world.log, 5..10).await;
    world.follow(counting).await;
    world.read(10).await;
    assert_eq!(
        *APPLIED.lock().unwrap(),
        5,
        "what was read is not read again"
    );
    world.end().await;
}

static APPLIED: Mutex<usize> = Mutex::new(0);

fn counting<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    now: chrono::DateTime<chrono::Utc>,
) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
    *APPLIED.lock().unwrap() += batch.events.len();
    apply(connection, batch, now)
}

#[tokio::test]
async fn a_message_that_is_sent_again_after_the_window_of_duplicates_is_refused() {
    let world = World::start(TestEngine::Sqlite).await;
    append_members(&world.log, 0..3).await;
    world.follow(apply).await;
    world.read(3).await;
    let broker = world.broker("test").await;
    let stream = broker.jetstream.get_stream("rapport_identity").await;
    let stream = stream.unwrap();
    let first = stream.get_raw_message(1).await.unwrap();
    let events: EventBatch = prost::Message::decode(first.payload).unwrap();
    let span = Span::of(Some(&first.headers)).unwrap();
    let mut config = stream.cached_info().config.clone();
    config.duplicate_window = Duration::from_millis(100);
    broker.jetstream.update_stream(&config).await.unwrap();
    // As by a relay that was cut off before it saw the answer, and comes back.
    let copy = LogCopy::new(&broker, "identity");
    wait_until(LONG, async || {
        let id = span.to.to_string();
        let sent = copy.send(events.clone(), &span, &id, &Last::Found(0)).await;
        match sent.unwrap().await {
            Ok(answer) => {
                assert!(answer.duplicate, "within the window it is known");
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), PublishErrorKind::WrongLastSequence);
                true
            }
        }
    })
    .await;
    config.duplicate_window = Duration::from_secs(120);
    broker.jetstream.update_stream(&config).await.unwrap();
    append_members(&world.log, 3..5).await;
    world.read(5).await;
    assert_eq!(world.written().await, numbers(0..5));
    world.end().await;
}

static IS_APPLIED: Mutex<bool> = Mutex::new(false);
static GATE: Semaphore = Semaphore::const_new(0);

/// Applies a batch, and does not commit it before the gate opens.
fn hold<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    now: chrono::DateTime<chrono::Utc>,
) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        apply(connection, batch, now).await?;
        *IS_APPLIED.lock().unwrap() = true;
        // Once it is closed everybody passes.
        let _ = GATE.acquire().await;
        Ok(())
    })
}

#[tokio::test]
async fn what_is_not_committed_is_not_acknowledged() {
    let world = World::start(TestEngine::Postgres).await;
    append_members(&world.log, 0..1).await;
    world.published(1).await;
    world.follow(hold).await;
    wait_until(LONG, async || *IS_APPLIED.lock().unwrap()).await;
    let broker = world.broker("test").await;
    let stream = broker.jetstream.get_stream("rapport_identity").await;
    let stream = stream.unwrap();
    let name = stream.consumer_names().try_next().await.unwrap().unwrap();
    let unacknowledged = async || {
        let info = stream.consumer_info(&name).await.unwrap();
        info.num_ack_pending
    };
    assert_eq!(unacknowledged().await, 1);
    assert_eq!(members(&world.reader).await, 0);
    GATE.close();
    world.read(1).await;
    wait_until(LONG, async || unacknowledged().await == 0).await;
    world.end().await;
}
