//! Following chatrooms (SPEC 33): nothing is lost, and nobody is told what he does not see.

mod persons;
mod resuming;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::id::ChatroomId;
use futures_util::future::{join, join_all};
use kit::{error::CallError, testing::TestEngine};
use rapport_proto::chat::v1::MarkReadRequest;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    app::{Caller, MarkRead, Told, Update, Watch, follow_changes},
    error::ChatError,
    fixtures::{World, brand, new_id, on_both_engines, text},
    model::{Body, ReadMarker},
};

/// The task that reads the log, as long as this value lives.
struct Feed {
    stop: CancellationToken,
    _guard: DropGuard,
}

fn follow(world: &World) -> Feed {
    let stop = CancellationToken::new();
    let (live, db) = (world.app.live.clone(), world.db().clone());
    tokio::spawn(follow_changes(live, db, stop.clone()));
    Feed {
        stop: stop.clone(),
        _guard: stop.drop_guard(),
    }
}

/// A stream, and what a client makes of it.
struct Client {
    watch: Watch,
    /// The last position that was given.
    position: String,
    /// The chatrooms that are shown, and up to which sequence each was when it was first shown.
    shown: BTreeMap<ChatroomId, u64>,
    /// The sequences of the messages that were told.
    messages: BTreeMap<ChatroomId, BTreeSet<u64>>,
    /// How many snapshots were told.
    snapshots: usize,
}

impl Client {
    async fn begin(world: &World, caller: &Caller) -> Self {
        Self::resume(world, caller, "").await
    }

    async fn resume(world: &World, caller: &Caller, position: &str) -> Self {
        let watch = world.app.watch_chatrooms(caller.clone(), position).await;
        Self {
            watch: watch.unwrap(),
            position: position.to_owned(),
            shown: BTreeMap::new(),
            messages: BTreeMap::new(),
            snapshots: 0,
        }
    }

    /// A client who has caught up.
    async fn live(world: &World, caller: &Caller) -> Self {
        let mut client = Self::begin(world, caller).await;
        client.until_nothing().await;
        client
    }

    async fn next(&mut self) -> Result<Update, ChatError> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.watch.next());
        let Told { position, update } = next.await.expect("something is told").unwrap()?;
        if !position.is_empty() {
            self.position = position;
        }
        match &update {
            Update::Snapshot(views, complete) => {
                for view in views {
                    self.shown
                        .insert(view.chatroom.id, view.chatroom.last_sequence());
                }
                self.snapshots += usize::from(*complete);
            }
            Update::Chatroom(view) => {
                let last = view.chatroom.last_sequence();
                self.shown.entry(view.chatroom.id).or_insert(last);
            }
            Update::Message(message) => {
                let told = self.messages.entry(message.chatroom_id).or_default();
                told.insert(message.place.sequence);
            }
            Update::Hidden(id) => {
                self.shown.remove(id);
                self.messages.remove(id);
            }
            Update::Nothing => {}
        }
        Ok(update)
    }

    async fn until_nothing(&mut self) {
        while !matches!(self.next().await.unwrap(), Update::Nothing) {}
    }

    /// Reads on until `update` is one that is looked for.
    async fn until(&mut self, mut wanted: impl FnMut(&Update) -> bool) -> Update {
        loop {
            let update = self.next().await.unwrap();
            if wanted(&update) {
                return update;
            }
        }
    }

    async fn until_message(&mut self, chatroom_id: ChatroomId, sequence: u64) {
        while !self.knows(chatroom_id).contains(&sequence) {
            self.next().await.unwrap();
        }
    }

    /// The sequences that the client has, or finds where it was first shown the chatroom.
    fn knows(&self, chatroom_id: ChatroomId) -> BTreeSet<u64> {
        let shown = self.shown.get(&chatroom_id).copied().unwrap_or_default();
        let told = self.messages.get(&chatroom_id).into_iter().flatten();
        (1..=shown).chain(told.copied()).collect()
    }
}

fn all(count: u64) -> BTreeSet<u64> {
    (1..=count).collect()
}

/// Twenty visitors who write to one Member at the same time.
async fn twenty_write(world: &World, rooms: &[(Caller, ChatroomId)], each: u64) {
    let writers = rooms.iter().map(async |(visitor, id)| {
        for _ in 0..each {
            let sent = world.send(visitor, *id, new_id(), text("hello")).await;
            sent.unwrap();
        }
    });
    join_all(writers).await;
}

