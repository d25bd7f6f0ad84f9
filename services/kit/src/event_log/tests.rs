//! What readers of the log may rely on (SPEC 50).

mod postgres;

use std::collections::BTreeSet;

use futures_util::{StreamExt, future::join_all};

use super::*;
use crate::{
    query,
    testing::{self, TestEngine, append, event},
};

type Reader = ReceiverStream<Result<Batch, StoreError>>;

fn read_from(db: &Db, start: Start) -> Reader {
    watch(db.clone(), start, None, CancellationToken::new())
}

async fn next(reader: &mut Reader) -> Batch {
    tokio::time::timeout(Duration::from_secs(30), reader.next())
        .await
        .expect("the reader hears something, if only a heartbeat")
        .expect("the log does not end")
        .expect("the log can be read")
}

/// Returns the next batch that is no heartbeat: others' transactions may hold the first one up.
async fn next_events(reader: &mut Reader) -> Batch {
    loop {
        let batch = next(reader).await;
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

/// Returns the causes of the next `count` events, which tests number them by.
async fn causes(reader: &mut Reader, count: usize) -> Vec<String> {
    let mut causes = Vec::new();
    while causes.len() < count {
        let batch = next(reader).await;
        causes.extend(batch.events.into_iter().map(|event| event.cause_id));
    }
    causes
}

async fn heartbeat(reader: &mut Reader) -> String {
    let batch = next(reader).await;
    assert_eq!(batch.events, []);
    batch.position
}

#[test]
fn a_position_reads_back_as_written() {
    let position = Position {
        incarnation: "7.1.5".to_owned(),
        transaction: 740,
        row: 3,
    };
    assert_eq!(position.to_string().parse(), Ok(position));
    assert_eq!("7:x:1".parse::<Position>(), Err(InvalidPosition));
}

#[tokio::test]
async fn a_reader_of_all_brands_is_told_how_much_it_has_not_read() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        append(&db, (0..600).map(|n| event("shop", n)).collect()).await;
        let mut reader = read_from(&db, Start::Beginning);
        for (read, unread) in [(256, 344), (256, 88), (88, 0)] {
            let batch = next_events(&mut reader).await;
            assert_eq!((batch.events.len(), batch.unread_count), (read, unread));
        }
        let brand = "shop".parse().ok();
        let shutdown = CancellationToken::new();
        let mut reader = watch(db.clone(), Start::Beginning, brand, shutdown);
        let batch = next_events(&mut reader).await;
        assert_eq!(batch.unread_count, 0, "{engine:?}");
    }
}

#[tokio::test]
async fn a_reader_resumes_from_any_position_it_was_given() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let mut reader = read_from(&db, Start::Beginning);
        let mut positions = vec![heartbeat(&mut reader).await];
        for number in 0..6 {
            append(&db, vec![event("shop", number)]).await;
            loop {
                let batch = next(&mut reader).await;
                positions.push(batch.position);
                if !batch.events.is_empty() {
                    break;
                }
            }
        }
        positions.dedup();
        assert_eq!(
            positions.len(),
            7,
            "{engine:?}: heartbeats repeat the position"
        );
        for (seen, position) in positions.iter().enumerate() {
            let start = Start::After(position.parse().unwrap());
            let rest: Vec<String> = (seen..6).map(|number| number.to_string()).collect();
            let resumed = causes(&mut read_from(&db, start), rest.len()).await;
            assert_eq!(resumed, rest, "{engine:?} from {position}");
        }
        let mut at_end = read_from(&db, Start::End);
        assert_eq!(heartbeat(&mut at_end).await, positions[6]);
    }
}

#[tokio::test]
async fn a_position_of_another_incarnation_reads_from_the_beginning() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        append(&db, vec![event("shop", "first"), event("shop", "second")]).await;
        let elsewhere = Position {
            incarnation: "elsewhere".to_owned(),
            transaction: i64::MAX,
            row: i64::MAX,
        };
        let mut reader = read_from(&db, Start::After(elsewhere));
        assert_eq!(
            causes(&mut reader, 2).await,
            ["first", "second"],
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_log_that_becomes_another_one_ends_its_readers() {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let mut reader = read_from(&db, Start::Beginning);
    heartbeat(&mut reader).await;
    let renamed: Result<(), StoreError> = db
        .run_tx("rename", (), |connection, ()| {
            Box::pin(async move {
                let rename = diesel::sql_query("UPDATE incarnation SET name = 'another'");
                query!(connection, |c| rename.execute(c).await)?;
                append_one(connection).await
            })
        })
        .await;
    renamed.unwrap();
    loop {
        match reader.next().await.expect("an error comes before the end") {
            Ok(batch) => assert_eq!(batch.events, []),
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
                break;
            }
        }
    }
}

