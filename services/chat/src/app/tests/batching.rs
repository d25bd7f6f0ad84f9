//! Messages that share a transaction: none of them notices the others.

use std::{collections::BTreeMap, sync::Arc};

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{
    id::{ChatroomId, MessageId},
    message::{MessageOrigin, Place},
};
use kit::{
    db::{Sql, StoreError},
    error::CallError,
    query,
    testing::TestEngine,
};
use proptest::{
    collection::vec,
    test_runner::{Config, TestRunner},
};
use rapport_proto::event::v1::{LinkScope, MemberState};
use uuid::Uuid;

use crate::{
    app::{
        Caller, Party, SendMessage,
        append::{self, Appended, Draft},
        appender,
        memory::Memory,
    },
    content::Content,
    error::ChatError,
    fixtures::{World, account, brand, new_id, on_both_engines, text},
    model::{Body, Chatroom, Message},
    store::schema::message,
};

pub(super) type Answer = Result<Appended, ChatError>;

pub(super) fn draft(
    world: &World,
    caller: &Caller,
    chatroom_id: ChatroomId,
    message_id: MessageId,
    content: Content,
) -> Arc<Draft> {
    Arc::new(Draft {
        caller: caller.clone(),
        command: SendMessage {
            chatroom_id,
            message_id,
            content,
            origin: MessageOrigin::Written,
        },
        event_id: world.app.ids.next(),
        now: world.clock.now(),
        trace_parent: String::new(),
    })
}

/// Appends drafts as one transaction.
pub(super) async fn together(world: &World, drafts: Vec<Arc<Draft>>) -> Vec<Answer> {
    let written = world
        .db()
        .run_locked_tx("append", drafts, |connection, drafts| {
            Box::pin(append::append(connection, drafts))
        });
    written.await.unwrap().0
}

