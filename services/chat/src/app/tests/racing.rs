//! Many at once (SPEC 23, 29).

use std::collections::BTreeSet;

use domain::id::MessageId;
use futures_util::future::join_all;
use rapport_proto::event::v1::{LinkScope, event::Payload};

use crate::fixtures::{World, new_id, on_both_engines, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_senders_give_gapless_sequences_and_each_message_once() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let ids: Vec<MessageId> = (0..50).map(|_| new_id()).collect();
        // Each message is sent twice, as by a caller who retries too early.
        let calls = ids
            .iter()
            .chain(&ids)
            .enumerate()
            .map(|(number, message_id)| {
                let caller = if (number % ids.len()).is_multiple_of(2) {
                    &visitor
                } else {
                    &answering
                };
                world.send(caller, id, *message_id, text("hello"))
            });
        for result in join_all(calls).await {
            result.unwrap();
        }

        let history = world.history(&visitor, id).await;
        let sequences: Vec<u64> = history
            .iter()
            .map(|message| message.place.sequence)
            .collect();
        assert_eq!(sequences, (1..=50).collect::<Vec<u64>>()); // SPEC 29
        assert!(history.is_sorted_by(|a, b| a.place.message_time < b.place.message_time));
        let stored: BTreeSet<MessageId> = history.iter().map(|message| message.id).collect();
        assert_eq!(stored, ids.iter().copied().collect());

        let mut told = BTreeSet::new();
        for payload in world.events().await {
            if let Payload::MessageSent(sent) = payload {
                let message_id: MessageId = sent.message_id.parse().unwrap();
                assert!(told.insert((message_id, sent.sequence)));
            }
        }
        let expected: BTreeSet<_> = history
            .iter()
            .map(|message| (message.id, i64::try_from(message.place.sequence).unwrap()))
            .collect();
        assert_eq!(told, expected);
        let room = world.app.get_chatroom(&visitor, id).await.unwrap().chatroom;
        assert_eq!(room.last, history.last().map(|message| message.place));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_open_the_same_chatroom_at_once_get_the_same_one() {
    on_both_engines(async |world: World| {
        let client = world.client(1).await;
        // A service acts for an account that is linked to the client: the same person.
        world.temporary(2).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        let linked = world.service(Some(crate::app::Party::Person(crate::fixtures::account(2))));
        world.member(1).await;
        let calls = (0..20).map(|number| {
            let caller = if number % 2 == 0 { &client } else { &linked };
            world.open(caller, 1)
        });
        let opened: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let ids: BTreeSet<_> = opened.iter().map(|(view, _)| view.chatroom.id).collect();
        assert_eq!(ids.len(), 1); // SPEC 23
        assert_eq!(opened.iter().filter(|(_, created)| *created).count(), 1);
        assert_eq!(world.events().await.len(), 1);
    })
    .await;
}
