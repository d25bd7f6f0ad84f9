//! `store::messages`.

use domain::message::Side;
use kit::db::StoreError;
use uuid::Uuid;

use super::{Write, append, elsewhere, next, nothing, open, write};
use crate::{
    fixtures::{World, at, member, new_id, on_both_engines},
    model::{Author, Body, Chatroom, Message},
    store::messages::{self, Range},
};

/// A chatroom with so many messages, each second one by the Member.
async fn filled(world: &World, count: i64) -> (Chatroom, Vec<Message>) {
    let mut chatroom = open(world, 1).await;
    let mut written = Vec::new();
    for second in 0..count {
        let mut message = next(&chatroom, second);
        if second % 2 == 1 {
            message.author = Author::Member(member(1));
        }
        chatroom = chatroom.after(&message);
        write(world, Write::Append(chatroom.clone(), message.clone()))
            .await
            .unwrap();
        written.push(message);
    }
    (chatroom, written)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reads_back_as_written() {
    on_both_engines(async |world: World| {
        let (chatroom, written) = filled(&world, 2).await;
        let mut erased = next(&chatroom, 9);
        (erased.author, erased.body) = (Author::Service(new_id()), Body::Erased(at(9)));
        let after = chatroom.clone().after(&erased);
        write(&world, Write::Append(after, erased.clone()))
            .await
            .unwrap();

        let mut connection = world.db().read().await.unwrap();
        for message in [&written[0], &written[1], &erased] {
            let (brand_id, id) = (&world.brand_id, message.id);
            let found = messages::find(&mut connection, brand_id, chatroom.id, id)
                .await
                .unwrap();
            assert_eq!(found.as_ref(), Some(message));
            let hidden = messages::find(&mut connection, &elsewhere(), chatroom.id, id).await;
            assert_eq!(hidden.unwrap(), None); // SPEC 1
            let other = Uuid::from_u128(5).into();
            let hidden = messages::find(&mut connection, brand_id, other, id).await;
            assert_eq!(hidden.unwrap(), None);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_from_either_end() {
    on_both_engines(async |world: World| {
        let (chatroom, written) = filled(&world, 5).await;
        let (brand_id, id) = (&world.brand_id, chatroom.id);
        let cases = [
            (Range::NewestBelow(u64::MAX), 3, vec![5, 4, 3]),
            (Range::NewestBelow(3), 3, vec![2, 1]),
            (Range::OldestAbove(0), 2, vec![1, 2]),
            (Range::OldestAbove(4), 9, vec![5]),
            (Range::OldestAbove(5), 9, vec![]),
        ];
        let mut connection = world.db().read().await.unwrap();
        for (range, limit, expected) in cases {
            let listed = messages::list(&mut connection, brand_id, id, range, limit)
                .await
                .unwrap();
            let expected: Vec<&Message> = expected
                .into_iter()
                .map(|sequence: usize| &written[sequence - 1])
                .collect();
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{range:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_are_counted_between_two_sequences() {
    on_both_engines(async |world: World| {
        let (chatroom, _) = filled(&world, 5).await;
        let (brand_id, id) = (&world.brand_id, chatroom.id);
        let mut connection = world.db().read().await.unwrap();
        for (side, after, up_to, expected) in [
            (Side::Visitor, 0, 5, 2),
            (Side::Member, 0, 5, 3),
            (Side::Member, 1, 4, 1),
            (Side::Visitor, 4, 5, 0),
            (Side::Service, 0, 5, 5),
        ] {
            let connection = &mut connection;
            let count =
                messages::count_of_others(connection, brand_id, id, side, after, up_to).await;
            assert_eq!(count.unwrap(), expected, "{side} {after} {up_to}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_refuses_what_must_not_be() {
    on_both_engines(async |world: World| {
        let (chatroom, written) = filled(&world, 1).await;
        let good = next(&chatroom, 1);
        let same_sequence = Message {
            place: written[0].place,
            ..good.clone()
        };
        let same_id = Message {
            id: written[0].id,
            ..good.clone()
        };
        let no_chatroom = Message {
            chatroom_id: new_id(),
            ..good.clone()
        };
        for refused in [same_sequence, same_id, no_chatroom] {
            let after = chatroom.clone().after(&good);
            let refused = write(&world, Write::Append(after, refused))
                .await
                .unwrap_err();
            assert!(
                matches!(refused, StoreError::Constraint { .. }),
                "{refused}"
            ); // SPEC 29
        }
        let empty = Message {
            body: nothing(),
            ..good
        };
        write(&world, Write::Append(chatroom.after(&empty), empty))
            .await
            .unwrap();
        let room = open(&world, 2).await;
        append(&world, &room, 1).await;
    })
    .await;
}
