//! The store does the same on both engines, and the same as the domain.

use std::collections::BTreeSet;

use diesel_async::RunQueryDsl;
use domain::{
    attribution_policy::AttributionPolicyRevision,
    evidence::{Evidence, MessageFact},
    message::{MessageKind, MessageOrigin, Side, is_evidence},
};
use kit::{
    db::{Connection, StoreError},
    query,
    testing::TestEngine,
};

use super::{World, account, by_account, day, events, member, minute, order};
use crate::store::{
    attribution_policies,
    chatrooms::{self, Chatroom},
    dirty_marks::{self, NewMark, Subject},
    messages::{self, Message, Question},
    orders::{self, Keys},
};

/// Runs a store function as a transaction of its own.
macro_rules! write {
    ($world:expr, $input:expr, |$connection:ident, $value:ident| $body:expr) => {{
        let result: Result<_, StoreError> = $world
            .app
            .db
            .run_tx("test_store", $input, |$connection, $value| Box::pin($body))
            .await;
        result.unwrap()
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_in_sql_is_the_fold_of_the_domain() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let room = Chatroom {
            chatroom_id: events::chatroom(1),
            account_id: account(1),
            member_id: member(1),
        };
        let mut facts = Vec::new();
        for (index, kind) in MessageKind::ALL.iter().enumerate() {
            for side in Side::ALL {
                for origin in MessageOrigin::ALL {
                    facts.push(MessageFact {
                        message_time: minute(i64::try_from(index).unwrap() - 5),
                        side: *side,
                        kind: *kind,
                        origin: *origin,
                    });
                }
            }
        }
        let input = (world.brand.clone(), room, facts.clone());
        write!(world, input, |connection, input| keep(connection, input));
        let mut connection = world.app.db.read().await.unwrap();
        let rooms = [room.chatroom_id, events::chatroom(2)];
        let questions = (-6..=6).flat_map(|minutes| rooms.map(|room| (room, minute(minutes))));
        let questions: BTreeSet<Question> = questions.collect();
        let found = messages::evidence_before(&mut connection, &world.brand, &questions);
        let found = found.await.unwrap();
        for (chatroom, order_time) in questions {
            let sent = if chatroom == room.chatroom_id {
                facts.as_slice()
            } else {
                &[]
            };
            let expected = Evidence::of(sent, order_time); // SPEC 38, 39
            let found = found.get(&(chatroom, order_time));
            let found = found.copied().unwrap_or_default();
            assert_eq!(found, expected, "{engine:?}, {order_time}");
            let chatrooms = [chatroom];
            let counted =
                messages::count_before(&mut connection, &world.brand, &chatrooms, order_time);
            let counted = counted.await.unwrap();
            for side in [Side::Visitor, Side::Member] {
                let count = sent.iter().filter(|fact| {
                    let counts = is_evidence(fact.kind, fact.origin, fact.side);
                    counts && fact.side == side && fact.message_time < order_time
                });
                let found = counted.get(&(chatroom, side)).copied();
                let expected = i64::try_from(count.count()).unwrap();
                assert_eq!(found.unwrap_or(0), expected, "{engine:?}, {order_time}");
            }
        }
    }
}

/// Keeps each message twice.
async fn keep(
    connection: &mut Connection,
    (brand, room, facts): &(domain::id::BrandId, Chatroom, Vec<MessageFact>),
) -> Result<(), StoreError> {
    let rooms = [(brand.clone(), *room)].into();
    let kept = (0_u128..).zip(facts).map(|(index, fact)| Message {
        brand_id: brand.clone(),
        chatroom_id: room.chatroom_id,
        id: uuid::Uuid::from_u128(index).into(),
        fact: *fact,
    });
    let kept: Vec<Message> = kept.collect();
    for _ in 0..2 {
        chatrooms::keep_all(connection, &rooms).await?;
        messages::keep_all(connection, &kept).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_in_force_in_sql_is_that_of_the_domain() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let mut all = Vec::new();
        for (revision, effective) in [(1, 2), (2, 0), (3, 2), (4, 1)] {
            let set = world.policy(day(effective), |policy| {
                policy.commission_rate_ppm = revision;
            });
            assert_eq!(set.await.unwrap(), u64::try_from(revision).unwrap());
            let mut connection = world.app.db.read().await.unwrap();
            let set = attribution_policies::find(
                &mut connection,
                &world.brand,
                u64::try_from(revision).unwrap(),
            );
            all.push(set.await.unwrap().unwrap().revision);
        }
        let mut connection = world.app.db.read().await.unwrap();
        for (first, last) in (-1..4).flat_map(|first| (first..4).map(move |last| (first, last))) {
            let (connection, brand) = (&mut connection, &world.brand);
            let found =
                attribution_policies::list_in_force(connection, brand, day(first), day(last));
            let found = found.await.unwrap();
            for time in (first..=last).map(day) {
                let expected = AttributionPolicyRevision::in_force(&all, time); // SPEC 44
                let told = AttributionPolicyRevision::in_force(&found, time);
                assert_eq!(told, expected, "{first} to {last}: {time}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_each_of_their_keys() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let mut keys = by_account(account(1));
        keys.customer = Some("ann".parse().unwrap());
        keys.cart = Some("cart".parse().unwrap());
        keys.email = Some(domain::email::EmailDigest::new([7; 32]));
        world.record(order("o", day(0), keys)).await.unwrap();
        let mut connection = world.app.db.read().await.unwrap();
        let none = Keys::default;
        let each = [
            Keys {
                accounts: vec![account(2), account(1)],
                ..none()
            },
            Keys {
                customers: vec!["ann".parse().unwrap()],
                ..none()
            },
            Keys {
                carts: vec!["cart".parse().unwrap()],
                ..none()
            },
            Keys {
                emails: vec![domain::email::EmailDigest::new([7; 32])],
                ..none()
            },
        ];
        for keys in each {
            for (from_time, expected) in [(day(0), 1), (minute(1), 0)] {
                let found = orders::list_by_keys(&mut connection, &world.brand, &keys, from_time);
                let found = found.await.unwrap();
                assert_eq!(found.len(), expected, "{keys:?}");
            }
        }
        let keys = none();
        let found = orders::list_by_keys(&mut connection, &world.brand, &keys, day(0));
        assert_eq!(found.await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_reads_back_and_its_number_is_never_used_again() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        let subjects = [
            Subject::Account(account(1)),
            Subject::Customer("ann: ä".parse().unwrap()),
            Subject::Cart("cart".parse().unwrap()),
            Subject::Orders(["o", "ö, 2"].map(|id| id.parse().unwrap()).into()),
        ];
        let mut numbers = std::collections::BTreeSet::new();
        for subject in subjects {
            let mark = NewMark::from(subject, day(1));
            let input = (world.brand.clone(), mark.clone());
            write!(world, input, |connection, input| {
                dirty_marks::insert(connection, &input.0, &input.1)
            });
            let marks = {
                let mut connection = world.app.db.read().await.unwrap();
                let listed = dirty_marks::list(&mut connection, &world.brand, 0, i64::MAX, 9);
                listed.await.unwrap()
            };
            let [found] = marks.as_slice() else {
                panic!("{marks:?}");
            };
            assert_eq!(
                (&found.subject, found.from_time),
                (&mark.subject, mark.from_time)
            );
            assert!(numbers.insert(found.number), "{engine:?}");
            let input = (world.brand.clone(), found.number);
            write!(world, input, |connection, input| {
                dirty_marks::delete(connection, &input.0, std::slice::from_ref(&input.1))
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_entry_is_never_changed_or_removed() {
    for engine in TestEngine::ALL {
        let world = World::create(engine).await;
        world.policy(day(-100), |_| ()).await.unwrap();
        world.hear_identity([events::temporary(account(1))]).await;
        let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
        world.hear_chat(talk).await;
        let report = order("o", day(0), by_account(account(1)));
        world.record(report).await.unwrap();
        world.status("o", "OK", day(0)).await;
        let another = |number: i32, target: i64| {
            format!(
                "INSERT INTO ledger_entry (brand_id, order_id, member_id, number, ledger_entry_id, \
                 currency_code, minor_units, target_minor_units, attribution_revision, \
                 policy_revision, book_time, change_number) SELECT e.brand_id, e.order_id, \
                 e.member_id, {number}, a.account_id, e.currency_code, 50, {target}, 1, 1, \
                 e.book_time, 99 FROM ledger_entry e CROSS JOIN account a"
            )
        };
        for statement in [
            "UPDATE ledger_entry SET minor_units = 1",
            "DELETE FROM ledger_entry",
            // The target is the sum of the entries up to it.
            &another(2, 501),
            &another(3, 550),
        ] {
            assert!(execute(&world, statement).await.is_err(), "{statement}"); // SPEC 43
        }
        assert_eq!(world.entries().await, [450]);
        execute(&world, &another(2, 500)).await.unwrap();
        assert_eq!(world.balance(member(1)).await, 500);
    }
}

async fn execute(world: &World, statement: &str) -> Result<usize, StoreError> {
    let executed = world.app.db.run_tx(
        "execute_statement",
        statement.to_owned(),
        |connection, statement| {
            Box::pin(async move {
                query!(connection, |c| diesel::sql_query(statement)
                    .execute(c)
                    .await)
            })
        },
    );
    executed.await
}