async fn twenty_rooms(world: &World) -> Vec<(Caller, ChatroomId)> {
    world.member(1).await;
    let mut rooms = Vec::new();
    for number in 1..=20 {
        let visitor = world.temporary(number).await;
        let id = world.room(&visitor, 1).await;
        rooms.push((visitor, id));
    }
    rooms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_and_what_follows_have_no_gap_while_twenty_write() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let rooms = twenty_rooms(&world).await;
        let member = world.member_caller(1);
        // They begin at any moment of the writing.
        let watchers = (0..8).map(async |number: u64| {
            let (_, first) = &rooms[0];
            let mut other = Client::live(&world, &rooms[0].0).await;
            other.until_message(*first, number + 1).await;
            let mut client = Client::begin(&world, &member).await;
            for (_, id) in &rooms {
                client.until_message(*id, 15).await;
            }
            for (_, id) in &rooms {
                assert_eq!(client.knows(*id), all(15)); // SPEC 33
            }
            assert_eq!(client.snapshots, 1);
        });
        join(join_all(watchers), twenty_write(&world, &rooms, 15)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_told_of_a_new_chatroom_and_what_is_said_in_it() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let mut of_visitor = Client::live(&world, &visitor).await;
        let mut of_member = Client::live(&world, &answering).await;
        assert!(of_visitor.shown.is_empty() && of_visitor.snapshots == 1);
        // A service that acts for the Member is told what he is told.
        let service = world.service(Some(answering.party));
        let mut of_service = Client::live(&world, &service).await;
        let id = world.room(&visitor, 1).await;
        let message = world.say(&answering, id).await;
        for client in [&mut of_visitor, &mut of_member, &mut of_service] {
            let opened = |update: &Update| matches!(update, Update::Chatroom(view) if view.chatroom.id == id);
            client.until(opened).await;
            let told = client.until(|update| matches!(update, Update::Message(_))).await;
            assert!(matches!(told, Update::Message(told) if *told == message));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_marker_is_told_to_the_other_devices_of_its_side_alone() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        world.say(&answering, id).await;
        let mut client = Client::live(&world, &visitor).await;
        let mut desk = Client::live(&world, &answering).await;
        // Behind this nothing is told twice that was there when the stream began.
        world.say(&visitor, id).await;
        desk.until_message(id, 2).await;
        let request = MarkReadRequest {
            chatroom_id: id.to_string(),
            sequence: 1,
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        let request_id = &request.request_id;
        let key = world.app.request_key(&visitor, "MarkRead", request_id, &request);
        let command = MarkRead {
            chatroom_id: id,
            sequence: 1,
            key: key.unwrap(),
        };
        world.app.mark_read(&visitor, command).await.unwrap();
        let read = ReadMarker {
            sequence: 1,
            unread_count: 0,
        };
        let moved = |update: &Update| {
            matches!(update, Update::Chatroom(view) if view.chatroom.visitor_marker == read)
        };
        client.until(moved).await; // SPEC 30
        world.say(&visitor, id).await;
        let told = |update: &Update| !matches!(update, Update::Nothing);
        let first = desk.until(told).await;
        assert!(matches!(first, Update::Message(_)), "{first:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_message_is_told_again_without_its_text() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        let mut client = Client::live(&world, &answering).await;
        world.erase_person(&[1]).await;
        let is_erased = |update: &Update| {
            matches!(update, Update::Message(message) if matches!(message.body, Body::Erased(_)))
        };
        let is_unwritable =
            |update: &Update| matches!(update, Update::Chatroom(view) if !view.writable);
        client.until(is_unwritable).await;
        client.until(is_erased).await; // SPEC 55
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_brand_with_the_same_ids_is_told_nothing() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let other = world.as_brand(brand("other-shop"));
        let (visitor, stranger) = (world.temporary(1).await, other.temporary(1).await);
        world.member(1).await;
        other.member(1).await;
        let (id, elsewhere) = (
            world.room(&visitor, 1).await,
            other.room(&stranger, 1).await,
        );
        let mut client = Client::live(&other, &stranger).await;
        world.say(&visitor, id).await;
        other.say(&stranger, elsewhere).await;
        // What was said first in the other Brand is not told before this (SPEC 1).
        client.until_message(elsewhere, 1).await;
        assert!(!client.shown.contains_key(&id) && !client.messages.contains_key(&id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_tell_what_was_written_through_the_other() {
    let world = World::new(TestEngine::Postgres).await;
    let replica = world.replica().await;
    let _feeds = (follow(&world), follow(&replica));
    let rooms = twenty_rooms(&world).await;
    let mut here = Client::live(&world, &world.member_caller(1)).await;
    let mut there = Client::live(&replica, &world.member_caller(1)).await;
    let (first, second) = rooms.split_at(10);
    join(
        twenty_write(&world, first, 10),
        twenty_write(&replica, second, 10),
    )
    .await;
    for client in [&mut here, &mut there] {
        for (_, id) in &rooms {
            client.until_message(*id, 10).await;
            assert_eq!(client.knows(*id), all(10));
        }
    }
    // A position is good on each of them.
    let mut resumed = Client::resume(&replica, &world.member_caller(1), &here.position).await;
    resumed.until_nothing().await;
    assert_eq!(resumed.snapshots, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_service_stops() {
    on_both_engines(async |world: World| {
        let feed = follow(&world);
        let visitor = world.temporary(1).await;
        let mut client = Client::live(&world, &visitor).await;
        feed.stop.cancel();
        let end = loop {
            if let Err(error) = client.next().await {
                break error;
            }
        };
        assert!(matches!(end, ChatError::Call(CallError::ShuttingDown)));
        assert!(client.watch.next().await.is_none());
        let mut late = world
            .app
            .watch_chatrooms(visitor, &client.position)
            .await
            .unwrap();
        let end = late.next().await.unwrap().unwrap_err();
        assert!(matches!(end, ChatError::Call(CallError::ShuttingDown)));
    })
    .await;
}
