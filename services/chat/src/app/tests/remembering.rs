//! Messages that are decided from memory: it changes what they cost and nothing else.

use std::sync::Arc;

use domain::id::ChatroomId;
use kit::testing::TestEngine;
use proptest::{
    collection::vec,
    prop_oneof,
    strategy::{Just, Strategy},
    test_runner::{Config, TestRunner},
};
use rapport_proto::event::v1::MemberState;
use uuid::Uuid;

use super::{
    batching::{Cast, Pick, draft, together},
    blocking, reading,
};
use crate::{
    app::{Caller, append::Draft, appender, memory::Memory},
    fixtures::{World, new_id, text},
    store::appending,
};

/// What happens between two batches, in the chatrooms of a [`Cast`].
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The visitor of the first chatroom is erased.
    Erase,
    /// The Member of the first chatroom is deactivated.
    Deactivate,
    /// The visitor of the first chatroom blocks the Member in it, or takes it back.
    VisitorBlocks(bool),
    /// The Member blocks the visitor of the first chatroom, or takes it back.
    MemberBlocks(bool),
    /// The Member reads the first message of the first chatroom.
    Read,
    /// A message of that id comes by another way.
    Write(u128),
}

/// Lets it happen; what is refused by now does not.
async fn turn(cast: &Cast, turn: Turn) {
    let (world, room) = (&cast.world, cast.rooms[0]);
    let (visitor, member) = (&cast.callers[0], &cast.callers[4]);
    match turn {
        Turn::Erase => world.erase(1).await,
        Turn::Deactivate => {
            let deactivated = MemberState::Deactivated;
            world.learn_member(&world.brand_id, 1, deactivated).await;
        }
        Turn::VisitorBlocks(blocked) => blocking::set(world, visitor, room, blocked).await,
        Turn::MemberBlocks(blocked) => blocking::set(world, member, room, blocked).await,
        Turn::Read => {
            let command = reading::command(world, member, room, 1);
            let _ = world.app.mark_read(member, command).await;
        }
        Turn::Write(id) => {
            let id = Uuid::from_u128(id).into();
            let _ = world.send(visitor, room, id, text("meanwhile")).await;
        }
    }
}

/// Has a message of `caller` written and its chatroom remembered.
async fn remember(world: &World, memory: &mut Memory, caller: &Caller, room: ChatroomId) {
    let first = draft(world, caller, room, new_id(), text("first"));
    let answers = appender::write(world.db(), Some(memory), &[first]).await;
    assert!(answers[0].is_ok());
}

