//! Erasing what was said with a person (SPEC 55).

use futures_util::future::join_all;
use rapport_proto::event::v1::{AccountKind, LinkScope, event::Payload};
use uuid::Uuid;

use crate::{
    app::erase_person::begin_account,
    error::ChatError,
    fixtures::{World, account, account_changed, new_id, on_both_engines, text},
    model::{Body, Message},
    store::account_erasures,
};

fn is_cleared(message: &Message) -> bool {
    matches!(message.body, Body::Erased(_))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_sides_said_goes_and_the_structure_stays() {
    on_both_engines(async |world: World| {
        let (client, visitor) = (world.client(1).await, world.temporary(2).await);
        let (stranger, answering) = (world.temporary(3).await, world.member(1).await);
        let mut rooms = Vec::new();
        for caller in [&client, &visitor, &stranger] {
            let id = world.room(caller, 1).await;
            world.say(caller, id).await;
            world.say(&answering, id).await;
            rooms.push(id);
        }
        world.link(1, (1, 2), LinkScope::History, false).await;
        let before = world.history(&answering, rooms[1]).await;
        let rooms_before = world.page(&answering, 200, "").await.unwrap().0;

        world.advance(1);
        let erased = world.erase_person(&[1, 2]).await;
        assert!(erased.complete && erased.complete_time.is_some());
        assert_eq!((erased.message_count, erased.image_count), (4, 0));

        for room in &rooms[..2] {
            let after = world.history(&answering, *room).await;
            assert!(after.iter().all(is_cleared)); // SPEC 55: of the Member, too
        }
        let after = world.history(&answering, rooms[1]).await;
        let shape = |message: &Message| (message.id, message.place, message.author, message.kind);
        let shapes = |messages: &[Message]| messages.iter().map(shape).collect::<Vec<_>>();
        assert_eq!(shapes(&after), shapes(&before)); // SPEC 55: ids, kinds, times and sides stay
        let untouched = world.history(&answering, rooms[2]).await;
        assert!(!untouched.iter().any(is_cleared));
        assert_eq!(world.list(&answering).await, rooms_before);
        let room = world.app.get_chatroom(&answering, rooms[0]).await.unwrap();
        assert!(room.chatroom.dialogue_time().is_some() && !room.writable);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_to_an_erased_person_and_no_older_fact_brings_him_back() {
    on_both_engines(async |world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let said = world.say(&visitor, id).await;
        // The call may come before the event of it, and before older events.
        world.erase_person(&[1]).await;
        let state = account_changed(account(1), AccountKind::Temporary, 8);
        world.learn(Payload::AccountChanged(state)).await; // SPEC 51, 55
        for caller in [&visitor, &answering] {
            let refused = world.send(caller, id, new_id(), text("again")).await;
            assert!(matches!(refused, Err(ChatError::AccountErased { .. })));
        }
        let again = world.send(&visitor, id, said.id, text("hello")).await;
        assert!(is_cleared(&again.unwrap())); // SPEC 29: it has been sent, and is not sent again
        world.erase(1).await;
        let repeated = world.erase_person(&[1]).await;
        assert!(repeated.complete);
        assert_eq!(repeated.message_count, 1); // repeatable
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_the_same_moment_is_cleared_or_refused() {
    on_both_engines(async |world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let sends = (0..40).map(|number| {
            let caller = if number % 2 == 0 {
                &visitor
            } else {
                &answering
            };
            world.send(caller, id, new_id(), text("at the same moment"))
        });
        let (sent, erased) = tokio::join!(join_all(sends), world.erase_person(&[1]));
        assert!(erased.complete);
        let written = sent.iter().filter(|result| result.is_ok()).count();
        for result in sent {
            assert!(matches!(
                result,
                Ok(_) | Err(ChatError::AccountErased { .. })
            ));
        }
        let left = world.history(&answering, id).await;
        assert_eq!(left.len(), written);
        assert!(left.iter().all(is_cleared)); // SPEC 55
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_only_begun_is_finished_later() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        // As a crash, an event, or a database put back from an older copy leaves it.
        let erasure_id: domain::id::ErasureId = new_id();
        let input = (world.brand_id.clone(), erasure_id, world.clock.now());
        let begun = world
            .db()
            .run_tx("begin", input, |c, (brand_id, erasure_id, now)| {
                Box::pin(begin_account(c, brand_id, account(1), *erasure_id, *now))
            });
        begun.await.unwrap();
        assert!(!world.history(&answering, id).await.iter().any(is_cleared));

        assert!(!world.app.go_on().await.unwrap());
        assert!(world.app.go_on().await.unwrap());
        assert!(world.history(&answering, id).await.iter().all(is_cleared));
        let mut connection = world.db().read().await.unwrap();
        let running = account_erasures::list_running(&mut connection, 9).await;
        assert_eq!(running.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_one_request_id_is_one_call() {
    on_both_engines(async |world: World| {
        world.temporary(1).await;
        let request_id = Uuid::new_v4().to_string();
        let one = world.erase_command(&[account(1)], &request_id);
        let first = world.app.erase_person(one.clone()).await.unwrap();
        world.advance(60);
        assert_eq!(world.app.erase_person(one).await.unwrap(), first); // SPEC 61
        let other = world.erase_command(&[account(1), account(2)], &request_id);
        assert!(world.app.erase_person(other).await.is_err());
        // What nobody has heard of has nothing to erase, and is erased all the same.
        assert!(world.erase_person(&[77]).await.complete);
    })
    .await;
}
