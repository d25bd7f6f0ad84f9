//! Many writers at once, from several processes, some of whom go away (SPEC 29).

use std::{collections::BTreeSet, time::Duration};

use diesel::{QueryableByName, sql_types::Integer};
use diesel_async::RunQueryDsl;
use domain::id::{ChatroomId, MessageId};
use futures_util::future::{join, join_all};
use kit::{
    db::{Connection, StoreError},
    testing::TestEngine,
};
use rapport_proto::event::v1::event::Payload;

use crate::{
    app::{Caller, ListMessages, MessageOrder},
    error::ChatError,
    fixtures::{World, new_id, on_both_engines, text},
    model::Message,
};

/// A visitor and the chatroom that he has with Member 1.
struct Seat {
    visitor: Caller,
    room: ChatroomId,
}

async fn seats(world: &World, count: u128) -> Vec<Seat> {
    world.member(1).await;
    let mut seats = Vec::new();
    for number in 1..=count {
        let visitor = world.temporary(number).await;
        let room = world.room(&visitor, 1).await;
        seats.push(Seat { visitor, room });
    }
    seats
}

impl Seat {
    async fn say(&self, world: &World, id: MessageId) -> Result<Message, ChatError> {
        world
            .send(&self.visitor, self.room, id, text("hello"))
            .await
    }

