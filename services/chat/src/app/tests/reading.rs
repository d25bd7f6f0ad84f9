//! Read markers (SPEC 30).

use domain::{id::ChatroomId, message::Side};
use kit::error::CallError;
use rapport_proto::{chat::v1::MarkReadRequest, event::v1::LinkScope};
use uuid::Uuid;

use crate::{
    app::{Caller, MarkRead},
    error::ChatError,
    fixtures::{World, on_both_engines},
};

pub(super) fn command(
    world: &World,
    caller: &Caller,
    chatroom_id: ChatroomId,
    sequence: u64,
) -> MarkRead {
    let request = MarkReadRequest::default();
    let id = Uuid::new_v4().to_string();
    let key = world.app.request_key(caller, "MarkRead", &id, &request);
    MarkRead {
        chatroom_id,
        sequence,
        key: key.unwrap(),
    }
}

async fn check(
    world: &World,
    caller: &Caller,
    id: ChatroomId,
    sequence: u64,
    expected: (u64, u64),
) {
    let command = command(world, caller, id, sequence);
    let marker = world.app.mark_read(caller, command.clone()).await.unwrap();
    assert_eq!((marker.sequence, marker.unread_count), expected);
    let view = world.app.get_chatroom(caller, id).await.unwrap();
    assert_eq!(view.chatroom.marker(view.side), marker);
    assert_eq!(world.app.mark_read(caller, command).await.unwrap(), marker); // SPEC 61
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_never_goes_back_and_the_visitors_side_shares_one() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let id = world.room(&temporary, 1).await;
        for caller in [&temporary, &member, &member, &temporary, &member] {
            world.say(caller, id).await;
        }
        check(&world, &temporary, id, 2, (2, 2)).await; // SPEC 30
        check(&world, &temporary, id, 1, (2, 2)).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        check(&world, &client, id, 3, (3, 1)).await; // one side
        check(&world, &temporary, id, 1, (3, 1)).await;
        check(&world, &member, id, 5, (5, 0)).await;
        world.say(&temporary, id).await;
        let view = world.app.get_chatroom(&member, id).await.unwrap();
        assert_eq!(view.chatroom.marker(Side::Member).unread_count, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_written_cannot_be_read() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        for sequence in [0, 2] {
            let refused = world
                .app
                .mark_read(&visitor, command(&world, &visitor, id, sequence))
                .await;
            let Err(ChatError::Call(CallError::FieldInvalid { field, .. })) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(field, "sequence");
        }
        let stranger = world.temporary(2).await;
        let refused = world
            .app
            .mark_read(&stranger, command(&world, &stranger, id, 1))
            .await;
        assert!(matches!(refused, Err(ChatError::ChatroomNotFound { .. })));
    })
    .await;
}
