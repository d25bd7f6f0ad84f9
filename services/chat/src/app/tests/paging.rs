//! Paging while others write (SPEC 25).

use std::sync::atomic::{AtomicBool, Ordering};

use domain::id::ChatroomId;
use futures_util::future::{join, join_all};
use kit::error::CallError;

use crate::{
    app::{Caller, ListMessages, MessageOrder},
    error::ChatError,
    fixtures::{World, new_id, on_both_engines, text},
};

/// A Member with so many chatrooms, the visitors of which have each written but for the last.
async fn rooms(world: &World, count: u128) -> (Caller, Vec<Caller>, Vec<ChatroomId>) {
    let member = world.member(1).await;
    let mut visitors = Vec::new();
    let mut rooms = Vec::new();
    for number in 0..count {
        let visitor = world.temporary(number).await;
        let room = world.room(&visitor, 1).await;
        if number + 1 < count {
            world.say(&visitor, room).await;
        }
        visitors.push(visitor);
        rooms.push(room);
    }
    (member, visitors, rooms)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_ordered_by_the_last_message_and_the_empty_come_last() {
    on_both_engines(async |world: World| {
        let (member, visitors, rooms) = rooms(&world, 4).await;
        let [a, b, c, empty] = rooms[..] else {
            panic!()
        };
        assert_eq!(world.list(&member).await, [c, b, a, empty]); // SPEC 25
        world.say(&visitors[0], a).await;
        assert_eq!(world.list(&member).await, [a, c, b, empty]);
        world.room(&visitors[1], 1).await;
        assert_eq!(world.list(&member).await, [a, c, b, empty]); // only messages move it
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_while_paging_keeps_its_place() {
    on_both_engines(async |world: World| {
        let (member, visitors, rooms) = rooms(&world, 6).await;
        let mut expected: Vec<ChatroomId> = rooms[..5].iter().rev().copied().collect();
        expected.push(rooms[5]);
        for size in 1..=7 {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = world.page(&member, size, &token).await.unwrap();
                assert!(page.len() <= usize::try_from(size).unwrap());
                seen.extend(page);
                // One already shown moves, and the next to be shown, and the one without messages.
                for place in [0, seen.len()] {
                    if let Some(id) = expected.get(place).filter(|_| !next.is_empty()) {
                        let number = rooms.iter().position(|room| room == id).unwrap();
                        world.say(&visitors[number], *id).await;
                    }
                }
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            assert_eq!(seen, expected, "in pages of {size}"); // SPEC 25
            expected = world.list(&member).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_opened_while_paging_is_not_shown() {
    on_both_engines(async |world: World| {
        let (member, _, rooms) = rooms(&world, 3).await;
        let (first, token) = world.page(&member, 1, "").await.unwrap();
        let late = world.temporary(9).await;
        let room = world.room(&late, 1).await;
        world.say(&late, room).await;
        let (rest, token) = world.page(&member, 5, &token).await.unwrap();
        assert_eq!([first, rest].concat(), [rooms[1], rooms[0], rooms[2]]);
        assert_eq!(token, "");
        assert_eq!(world.list(&member).await[0], room);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paging_under_writers_skips_and_repeats_nothing() {
    on_both_engines(async |world: World| {
        let (member, visitors, rooms) = rooms(&world, 12).await;
        let done = AtomicBool::new(false);
        let write = async {
            let writers = visitors.iter().zip(&rooms).map(async |(visitor, room)| {
                while !done.load(Ordering::Relaxed) {
                    // The clock stands still now and then, and goes on.
                    world.clock.advance(chrono::TimeDelta::microseconds(3));
                    world
                        .send(visitor, *room, new_id(), text("hello"))
                        .await
                        .unwrap();
                }
            });
            join_all(writers).await;
        };
        let read = async {
            for round in 0..20 {
                let (mut seen, mut token) = (Vec::new(), String::new());
                loop {
                    let (page, next) = world.page(&member, 1 + round % 4, &token).await.unwrap();
                    seen.extend(page);
                    if next.is_empty() {
                        break;
                    }
                    token = next;
                }
                seen.sort();
                let mut expected = rooms.clone();
                expected.sort();
                assert_eq!(seen, expected, "round {round}"); // SPEC 25
            }
            done.store(true, Ordering::Relaxed);
        };
        join(write, read).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_list_alone() {
    on_both_engines(async |world: World| {
        let (member, visitors, rooms) = rooms(&world, 3).await;
        let (_, token) = world.page(&member, 1, "").await.unwrap();
        let query = ListMessages {
            chatroom_id: rooms[0],
            order: MessageOrder::NewestFirst,
            page_size: 1,
            page_token: token.clone(),
        };
        let refusals = [
            world.page(&visitors[0], 1, &token).await.map(|_| ()),
            world.page(&member, 1, "nonsense").await.map(|_| ()),
            world.app.list_messages(&member, query).await.map(|_| ()),
        ];
        for refused in refusals {
            assert!(matches!(
                refused,
                Err(ChatError::Call(CallError::PageTokenInvalid))
            ));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_paged_in_both_orders_while_more_are_written() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        for _ in 0..5 {
            world.say(&visitor, id).await;
        }
        let orders = [
            (MessageOrder::NewestFirst, vec![5, 4, 3, 2, 1]),
            (MessageOrder::OldestFirst, vec![1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ];
        for (order, expected) in orders {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let query = ListMessages {
                    chatroom_id: id,
                    order,
                    page_size: 2,
                    page_token: token,
                };
                let (page, next) = world.app.list_messages(&visitor, query).await.unwrap();
                seen.extend(page.iter().map(|message| message.place.sequence));
                token = next;
                if token.is_empty() {
                    break;
                }
                if world.history(&visitor, id).await.len() < 9 {
                    world.say(&visitor, id).await;
                }
            }
            assert_eq!(seen, expected, "{order:?}");
        }
    })
    .await;
}
