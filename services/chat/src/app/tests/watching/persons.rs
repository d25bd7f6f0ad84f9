//! What a link and its end change for those who watch (SPEC 21, 33).

use std::{sync::Arc, time::Duration};

use domain::{
    id::{BrandId, ChatroomId},
    message::{MessageKind, MessageOrigin, Place},
};
use futures_util::future::{join, join_all};
use kit::{
    db::{Connection, StoreError},
    query,
    testing::TestEngine,
};
use rapport_proto::event::v1::{LinkScope, MemberState};
use tokio::sync::Notify;

use super::{Client, all, follow};
use crate::{
    app::{Party, Update},
    events,
    fixtures::{World, account, at, new_id, on_both_engines, text},
    model::{Author, Body, Message},
    store::{
        appending::{self, Batch, Moved},
        chatrooms,
    },
};

fn is_hidden(id: ChatroomId) -> impl Fn(&Update) -> bool {
    move |update| matches!(update, Update::Hidden(hidden) if *hidden == id)
}

fn is_shown(id: ChatroomId) -> impl Fn(&Update) -> bool {
    move |update| matches!(update, Update::Chatroom(view) if view.chatroom.id == id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_temporary_chatroom_and_its_end_hides_it() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let client = world.client(1).await;
        let temporary = world.temporary(2).await;
        let answering = world.member(1).await;
        let id = world.room(&temporary, 1).await;
        world.say(&temporary, id).await;
        let mut watching = Client::live(&world, &client).await;
        let mut of_member = Client::live(&world, &answering).await;
        assert!(watching.shown.is_empty());

        world.link(1, (1, 2), LinkScope::History, false).await;
        watching.until(is_shown(id)).await; // SPEC 22
        let with_person = |update: &Update| {
            matches!(update, Update::Chatroom(view) if view.person_id == account(1))
        };
        of_member.until(with_person).await; // SPEC 26
        world.say(&answering, id).await;
        watching.until_message(id, 2).await;
        assert_eq!(watching.knows(id), all(2));

        let position = watching.position.clone();
        world.link(1, (1, 2), LinkScope::History, true).await;
        watching.until(is_hidden(id)).await; // SPEC 16
        let alone = |update: &Update| {
            matches!(update, Update::Chatroom(view) if view.person_id == account(2))
        };
        of_member.until(alone).await;
        // Whoever was not there is told when he comes back.
        let mut resumed = Client::resume(&world, &client, &position).await;
        resumed.until(is_hidden(id)).await;
        assert_eq!(resumed.snapshots, 0);
        let mut anew = Client::live(&world, &client).await;
        assert!(anew.shown.is_empty());

        let own = world.room(&client, 1).await;
        world.say(&answering, id).await;
        world.say(&answering, own).await;
        for client in [&mut watching, &mut resumed, &mut anew] {
            client.until_message(own, 1).await;
            assert!(!client.messages.contains_key(&id)); // SPEC 21
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_serves_attribution_alone_shows_nothing() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let client = world.client(1).await;
        let temporary = world.temporary(2).await;
        let answering = world.member(1).await;
        let id = world.room(&temporary, 1).await;
        let own = world.room(&client, 1).await;
        let mut watching = Client::live(&world, &client).await;
        world.link(1, (1, 2), LinkScope::Tracking, false).await;
        world.link(1, (1, 2), LinkScope::Tracking, true).await;
        world.say(&answering, id).await;
        world.say(&answering, own).await;
        let mut seen = Vec::new();
        watching
            .until(|update| {
                seen.push(is_shown(id)(update) || is_hidden(id)(update));
                matches!(update, Update::Message(_))
            })
            .await;
        assert!(!seen.contains(&true)); // SPEC 6
        assert!(!watching.messages.contains_key(&id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_acts_for_a_linked_account_is_told_what_the_person_sees() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let client = world.client(1).await;
        world.temporary(2).await;
        let answering = world.member(1).await;
        let id = world.room(&client, 1).await;
        let service = world.service(Some(Party::Person(account(2))));
        let mut watching = Client::live(&world, &service).await;
        assert!(watching.shown.is_empty());
        world.link(1, (1, 2), LinkScope::History, false).await;
        watching.until(is_shown(id)).await;
        world.say(&answering, id).await;
        watching.until_message(id, 1).await;
        world.link(1, (1, 2), LinkScope::History, true).await;
        watching.until(is_hidden(id)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_told_that_a_member_answers_no_more() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let mut watching = Client::live(&world, &visitor).await;
        // He himself cannot watch any more; a service may do it for him.
        let service = world.service(Some(answering.party));
        let mut of_service = Client::live(&world, &service).await;
        let position = of_service.position.clone();
        let state = MemberState::Deactivated;
        world.learn_member(&world.brand_id, 1, state).await;
        let unwritable = |update: &Update| {
            matches!(update, Update::Chatroom(view) if view.chatroom.id == id && !view.writable)
        };
        watching.until(unwritable).await;
        of_service.until(unwritable).await;
        // However many they are, they are in a snapshot.
        let mut resumed = Client::resume(&world, &service, &position).await;
        resumed.until_nothing().await;
        assert_eq!(resumed.snapshots, 1);
    })
    .await;
}

/// The end of a link, and messages from both sides, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_written_after_the_end_of_a_link_passes_through_it() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let client = world.client(1).await;
        let temporary = world.temporary(2).await;
        let answering = world.member(1).await;
        let id = world.room(&temporary, 1).await;
        let own = world.room(&client, 1).await;
        for number in 1..=10 {
            world.link(number, (1, 2), LinkScope::History, false).await;
            let mut watching = Client::live(&world, &client).await;
            let writing = join_all((0..10).map(async |_| {
                let sent = world.send(&answering, id, new_id(), text("hello")).await;
                sent.unwrap();
            }));
            let revoking = async {
                world.link(number, (1, 2), LinkScope::History, true).await;
                let room = world.app.get_chatroom(&temporary, id).await.unwrap();
                room.chatroom.last_sequence()
            };
            // What was written by then may have been committed before the end.
            let (_, before) = join(writing, revoking).await;
            world.say(&answering, id).await;
            let last = world.say(&answering, own).await;
            let mut told = 0;
            let mut is_over = false;
            watching
                .until(|update| {
                    is_over |= is_hidden(id)(update);
                    if let Update::Message(message) = update
                        && message.chatroom_id == id
                    {
                        assert!(!is_over, "a message behind the end of its link");
                        told = told.max(message.place.sequence);
                    }
                    matches!(update, Update::Message(message) if **message == last)
                })
                .await;
            assert!(is_over);
            assert!(told <= before, "{told} was written after {before}");
        }
    })
    .await;
}