fn places(answers: &[Answer]) -> Vec<Option<u64>> {
    let place = |answer: &Answer| match answer {
        Ok(Appended::Message(message)) => Some(message.place.sequence),
        Ok(Appended::Behind) | Err(_) => None,
    };
    answers.iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_batch_is_its_own() {
    on_both_engines(async |world: World| {
        let (visitor, stranger) = (world.temporary(1).await, world.temporary(2).await);
        let gone = world.temporary(3).await;
        world.member(1).await;
        let closed = world.member(2).await;
        let (room, of_gone) = (world.room(&visitor, 1).await, world.room(&gone, 1).await);
        let of_closed = world.room(&visitor, 2).await;
        world.erase(3).await;
        let deactivated = MemberState::Deactivated;
        world.learn_member(&world.brand_id, 2, deactivated).await;
        let elsewhere = Caller {
            brand_id: brand("other-shop"),
            needed: None,
            ..visitor.clone()
        };
        let ahead = world.visitor(Party::Person(account(1)), 7);
        let same = new_id();
        let calls = [
            (&visitor, room, same, "one"),
            (&stranger, room, new_id(), "one"),
            (&visitor, new_id(), new_id(), "one"),
            (&elsewhere, room, new_id(), "one"),
            (&visitor, room, same, "one"),
            (&visitor, room, same, "two"),
            (&gone, of_gone, new_id(), "one"),
            (&closed, of_closed, new_id(), "one"),
            (&ahead, room, new_id(), "one"),
            (&visitor, room, new_id(), "one"),
        ];
        let drafts =
            calls.map(|(caller, room, id, said)| draft(&world, caller, room, id, text(said)));
        let answers = together(&world, drafts.to_vec()).await;
        use ChatError::*;
        let one = Some(1);
        let (none, two) = (None, Some(2));
        assert_eq!(
            places(&answers),
            [one, none, none, none, one, none, none, none, none, two]
        );
        for stranger in [1, 2, 3] {
            assert!(matches!(answers[stranger], Err(ChatroomNotFound { .. }))); // SPEC 1, 32
        }
        assert!(matches!(answers[5], Err(MessageIdReused { .. }))); // SPEC 29
        assert!(matches!(answers[6], Err(AccountErased { .. }))); // SPEC 55
        assert!(matches!(answers[7], Err(MemberDeactivated { .. })));
        assert!(matches!(answers[8], Ok(Appended::Behind))); // SPEC 54
        assert_eq!(world.history(&visitor, room).await.len(), 2);
        assert_eq!(world.events().await.len(), 3 + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_fails_nobody_but_its_own_call() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let room = world.room(&visitor, 1).await;
        let broken = world.say(&visitor, room).await.id;
        let broken_row = world.db().run_tx("break", broken, |connection, id| {
            Box::pin(spoil(connection, *id))
        });
        broken_row.await.unwrap();
        let ids: [MessageId; 5] = [new_id(), new_id(), broken, new_id(), new_id()];
        let drafts: Vec<_> = ids
            .iter()
            .map(|id| draft(&world, &visitor, room, *id, text("hello")))
            .collect();
        let mut memory = Memory::default();
        let answers = appender::write(world.db(), Some(&mut memory), &drafts).await;
        assert_eq!(places(&answers), [Some(2), Some(3), None, Some(4), Some(5)]);
        let refused = answers[2].as_ref().unwrap_err();
        let corrupt = CallError::Store(StoreError::Corrupt {
            what: "message.content",
        });
        assert_eq!(refused.to_string(), corrupt.to_string());
    })
    .await;
}

/// Makes a stored message one that no release of ours has written.
async fn spoil(connection: &mut kit::db::Connection, id: MessageId) -> Result<(), StoreError> {
    let garbage = vec![0xff_u8];
    query!(connection, |c| diesel::update(
        message::table.filter(message::message_id.eq(Sql(id)))
    )
    .set(message::content.eq(Some(&garbage)))
    .execute(c)
    .await)?;
    Ok(())
}

/// A Brand with every kind of standing, and what its chatrooms and ids are called in a draft.
pub(super) struct Cast {
    pub world: World,
    pub callers: Vec<Caller>,
    pub rooms: Vec<ChatroomId>,
}

/// Sender, chatroom, message id and text, each by its number.
pub(super) type Pick = (usize, usize, u128, bool);

impl Cast {
    /// The same in each Brand, but for the ids that the service makes.
    pub(super) async fn enter(world: &World, name: &str) -> Self {
        let world = world.as_brand(brand(name));
        let (alone, client, linked) = (
            world.temporary(1).await,
            world.client(2).await,
            world.temporary(3).await,
        );
        let gone = world.temporary(4).await;
        let (answering, leaving) = (world.member(1).await, world.member(2).await);
        let rooms = vec![
            world.room(&alone, 1).await,
            world.room(&client, 1).await,
            world.room(&linked, 1).await,
            world.room(&linked, 2).await,
            world.room(&gone, 1).await,
            Uuid::from_u128(0x0fff).into(),
        ];
        world.link(1, (2, 3), LinkScope::History, false).await;
        let deactivated = MemberState::Deactivated;
        world.learn_member(&world.brand_id, 2, deactivated).await;
        world.erase(4).await;
        let ahead = world.visitor(Party::Person(account(2)), 9);
        let service = world.service(None);
        Self {
            callers: vec![
                alone, client, linked, gone, answering, leaving, service, ahead,
            ],
            rooms,
            world,
        }
    }

    pub(super) fn drafts(&self, picks: &[Pick]) -> Vec<Arc<Draft>> {
        let of = |(sender, room, id, said): &Pick| {
            let said = text(if *said { "one" } else { "two" });
            let (sender, room) = (&self.callers[*sender], self.rooms[*room]);
            draft(&self.world, sender, room, Uuid::from_u128(*id).into(), said)
        };
        picks.iter().map(of).collect()
    }

    /// What was answered, without the ids that differ from Brand to Brand.
    pub(super) fn told(&self, answer: Answer) -> Result<(MessageId, Place, Body), String> {
        match answer {
            Ok(Appended::Message(message)) => Ok((message.id, message.place, message.body.clone())),
            Ok(Appended::Behind) => Err("behind".to_owned()),
            Err(error) => Err(self.without_ids(error.to_string())),
        }
    }

    fn without_ids(&self, text: String) -> String {
        let numbered = self.rooms.iter().enumerate();
        numbered.fold(text, |text, (number, room)| {
            text.replace(&room.to_string(), &number.to_string())
        })
    }

    /// The chatrooms as they stand, with their messages, by number.
    pub(super) async fn state(&self) -> BTreeMap<usize, (Chatroom, Vec<Message>)> {
        let service = self.world.service(None);
        let mut state = BTreeMap::new();
        for (number, room) in self.rooms.iter().enumerate() {
            let Ok(view) = self.world.app.get_chatroom(&service, *room).await else {
                continue;
            };
            let id: ChatroomId = Uuid::nil().into();
            let chatroom = Chatroom {
                id,
                ..view.chatroom
            };
            let mut messages = self.world.history(&service, *room).await;
            for message in &mut messages {
                message.chatroom_id = id;
            }
            state.insert(number, (chatroom, messages));
        }
        state
    }
}

/// Writes `picks` as one batch in a Brand, and one by one in its twin.
async fn check(world: &World, number: u32, picks: &[Pick]) {
    let batch = Cast::enter(world, &format!("batch-{number}")).await;
    let single = Cast::enter(world, &format!("single-{number}")).await;
    let answers = together(world, batch.drafts(picks)).await;
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| batch.told(answer))
        .collect();
    let mut expected = Vec::new();
    for draft in single.drafts(picks) {
        let answer = together(world, vec![draft]).await.pop().unwrap();
        expected.push(single.told(answer));
    }
    assert_eq!(answers, expected);
    assert_eq!(batch.state().await, single.state().await);
}

#[test]
fn a_batch_does_what_its_messages_alone_would_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for engine in TestEngine::ALL {
        let world = runtime.block_on(World::new(engine));
        let numbers = std::cell::Cell::new(0);
        let config = Config {
            cases: 24,
            failure_persistence: None,
            ..Config::default()
        };
        let picks = vec(
            (0..8_usize, 0..6_usize, 0..4_u128, proptest::bool::ANY),
            1..24,
        );
        let run = TestRunner::new(config).run(&picks, |picks| {
            numbers.set(numbers.get() + 1);
            runtime.block_on(check(&world, numbers.get(), &picks));
            Ok(())
        });
        run.unwrap();
    }
}