async fn append_one(connection: &mut Connection) -> Result<(), StoreError> {
    super::append(connection, &[event("shop", "after")]).await
}

#[tokio::test]
async fn a_reader_of_one_brand_gets_its_events_alone() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        for number in 0..5 {
            append(&db, vec![event("shop", number), event("other", number)]).await;
        }
        let brand = Some(BrandId::parse("shop").unwrap());
        let mut reader = watch(db, Start::Beginning, brand, CancellationToken::new());
        let mut seen = Vec::new();
        while seen.len() < 5 {
            for event in next(&mut reader).await.events {
                assert_eq!(event.brand_id, "shop");
                seen.push(event.cause_id);
            }
        }
        assert_eq!(seen, ["0", "1", "2", "3", "4"], "{engine:?}");
    }
}

#[tokio::test]
async fn a_reader_of_a_silent_brand_is_told_the_position_while_others_are_busy() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let brand = Some(BrandId::parse("silent").unwrap());
        let mut reader = watch(
            db.clone(),
            Start::Beginning,
            brand,
            CancellationToken::new(),
        );
        let busy = tokio::spawn(async move {
            loop {
                append(&db, vec![event("busy", "")]).await;
            }
        });
        let mut positions = BTreeSet::new();
        for _ in 0..3 {
            positions.insert(heartbeat(&mut reader).await);
        }
        busy.abort();
        assert_eq!(
            positions.len(),
            3,
            "{engine:?}: the position moves over other Brands' events"
        );
    }
}

#[tokio::test]
async fn a_log_ends_with_the_service() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let shutdown = CancellationToken::new();
        let mut reader = watch(db, Start::Beginning, None, shutdown.clone());
        next(&mut reader).await;
        shutdown.cancel();
        while let Some(batch) = reader.next().await {
            batch.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_get_what_many_write_once_and_in_one_order() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let mut readers = [Start::Beginning, Start::Beginning].map(|start| read_from(&db, start));
        let writers = (0..20).map(|writer| {
            let db = db.clone();
            tokio::spawn(async move {
                for transaction in 0..50 {
                    let events =
                        (0..5).map(|n| event("shop", format!("{writer}.{transaction}.{n}")));
                    append(&db, events.collect()).await;
                }
            })
        });
        let written = join_all(writers.collect::<Vec<_>>());
        let [one, other] = &mut readers;
        let (written, one, other) = tokio::join!(written, causes(one, 5_000), causes(other, 5_000));
        assert!(written.iter().all(Result::is_ok));
        assert_eq!(one, other, "{engine:?}");
        assert_eq!(
            one.iter().collect::<BTreeSet<_>>().len(),
            5_000,
            "{engine:?}"
        );
        for reader in &mut readers {
            heartbeat(reader).await;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_holds_back_nobody_and_loses_nothing() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let mut slow = read_from(&db, Start::Beginning);
        for start in (0..3_000).step_by(100) {
            let events = (start..start + 100).map(|number| event("shop", number));
            append(&db, events.collect()).await;
        }
        assert_eq!(
            causes(&mut read_from(&db, Start::Beginning), 3_000)
                .await
                .len(),
            3_000
        );
        let seen = causes(&mut slow, 3_000).await;
        let all: Vec<String> = (0..3_000).map(|number: i32| number.to_string()).collect();
        assert_eq!(seen, all, "{engine:?}");
    }
}

#[tokio::test]
async fn large_events_come_in_small_batches() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let large = "x".repeat(400_000);
        append(&db, (0..10).map(|_| event("shop", &large)).collect()).await;
        let mut reader = read_from(&db, Start::Beginning);
        let mut count = 0;
        while count < 10 {
            let batch = next(&mut reader).await;
            assert!(batch.events.len() <= 2, "{engine:?}");
            count += batch.events.len();
        }
    }
}

#[tokio::test]
async fn an_event_without_its_id_is_not_appended() {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let appended = db
        .run_tx("append", Event::default(), |connection, event| {
            Box::pin(super::append(connection, std::slice::from_ref(event)))
        })
        .await;
    assert!(matches!(appended, Err(StoreError::Corrupt { .. })));
}