    /// Says something, again and again while too many others wait.
    async fn say_when_there_is_room(&self, world: &World) -> Message {
        let id = new_id();
        loop {
            match self.say(world, id).await {
                Ok(message) => return message,
                Err(ChatError::Overloaded { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn messages(&self, world: &World) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut page_token = String::new();
        loop {
            let query = ListMessages {
                chatroom_id: self.room,
                order: MessageOrder::OldestFirst,
                page_size: 200,
                page_token,
            };
            let listed = world.app.list_messages(&self.visitor, query).await;
            let (page, next) = listed.unwrap();
            messages.extend(page);
            if next.is_empty() {
                return messages;
            }
            page_token = next;
        }
    }
}

/// Checks that nothing is missing, doubled or out of order: each chatroom's messages are numbered
/// without gaps, their times increase, each has exactly one event, and nothing else has one; and
/// that everything that was acknowledged is there as it was told.
async fn check(world: &World, seats: &[Seat], acknowledged: &[Message]) {
    let mut stored = BTreeSet::new();
    for seat in seats {
        let messages = seat.messages(world).await;
        let sequences: Vec<u64> = messages
            .iter()
            .map(|message| message.place.sequence)
            .collect();
        let count = u64::try_from(messages.len()).unwrap();
        assert_eq!(sequences, (1..=count).collect::<Vec<u64>>()); // SPEC 29
        assert!(messages.is_sorted_by(|a, b| a.place.message_time < b.place.message_time));
        stored.extend(messages.iter().map(|message| {
            let sequence = i64::try_from(message.place.sequence).unwrap();
            (message.chatroom_id, message.id, sequence)
        }));
    }
    for message in acknowledged {
        let sequence = i64::try_from(message.place.sequence).unwrap();
        assert!(stored.contains(&(message.chatroom_id, message.id, sequence)));
    }
    let mut told = BTreeSet::new();
    for payload in world.events().await {
        if let Payload::MessageSent(sent) = payload {
            let (room, id) = (sent.chatroom_id.parse(), sent.message_id.parse());
            let is_first = told.insert((room.unwrap(), id.unwrap(), sent.sequence));
            assert!(is_first, "two events of one message");
        }
    }
    assert_eq!(told, stored); // SPEC 49
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_leave_no_gap_in_one_chatroom_or_in_many() {
    on_both_engines(async |world: World| {
        let seats = seats(&world, 4).await;
        let calls = (0..64_usize).flat_map(|writer| {
            // Every second writer keeps to the first chatroom.
            let seat = &seats[writer * (writer % 2) % seats.len()];
            (0..4).map(|_| seat.say(&world, new_id()))
        });
        let sent: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        check(&world, &seats, &sent.unwrap()).await;
    })
    .await;
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    number: i32,
}

/// Returns the numbers that a statement of PostgreSQL gives as `number`.
async fn numbers(world: &World, statement: &str) -> Vec<i32> {
    let mut connection = world.db().read().await.unwrap();
    let Connection::Postgres(c) = &mut *connection else {
        panic!("SQLite has none");
    };
    let rows: Vec<Number> = diesel::sql_query(statement).load(c).await.unwrap();
    rows.into_iter().map(|row| row.number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_write_into_the_same_chatrooms_and_never_wait_in_a_circle() {
    let world = World::new(TestEngine::Postgres).await;
    let seats = seats(&world, 16).await;
    let other = world.replica().await;
    let ids: Vec<MessageId> = (0..512).map(|_| new_id()).collect();
    // Each message is sent to both, as by a caller whose first replica was slow to answer.
    let calls = ids.iter().enumerate().flat_map(|(number, id)| {
        let (one, reversed) = (number % seats.len(), (ids.len() - number) % seats.len());
        [
            seats[one].say(&world, *id),
            seats[one].say(&other, *id),
            seats[reversed].say(&other, new_id()),
        ]
    });
    let sent: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
    let sent = sent.unwrap();
    check(&world, &seats, &sent).await;
    let distinct: BTreeSet<MessageId> = sent.iter().map(|message| message.id).collect();
    assert_eq!(distinct.len(), 2 * ids.len());
    let deadlocks = "SELECT deadlocks::int AS number FROM pg_stat_database \
                     WHERE datname = current_database()";
    assert_eq!(numbers(&world, deadlocks).await, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_cancelled_calls_loses_nothing_and_no_connection() {
    const CALLS: usize = 10_000;
    const AT_ONCE: usize = 250;
    /// Beside each wave of those who go away, some stay: on both engines there are answers to be held to.
    const STAYING: usize = 25;
    const CONNECTIONS: &str = "SELECT pid AS number FROM pg_stat_activity \
                               WHERE datname = current_database() AND application_name = 'rapport'";
    const LEFT_OPEN: &str = "SELECT pid AS number FROM pg_stat_activity \
                             WHERE datname = current_database() \
                             AND state LIKE 'idle in transaction%'";
    for engine in TestEngine::ALL {
        eprintln!("on {engine:?}");
        let world = World::new(engine).await;
        let seats = seats(&world, 8).await;
        let is_postgres = matches!(engine, TestEngine::Postgres);
        let mut acknowledged = Vec::new();
        let mut before = Vec::new();
        for wave in 0..CALLS / AT_ONCE {
            let calls = (0..AT_ONCE).map(|number| {
                let micros = (wave * AT_ONCE + number) * 7_919 % 20_000;
                let call = seats[number % seats.len()].say(&world, new_id());
                tokio::time::timeout(Duration::from_micros(micros as u64), call)
            });
            let staying = (0..STAYING).map(|number| {
                let seat = &seats[number % seats.len()];
                seat.say(&world, new_id())
            });
            let (ended, stayed) = join(join_all(calls), join_all(staying)).await;
            let answers = ended.into_iter().filter_map(Result::ok).chain(stayed);
            acknowledged.extend(answers.map(Result::unwrap));
            if is_postgres && wave == 0 {
                before = numbers(&world, CONNECTIONS).await;
            }
        }
        // Behind these, everything that was begun has ended.
        for seat in &seats {
            acknowledged.push(seat.say_when_there_is_room(&world).await);
        }
        check(&world, &seats, &acknowledged).await;
        if is_postgres {
            let after = numbers(&world, CONNECTIONS).await;
            assert!(before.iter().all(|pid| after.contains(pid)));
            assert!(numbers(&world, LEFT_OPEN).await.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_queue_cannot_hold_is_told_when_to_come_again() {
    let world = World::new(TestEngine::Postgres).await;
    let seats = seats(&world, 1).await;
    let seat = &seats[0];
    let mut holder = world.db().read().await.unwrap();
    run(&mut holder, "BEGIN").await.unwrap();
    let endless = "SET LOCAL idle_in_transaction_session_timeout = 0";
    run(&mut holder, endless).await.unwrap();
    let lock = "SELECT 1 FROM chatroom FOR UPDATE";
    run(&mut holder, lock).await.unwrap();
    let calls = join_all((0..2_000).map(|_| seat.say(&world, new_id())));
    // Polled after all of the calls.
    let release = async { run(&mut holder, "COMMIT").await.unwrap() };
    let (answers, ()) = join(calls, release).await;
    let mut sent = Vec::new();
    for answer in answers {
        match answer {
            Ok(message) => sent.push(message),
            Err(error) => assert!(matches!(error, ChatError::Overloaded { .. }), "{error}"),
        }
    }
    assert!((1_024..2_000).contains(&sent.len()), "{}", sent.len());
    check(&world, &seats, &sent).await;
}

async fn run(connection: &mut Connection, statement: &str) -> Result<(), StoreError> {
    let Connection::Postgres(c) = connection else {
        panic!("SQLite needs no locks");
    };
    diesel::sql_query(statement).execute(c).await?;
    Ok(())
}
