//! Going on from a position.

use std::time::Duration;

use domain::id::MessageId;
use futures_util::future::join_all;
use kit::{error::CallError, testing::wait_until};

use super::{Client, all, follow};
use crate::{
    app::{Caller, Live, Party, Update},
    error::ChatError,
    fixtures::{World, account, at, new_id, on_both_engines, text},
    store::chatroom_changes::{self, Change},
};

/// Writes so many messages at once.
async fn write(world: &World, caller: &Caller, id: domain::id::ChatroomId, count: usize) {
    let ids: Vec<MessageId> = (0..count).map(|_| new_id()).collect();
    for some in ids.chunks(200) {
        let calls = some
            .iter()
            .map(|message_id| world.send(caller, id, *message_id, text("hello")));
        for sent in join_all(calls).await {
            sent.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_resumes_after_each_update_has_lost_nothing() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let mut client = Client::live(&world, &answering).await;
        let (mut position, shown) = (client.position.clone(), client.shown.clone());
        let mut messages = std::mem::take(&mut client.messages);
        drop(client);
        write(&world, &visitor, id, 20).await;
        while messages.get(&id).is_none_or(|told| told.len() < 20) {
            let mut client = Client::resume(&world, &answering, &position).await;
            client.next().await.unwrap();
            assert_eq!(client.snapshots, 0); // SPEC 33
            for (id, told) in client.messages {
                messages.entry(id).or_default().extend(told);
            }
            position = client.position;
        }
        assert_eq!(messages[&id], all(20));
        assert_eq!(shown[&id], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_too_slowly_is_cut_off_and_resumes_without_loss() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let mut slow = Client::live(&world, &answering).await;
        let mut quick = Client::live(&world, &visitor).await;
        for count in [600, 600] {
            write(&world, &visitor, id, count).await;
            let last = quick.knows(id).last().copied().unwrap_or_default() + count as u64;
            // What one is told the other has been told, too, in one of the batches before.
            quick.until_message(id, last).await;
        }
        let cut_off = loop {
            if let Err(error) = slow.next().await {
                break error;
            }
        };
        assert!(matches!(cut_off, ChatError::WatcherTooSlow));
        assert!(slow.watch.next().await.is_none());
        let mut resumed = Client::resume(&world, &answering, &slow.position).await;
        resumed.shown = slow.shown;
        resumed.messages = slow.messages;
        resumed.until_nothing().await;
        assert_eq!(resumed.knows(id), all(1200)); // SPEC 33
        assert_eq!(resumed.snapshots, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_window_begins_a_snapshot_and_a_restart_keeps_the_window() {
    on_both_engines(async |mut world: World| {
        let feed = follow(&world);
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let mut client = Client::live(&world, &visitor).await;
        let old = client.position.clone();
        world.say(&visitor, id).await;
        client.until_message(id, 1).await;
        let recent = client.position.clone();
        for _ in 0..4 {
            world.say(&visitor, id).await;
        }
        client.until_message(id, 5).await;
        drop(feed);

        // The next start remembers five rows, those behind the first message among them.
        world.app.live = Live::open(world.db(), 5).await.unwrap();
        let _feed = follow(&world);
        let mut resumed = Client::resume(&world, &visitor, &recent).await;
        resumed.until_nothing().await;
        assert_eq!((resumed.snapshots, resumed.messages[&id].len()), (0, 4));
        let mut resumed = Client::resume(&world, &visitor, &old).await;
        resumed.until_nothing().await;
        assert_eq!((resumed.snapshots, resumed.knows(id)), (1, all(5)));
        // More rows push the oldest out.
        world.say(&visitor, id).await;
        client = Client::live(&world, &visitor).await;
        client.until(|_| true).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_database_begins_a_snapshot_and_a_foreign_one_is_refused() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let visitor = world.temporary(1).await;
        world.member(1).await;
        world.room(&visitor, 1).await;
        let client = Client::live(&world, &visitor).await;
        let (_, place) = client.position.split_once(':').unwrap();
        let of_another = format!("another:{place}");
        let mut restored = Client::resume(&world, &visitor, &of_another).await;
        restored.until_nothing().await;
        assert_eq!((restored.snapshots, restored.shown.len()), (1, 1));

        let stranger = world.temporary(2).await;
        for (caller, position) in [(&stranger, client.position.as_str()), (&visitor, "x")] {
            let refused = world.app.watch_chatrooms(caller.clone(), position).await;
            let invalid = matches!(
                refused,
                Err(ChatError::Call(CallError::ResumePositionInvalid))
            );
            assert!(invalid, "{position}");
        }
        // An upgrade keeps the account, and the position.
        let upgraded = world.visitor(Party::Person(account(1)), 0);
        let mut resumed = Client::resume(&world, &upgraded, &client.position).await;
        resumed.until_nothing().await;
        assert_eq!(resumed.snapshots, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pieces_and_is_resumed_behind_the_last_alone() {
    on_both_engines(async |world: World| {
        let _feed = follow(&world);
        let answering = world.member(1).await;
        for number in 1..=201 {
            let visitor = world.temporary(number).await;
            world.room(&visitor, 1).await;
        }
        let mut client = Client::begin(&world, &answering).await;
        let piece = client.next().await.unwrap();
        assert!(matches!(piece, Update::Snapshot(views, false) if views.len() == 200));
        assert_eq!(client.position, "");
        let piece = client.next().await.unwrap();
        assert!(matches!(piece, Update::Snapshot(views, true) if views.len() == 1));
        assert_ne!(client.position, "");
        assert_eq!(client.shown.len(), 201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_changes_are_deleted_in_small_steps_and_only_before_a_place() {
    on_both_engines(async |world: World| {
        let changes: Vec<Change> = (1..=5)
            .map(|number| Change::of_person(&world.brand_id, account(number), at(0)))
            .collect();
        let appended = world.db().run_tx("append", changes, |connection, changes| {
            Box::pin(chatroom_changes::append(connection, changes))
        });
        appended.await.unwrap();
        let rows = async || {
            let mut connection = world.db().read().await.unwrap();
            chatroom_changes::list_last(&mut connection, 9)
                .await
                .unwrap()
        };
        // Transactions of other databases of the server may still run that began earlier.
        wait_until(Duration::from_secs(30), async || rows().await.len() == 5).await;
        let rows = rows().await;
        let input = rows[3].key;
        let mut deleted = Vec::new();
        for _ in 0..3 {
            let step = world
                .db()
                .run_locked_tx("delete", input, |connection, key| {
                    Box::pin(chatroom_changes::delete_before(connection, *key, 2))
                });
            deleted.push(step.await.unwrap());
        }
        assert_eq!(deleted, [2, 1, 0]);
        let mut connection = world.db().read().await.unwrap();
        let left = chatroom_changes::list_last(&mut connection, 9)
            .await
            .unwrap();
        assert_eq!(left, rows[3..]);
    })
    .await;
}
