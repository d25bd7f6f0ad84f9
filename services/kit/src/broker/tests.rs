//! The broker over a real server: what is written once is read once in effect, whatever dies.

mod dead_letters;
mod faults;
mod opening;
mod reading;

use std::{sync::Mutex, time::Duration};

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use rapport_proto::event::v1::{EventBatch, MemberChanged, event::Payload};
use tokio_util::sync::CancellationToken;

use super::{copy::Span, *};
use crate::{
    clock::Clock,
    consumer::{self, Apply, EventSource},
    db::Connection,
    directory,
    event_log::Batch,
    query,
    testing::{self, TestDatabase, TestEngine, TestNats, append, wait_until},
};

const LONG: Duration = Duration::from_secs(60);

/// A service whose log is relayed, and one that reads it.
struct World {
    nats: TestNats,
    log: Db,
    reader: Db,
    lifetime: Lifetime,
    _databases: [TestDatabase; 2],
}

impl World {
    async fn start(engine: TestEngine) -> Self {
        let (log_database, log) = testing::open(engine).await;
        let (reader_database, reader) = testing::open(engine).await;
        let world = Self {
            nats: TestNats::start().await,
            log,
            reader,
            lifetime: Lifetime::default(),
            _databases: [log_database, reader_database],
        };
        world.relay().await;
        world
    }

    async fn broker(&self, name: &'static str) -> Broker {
        let broker = Broker::open(Some(&self.nats.config()), name).await;
        broker.unwrap().unwrap()
    }

    /// Starts another replica's relay.
    async fn relay(&self) {
        let broker = self.broker("identity").await;
        broker.relay(&self.log, &self.lifetime).await.unwrap();
    }

    /// Follows the log through the broker until the end of the world.
    async fn follow(&self, apply: Apply) {
        let broker = self.broker("chat").await;
        let reader = broker.reader(ServiceName::Identity).await.unwrap();
        let place = consumer::place(&self.reader, ServiceName::Identity).await;
        self.lifetime.tasks.spawn(consumer::follow(
            EventSource::Broker(reader),
            place.unwrap(),
            self.reader.clone(),
            Clock::system(),
            apply,
            |_| {},
            self.lifetime.shutdown.clone(),
        ));
    }

    async fn read(&self, count: i64) {
        wait_until(LONG, async || members(&self.reader).await == count).await;
    }

    /// Waits until the relay has written so many events.
    async fn published(&self, count: usize) {
        wait_until(LONG, async || self.written().await.len() == count).await;
    }

    /// Returns the causes of all events in the stream, once each message is found to go on where the
    /// one before it ended.
    async fn written(&self) -> Vec<String> {
        let copy = LogCopy::new(&self.broker("test").await, "identity");
        let stream = copy.open().await.unwrap();
        let last = stream.get_info().await.unwrap().state.last_sequence;
        let (mut causes, mut place) = (Vec::new(), None);
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let span = Span::of(Some(&message.headers)).unwrap();
            match &place {
                Some(place) => assert_eq!(span.after, *place, "message {sequence}"),
                None => assert!(span.after.is_beginning()),
            }
            place = Some(span.to);
            let batch: EventBatch = prost::Message::decode(message.payload).unwrap();
            causes.extend(batch.events.into_iter().map(|event| event.cause_id));
        }
        causes
    }

    async fn end(self) {
        self.lifetime.shutdown.cancel();
        self.lifetime.tasks.close();
        self.lifetime.tasks.wait().await;
    }
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn members(db: &Db) -> i64 {
    let mut connection = db.read().await.unwrap();
    let row: Result<Number, StoreError> = query!(&mut *connection, |c| {
        diesel::sql_query("SELECT count(*) AS number FROM member")
            .get_result(c)
            .await
    });
    row.unwrap().number
}

/// Appends the facts of new Members, each in a transaction; their events are numbered.
async fn append_members(log: &Db, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let mut event = testing::event("shop", number);
        event.payload = Some(Payload::MemberChanged(MemberChanged {
            member_id: Uuid::new_v4().to_string(),
            revision: 1,
            ..Default::default()
        }));
        append(log, vec![event]).await;
    }
}

fn apply<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    _: chrono::DateTime<chrono::Utc>,
) -> futures_util::future::BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(directory::apply(connection, &batch.events))
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
