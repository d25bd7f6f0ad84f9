//! The timeline of a person (SPEC 21, 25, 58).

use domain::id::{AccountId, MessageId};
use kit::error::CallError;
use rapport_proto::event::v1::LinkScope;

use crate::{
    app::{Caller, ListPersonMessages},
    error::ChatError,
    fixtures::{World, account, new_id, on_both_engines, text},
    model::Message,
};

async fn page(
    world: &World,
    caller: &Caller,
    account_id: Option<AccountId>,
    (page_size, page_token): (i32, &str),
) -> Result<(Vec<Message>, String), ChatError> {
    let query = ListPersonMessages {
        account_id,
        page_size,
        page_token: page_token.to_owned(),
    };
    world.app.list_person_messages(caller, query).await
}

async fn all(world: &World, caller: &Caller, account_id: Option<AccountId>) -> Vec<MessageId> {
    let (messages, token) = page(world, caller, account_id, (200, "")).await.unwrap();
    assert_eq!(token, "");
    messages.iter().map(|message| message.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_the_chatrooms_that_he_sees_anyway() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let (member, other) = (world.member(1).await, world.member(2).await);
        let (own, linked, with_other) = (
            world.room(&client, 1).await,
            world.room(&temporary, 1).await,
            world.room(&client, 2).await,
        );
        let first = world.say(&client, own).await.id;
        let second = world.say(&member, linked).await.id;
        let third = world.say(&other, with_other).await.id;
        let fourth = world.say(&temporary, linked).await.id;
        assert_eq!(all(&world, &client, None).await, [third, first]);
        let known = all(&world, &member, Some(account(1))).await;
        assert_eq!(known, [first]); // SPEC 58: not the one with another Member

        world.link(1, (1, 2), LinkScope::Tracking, false).await;
        assert_eq!(all(&world, &client, None).await, [third, first]); // SPEC 6
        assert_eq!(all(&world, &member, Some(account(1))).await, [first]);
        world.link(1, (1, 2), LinkScope::Tracking, true).await;
        world.link(2, (1, 2), LinkScope::History, false).await;
        let whole = [fourth, third, second, first];
        assert_eq!(all(&world, &client, Some(account(1))).await, whole); // SPEC 21
        assert_eq!(all(&world, &temporary, None).await, [fourth, second]);
        for id in [1, 2] {
            let common = all(&world, &member, Some(account(id))).await;
            assert_eq!(common, [fourth, second, first]); // SPEC 26: one person
            assert_eq!(all(&world, &other, Some(account(id))).await, [third]);
        }
        let acting = world.service(Some(other.party));
        assert_eq!(all(&world, &acting, Some(account(1))).await, [third]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_one_does_not_know_does_not_exist() {
    on_both_engines(async |world: World| {
        let (visitor, stranger) = (world.temporary(1).await, world.temporary(2).await);
        let (member, other) = (world.member(1).await, world.member(2).await);
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        for (caller, named) in [
            (&stranger, account(1)),
            (&other, account(1)),
            (&member, account(2)),
            (&member, account(9)),
        ] {
            let refused = page(&world, caller, Some(named), (9, "")).await;
            assert!(matches!(refused, Err(ChatError::AccountNotFound { account_id }) if account_id == named));
        }
        assert_eq!(all(&world, &stranger, None).await, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_skip_nor_repeat_whatever_is_written_meanwhile() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let mut rooms = Vec::new();
        for number in 1..=4 {
            world.member(number).await;
            rooms.push(world.room(&visitor, number).await);
        }
        // At equal times, and not.
        for round in 0..6 {
            for (number, room) in rooms[..3].iter().enumerate() {
                if round % (number + 1) == 0 {
                    let sent = world.send(&visitor, *room, new_id(), text("hello")).await;
                    sent.unwrap();
                }
            }
            world.advance(1);
        }
        for size in [1, 2, 5, 12] {
            let expected = all(&world, &visitor, None).await;
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (messages, next) = page(&world, &visitor, None, (size, &token)).await.unwrap();
                let in_order = |pair: &[Message]| {
                    let [left, right] = pair else { panic!() };
                    left.place.message_time > right.place.message_time
                        || (left.place.message_time == right.place.message_time
                            && left.chatroom_id < right.chatroom_id)
                };
                assert!(messages.windows(2).all(in_order));
                seen.extend(messages.iter().map(|message| message.id));
                if next.is_empty() {
                    break;
                }
                if seen.len() < 12 {
                    for room in &rooms {
                        world.say(&visitor, *room).await;
                    }
                }
                token = next;
            }
            assert_eq!(seen, expected, "in pages of {size}"); // SPEC 25
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_reader_and_person() {
    on_both_engines(async |world: World| {
        let (one, two) = (world.temporary(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        for visitor in [&one, &two] {
            let id = world.room(visitor, 1).await;
            world.say(visitor, id).await;
            world.say(visitor, id).await;
        }
        let (_, token) = page(&world, &member, Some(account(1)), (1, ""))
            .await
            .unwrap();
        for (caller, named) in [(&member, Some(account(2))), (&one, None)] {
            let refused = page(&world, caller, named, (1, &token)).await;
            assert!(matches!(
                refused,
                Err(ChatError::Call(CallError::PageTokenInvalid))
            ));
        }
        let (rest, end) = page(&world, &member, Some(account(1)), (1, &token))
            .await
            .unwrap();
        assert_eq!((rest.len(), end.as_str()), (1, ""));
    })
    .await;
}