/// Decides a further message from memory and writes it; returns whether it was written.
async fn follow(world: &World, memory: &Memory, caller: &Caller, room: ChatroomId) -> bool {
    let next = draft(world, caller, room, new_id(), text("next"));
    let decided = memory.decide(&[next]);
    assert!(decided.answers[0].is_some());
    let written = appending::write_unmoved(world.db(), &decided.batch).await;
    written.unwrap().unwrap().len() == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_chatroom_is_written_into_by_one_statement() {
    let world = World::new(TestEngine::Postgres).await;
    let cast = Cast::enter(&world, "shop").await;
    let (visitor, room) = (&cast.callers[0], cast.rooms[0]);
    let mut memory = Memory::default();
    remember(&cast.world, &mut memory, visitor, room).await;
    assert!(follow(&cast.world, &memory, visitor, room).await);
    let told = cast.world.history(visitor, room).await;
    let sequences: Vec<u64> = told.iter().map(|message| message.place.sequence).collect();
    assert_eq!(sequences.len(), 2);
    assert!(sequences.contains(&1) && sequences.contains(&2));
    assert!(!follow(&cast.world, &memory, visitor, room).await); // it has moved since
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_something_has_come_about() {
    let world = World::new(TestEngine::Postgres).await;
    let turns = [
        Turn::Erase, // SPEC 55
        Turn::Deactivate,
        Turn::VisitorBlocks(true), // SPEC 30
        Turn::MemberBlocks(true),
        Turn::Write(1), // SPEC 29
    ];
    for (number, change) in turns.into_iter().enumerate() {
        let cast = Cast::enter(&world, &format!("shop-{number}")).await;
        let (visitor, room) = (&cast.callers[0], cast.rooms[0]);
        let mut memory = Memory::default();
        remember(&cast.world, &mut memory, visitor, room).await;
        turn(&cast, change).await;
        let before = (cast.state().await, world.events().await.len());
        assert!(
            !follow(&cast.world, &memory, visitor, room).await,
            "{change:?}"
        );
        assert_eq!((cast.state().await, world.events().await.len()), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chatroom_is_read_first_where_memory_does_not_know_or_was_wrong() {
    let world = World::new(TestEngine::Postgres).await;
    let cast = Cast::enter(&world, "shop").await;
    let (world, visitor, room) = (&cast.world, &cast.callers[0], cast.rooms[0]);
    let mut memories = [Memory::default(), Memory::default()];
    let is_unsure = |memory: &Memory| {
        let next = draft(world, visitor, room, new_id(), text("next"));
        !memory.unsure(&[next]).is_empty()
    };
    assert!(is_unsure(&memories[0]));
    for memory in &mut memories {
        remember(world, memory, visitor, room).await;
        assert!(!is_unsure(memory));
    }
    remember(world, &mut memories[0], visitor, room).await; // the other has written since
    assert!(is_unsure(&memories[0]));
    remember(world, &mut memories[1], visitor, room).await;
    let next = draft(world, visitor, room, new_id(), text("next"));
    let unsure = memories[0].unsure(&[next]);
    let read = appending::look(world.db(), &unsure).await;
    memories[0].look(read.unwrap().unwrap(), &unsure);
    assert!(follow(world, &memories[0], visitor, room).await);
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch of the first or the second replica.
    Batch(bool, Vec<Pick>),
    Turn(Turn),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = (0..8_usize, 0..6_usize, 0..40_u128, proptest::bool::ANY);
    // Most are of one who may write where he does.
    let own = (0..1_usize, 0..1_usize, 0..40_u128, proptest::bool::ANY);
    let picks = vec(prop_oneof![1 => pick, 3 => own], 1..5);
    let turn = prop_oneof![
        1 => Just(Turn::Erase),
        1 => Just(Turn::Deactivate),
        2 => proptest::bool::ANY.prop_map(Turn::VisitorBlocks),
        2 => proptest::bool::ANY.prop_map(Turn::MemberBlocks),
        4 => Just(Turn::Read),
        4 => (100..140_u128).prop_map(Turn::Write),
    ];
    let step = prop_oneof![
        6 => (proptest::bool::weighted(0.2), picks).prop_map(|(other, picks)| Step::Batch(other, picks)),
        1 => turn.prop_map(Step::Turn),
    ];
    vec(step, 1..16)
}

/// Takes the same steps with two replicas that remember, and under locks alone.
async fn check(world: &World, number: u32, steps: &[Step]) {
    let remembering = Cast::enter(world, &format!("remembering-{number}")).await;
    let locking = Cast::enter(world, &format!("locking-{number}")).await;
    let mut memories = [Memory::default(), Memory::default()];
    for step in steps {
        match step {
            Step::Turn(change) => {
                turn(&remembering, *change).await;
                turn(&locking, *change).await;
            }
            Step::Batch(replica, picks) => {
                let memory = &mut memories[usize::from(*replica)];
                let drafts: Vec<Arc<Draft>> = remembering.drafts(picks);
                let answers = appender::write(world.db(), Some(memory), &drafts).await;
                let answers = answers.into_iter().map(|answer| remembering.told(answer));
                let expected = together(world, locking.drafts(picks)).await;
                let expected = expected.into_iter().map(|answer| locking.told(answer));
                assert!(answers.eq(expected));
            }
        }
    }
    assert_eq!(remembering.state().await, locking.state().await);
}

#[test]
fn what_is_remembered_changes_no_answer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new(TestEngine::Postgres));
    let numbers = std::cell::Cell::new(0);
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let run = TestRunner::new(config).run(&steps(), |steps| {
        numbers.set(numbers.get() + 1);
        runtime.block_on(check(&world, numbers.get(), &steps));
        Ok(())
    });
    run.unwrap();
}
