//! Events that cannot be applied, and what is no event at all.

use super::*;

static HEALED: Mutex<bool> = Mutex::new(false);
static TRIES: Mutex<u32> = Mutex::new(0);

/// Refuses the event that is numbered 7.
fn refuse_one<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    now: chrono::DateTime<chrono::Utc>,
) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
    let has_poison = batch.events.iter().any(|event| event.cause_id == "7");
    if has_poison && !*HEALED.lock().unwrap() {
        *TRIES.lock().unwrap() += 1;
        return Box::pin(async { Err(StoreError::Corrupt { what: "event" }) });
    }
    apply(connection, batch, now)
}

async fn letters(dead_letters: &DeadLetters, count: usize) -> Vec<DeadLetter> {
    wait_until(LONG, async || {
        dead_letters.list().await.unwrap().len() == count
    })
    .await;
    dead_letters.list().await.unwrap()
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_is_set_aside_and_can_be_replayed() {
    let world = World::start(TestEngine::Sqlite).await;
    append_members(&world.log, 0..20).await;
    world.follow(refuse_one).await;
    world.read(19).await;
    let broker = world.broker("test").await;
    let dead_letters = DeadLetters::open(&broker).await.unwrap();
    let [letter] = &letters(&dead_letters, 1).await[..] else {
        panic!("one event was refused");
    };
    assert_eq!(
        (letter.log.as_str(), letter.consumer.as_str()),
        ("identity", "chat")
    );
    assert_eq!(letter.reason, "stored event cannot be read");
    assert_eq!(letter.event.as_ref().unwrap().cause_id, "7");
    assert!(*TRIES.lock().unwrap() >= 5, "what may pass is tried again");

    // Too early: it becomes another letter, and holds up nobody.
    dead_letters.replay(letter).await.unwrap();
    append_members(&world.log, 20..25).await;
    world.read(24).await;
    let again = letters(&dead_letters, 1).await.remove(0);
    assert!(again.sequence > letter.sequence);

    *HEALED.lock().unwrap() = true;
    dead_letters.replay(&again).await.unwrap();
    world.read(25).await;
    assert_eq!(dead_letters.list().await.unwrap().len(), 0);
    append_members(&world.log, 25..26).await;
    world.read(26).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_no_event_stops_neither_relay_nor_reader() {
    let world = World::start(TestEngine::Sqlite).await;
    append_members(&world.log, 0..3).await;
    world.follow(apply).await;
    world.read(3).await;
    let broker = world.broker("test").await;
    let sent = broker
        .jetstream
        .publish("rapport.events.identity", "nonsense".into());
    sent.await.unwrap().await.unwrap();
    let dead_letters = DeadLetters::open(&broker).await.unwrap();
    let letter = letters(&dead_letters, 1).await.remove(0);
    assert!(letter.event.is_none());
    append_members(&world.log, 3..6).await;
    world.read(6).await;
    dead_letters.replay(&letter).await.unwrap();
    assert_eq!(dead_letters.list().await.unwrap().len(), 0);
    world.end().await;
}
