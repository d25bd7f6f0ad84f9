//! Blocking (SPEC 30).

use domain::id::ChatroomId;
use rapport_proto::{chat::v1::SetBlockedRequest, event::v1::LinkScope};

use crate::{
    app::{Caller, SetBlocked},
    error::ChatError,
    fixtures::{World, new_id, on_both_engines, text},
};

fn command(world: &World, caller: &Caller, chatroom_id: ChatroomId, blocked: bool) -> SetBlocked {
    let request = SetBlockedRequest {
        blocked,
        ..Default::default()
    };
    let id: uuid::Uuid = new_id();
    let key = world
        .app
        .request_key(caller, "SetBlocked", &id.to_string(), &request);
    SetBlocked {
        chatroom_id,
        blocked,
        key: key.unwrap(),
    }
}

pub(super) async fn set(world: &World, caller: &Caller, id: ChatroomId, blocked: bool) {
    let command = command(world, caller, id, blocked);
    let view = world.app.set_blocked(caller, command).await.unwrap();
    assert_eq!(view.blocked, blocked);
}

/// Sends into a chatroom and reads it: either all say that it is blocked, or none.
async fn check(world: &World, caller: &Caller, id: ChatroomId, blocked: bool) {
    let view = world.app.get_chatroom(caller, id).await.unwrap();
    assert_eq!(view.writable, !blocked);
    let sent = world.send(caller, id, new_id(), text("hello")).await;
    if blocked {
        let refused = sent.unwrap_err();
        assert!(
            matches!(refused, ChatError::ChatroomBlocked { chatroom_id } if chatroom_id == id),
            "{refused}"
        );
    } else {
        sent.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_side_has_blocked_the_other_neither_writes() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let message_id = new_id();
        let first = world.send(&visitor, id, message_id, text("hi")).await;
        for (blocking, other) in [(&visitor, &member), (&member, &visitor)] {
            set(&world, blocking, id, true).await;
            check(&world, blocking, id, true).await; // SPEC 30
            check(&world, other, id, true).await;
            let theirs = world.app.get_chatroom(other, id).await.unwrap();
            assert!(!theirs.blocked); // per participant

            let again = world.send(&visitor, id, message_id, text("hi")).await;
            assert_eq!(again.unwrap(), *first.as_ref().unwrap()); // SPEC 29
            let acting = world.service(Some(other.party));
            check(&world, &acting, id, true).await;
            let itself = world.service(None);
            let note = world.send(&itself, id, new_id(), text("note")).await;
            note.unwrap(); // on neither side
            let (view, created) = world.open(&visitor, 1).await.unwrap();
            assert!(!created && !view.writable && view.chatroom.id == id);

            set(&world, blocking, id, false).await;
            check(&world, &visitor, id, false).await;
            check(&world, &member, id, false).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_block_holds_for_the_pair_through_links_of_both_scopes() {
    for scope in [LinkScope::History, LinkScope::Tracking] {
        on_both_engines(async |world: World| {
            let (client, temporary) = (world.client(1).await, world.temporary(2).await);
            let (member, other) = (world.member(1).await, world.member(2).await);
            let (own, linked) = (
                world.room(&client, 1).await,
                world.room(&temporary, 1).await,
            );
            let with_other = world.room(&client, 2).await;
            set(&world, &member, linked, true).await;
            check(&world, &client, own, false).await;

            world.link(1, (1, 2), scope, false).await;
            check(&world, &client, own, true).await; // SPEC 30: outlives the link
            check(&world, &member, own, true).await;
            check(&world, &temporary, linked, true).await;
            check(&world, &client, with_other, false).await; // the pair alone
            check(&world, &other, with_other, false).await;
            let third = world.temporary(3).await;
            world.link(2, (1, 3), scope, false).await;
            let late = world.room(&third, 1).await;
            check(&world, &third, late, true).await; // no other chatroom evades it
            let listed = world.page(&member, 9, "").await.unwrap();
            assert_eq!(listed.0.len(), 3);

            set(&world, &member, late, false).await;
            for (caller, id) in [(&client, own), (&temporary, linked), (&third, late)] {
                check(&world, caller, id, false).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_leaves_the_blocks_that_there_would_be_without_it() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let (own, linked) = (
            world.room(&client, 1).await,
            world.room(&temporary, 1).await,
        );
        world.link(1, (1, 2), LinkScope::History, false).await;
        set(&world, &member, linked, true).await;
        check(&world, &client, own, true).await;
        world.link(1, (1, 2), LinkScope::History, true).await;
        check(&world, &client, own, false).await; // SPEC 16
        check(&world, &temporary, linked, true).await;

        world.link(2, (1, 2), LinkScope::History, false).await;
        set(&world, &member, own, false).await;
        check(&world, &temporary, linked, false).await;
        world.link(2, (1, 2), LinkScope::History, true).await;
        check(&world, &temporary, linked, true).await; // it was taken back through the link alone
        check(&world, &client, own, false).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_of_a_client_does_not_free_who_is_linked_later() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let (own, linked) = (
            world.room(&client, 1).await,
            world.room(&temporary, 1).await,
        );
        set(&world, &member, linked, true).await;
        set(&world, &member, own, true).await;
        set(&world, &member, own, false).await;
        world.advance(1);
        let late = rapport_proto::event::v1::LinkChanged {
            link_time: Some(kit::convert::timestamp(crate::fixtures::at(1))),
            ..crate::fixtures::link_changed(
                crate::fixtures::link(1),
                (crate::fixtures::account(1), crate::fixtures::account(2)),
                LinkScope::History,
                false,
            )
        };
        let late = rapport_proto::event::v1::event::Payload::LinkChanged(late);
        world.learn(late).await;
        check(&world, &client, own, true).await; // SPEC 30: outlives the link
        check(&world, &client, linked, true).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitors_block_is_shared_by_his_side_and_holds_for_the_chatroom() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let (own, linked) = (
            world.room(&client, 1).await,
            world.room(&temporary, 1).await,
        );
        world.link(1, (1, 2), LinkScope::History, false).await;
        set(&world, &client, linked, true).await;
        let theirs = world.app.get_chatroom(&temporary, linked).await.unwrap();
        assert!(theirs.blocked); // SPEC 30: one side
        check(&world, &member, linked, true).await;
        check(&world, &member, own, false).await;
        set(&world, &temporary, linked, false).await;
        check(&world, &member, linked, false).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_changes_nothing_more_and_a_stranger_blocks_nobody() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let first = command(&world, &member, id, true);
        world.app.set_blocked(&member, first.clone()).await.unwrap();
        set(&world, &member, id, false).await;
        let again = world.app.set_blocked(&member, first).await.unwrap();
        assert!(!again.blocked); // SPEC 61
        let stranger = world.member(2).await;
        let theirs = command(&world, &stranger, id, true);
        let refused = world.app.set_blocked(&stranger, theirs).await;
        assert!(matches!(refused, Err(ChatError::ChatroomNotFound { .. }))); // SPEC 21
        check(&world, &visitor, id, false).await;
    })
    .await;
}