/// What a transaction needs that began before a revocation and commits after it.
struct Late {
    brand_id: BrandId,
    chatroom_id: ChatroomId,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

async fn write_late(connection: &mut Connection, late: &Late) -> Result<(), StoreError> {
    query!(&mut *connection, |c| {
        use diesel_async::RunQueryDsl as _;
        diesel::sql_query("SELECT pg_current_xact_id()")
            .execute(c)
            .await
    })?;
    late.begun.notify_one();
    late.go_on.notified().await;
    let (brand_id, id) = (&late.brand_id, late.chatroom_id);
    let room = chatrooms::lock(connection, brand_id, id).await?.unwrap();
    let message = Message {
        id: new_id(),
        chatroom_id: id,
        place: Place::following(room.last, at(9)),
        author: Author::Member(room.member_id),
        kind: MessageKind::Text,
        origin: MessageOrigin::Written,
        body: Body::Kept(text("late").into_wire(None)),
    };
    let after = room.clone().after(&message);
    let batch = Batch {
        events: vec![events::message_sent(new_id(), brand_id, &after, &message)],
        messages: vec![(brand_id.clone(), message.into())],
        chatrooms: [(
            (brand_id.clone(), id),
            Moved {
                before: room,
                after,
            },
        )]
        .into(),
    };
    appending::write(connection, &batch).await
}

/// In the log the message stands before the end of the link, and was committed after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_log_has_before_the_end_of_its_link_does_not_pass_through_it() {
    let world = World::new(TestEngine::Postgres).await;
    let _feed = follow(&world);
    let client = world.client(1).await;
    let temporary = world.temporary(2).await;
    let answering = world.member(1).await;
    let id = world.room(&temporary, 1).await;
    let own = world.room(&client, 1).await;
    world.link(1, (1, 2), LinkScope::History, false).await;
    let mut watching = Client::live(&world, &client).await;
    let late = Late {
        brand_id: world.brand_id.clone(),
        chatroom_id: id,
        begun: Arc::default(),
        go_on: Arc::default(),
    };
    let (begun, go_on) = (Arc::clone(&late.begun), Arc::clone(&late.go_on));
    let db = world.db().clone();
    let writing = tokio::spawn(async move {
        db.run_locked_tx("write_late", late, |c, late| Box::pin(write_late(c, late)))
            .await
    });
    let began = tokio::time::timeout(Duration::from_secs(30), begun.notified());
    began.await.unwrap();
    world.link(1, (1, 2), LinkScope::History, true).await;
    go_on.notify_one();
    writing.await.unwrap().unwrap();
    world.say(&answering, own).await;
    let mut updates = Vec::new();
    watching
        .until(|update| {
            updates.push(update.clone());
            matches!(update, Update::Message(message) if message.chatroom_id == own)
        })
        .await;
    assert!(updates.iter().any(is_hidden(id)));
    assert!(!watching.messages.contains_key(&id)); // SPEC 21
    let mut of_temporary = Client::begin(&world, &temporary).await;
    of_temporary.until_message(id, 1).await;
}
