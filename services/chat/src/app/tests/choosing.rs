//! Which chatroom opens (SPEC 23, 24).

use domain::id::ChatroomId;
use rapport_proto::event::v1::{LinkScope, MemberState, event::Payload};

use crate::{
    app::{Caller, Party},
    error::ChatError,
    fixtures::{World, account, brand, member, new_id, on_both_engines},
};

async fn resumed(world: &World, caller: &Caller, temporary: u128) -> Option<ChatroomId> {
    let temporary = Some(account(temporary));
    match world.app.resume_chatroom(caller, temporary).await {
        Ok(view) => Some(view.chatroom.id),
        Err(ChatError::NothingToResume) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chatroom_is_made_once_and_told_of_once() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let (first, created) = world.open(&visitor, 1).await.unwrap();
        assert!(created); // SPEC 23
        let (again, created) = world.open(&visitor, 1).await.unwrap();
        assert!(!created);
        assert_eq!(again.chatroom, first.chatroom);
        let events = world.events().await;
        let [Payload::ChatroomOpened(opened)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(opened.chatroom_id, first.chatroom.id.to_string());
        assert_eq!(opened.account_id, account(1).to_string());
        assert_eq!(
            (opened.member_id.as_str(), opened.revision),
            (&*member(1).to_string(), 1)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_has_the_first_answer() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let command = world.open_command(&visitor, 1);
        let (first, created) = world
            .app
            .open_direct(&visitor, command.clone())
            .await
            .unwrap();
        let (again, repeated) = world.app.open_direct(&visitor, command).await.unwrap();
        assert_eq!((again.chatroom.id, repeated), (first.chatroom.id, created)); // SPEC 61
        assert!(repeated);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chatroom_with_the_most_recent_message_opens() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        world.member(1).await;
        let own = world.room(&client, 1).await;
        world.advance(1);
        let linked = world.room(&temporary, 1).await;
        world.link(1, (1, 2), LinkScope::History, false).await;

        assert_eq!(world.room(&client, 1).await, linked); // SPEC 23: the later created
        world.say(&client, own).await;
        assert_eq!(world.room(&client, 1).await, own); // a message comes before none
        world.say(&temporary, linked).await;
        assert_eq!(world.room(&client, 1).await, linked); // the most recent message

        world.link(1, (1, 2), LinkScope::History, true).await;
        assert_eq!(world.room(&client, 1).await, own); // SPEC 16
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_times_go_to_the_later_created_then_to_the_greater_id() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        world.member(1).await;
        // The clock stands still, so only the ids differ.
        let own = world.room(&client, 1).await;
        let linked = world.room(&temporary, 1).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        assert_eq!(world.room(&client, 1).await, own.max(linked)); // SPEC 23
        for (caller, id) in [(&client, own), (&temporary, linked)] {
            let sent = world
                .send(caller, id, new_id(), crate::fixtures::text("hello"))
                .await;
            sent.unwrap();
        }
        assert_eq!(world.room(&client, 1).await, own.max(linked));
        assert_eq!(world.list(&client).await[0], own.max(linked)); // SPEC 25
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_where_he_was_before_he_signed_in() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        for number in [1, 2] {
            world.member(number).await;
        }
        assert_eq!(resumed(&world, &client, 2).await, None); // SPEC 24: NOT_FOUND
        let first = world.room(&temporary, 1).await;
        let second = world.room(&temporary, 2).await;
        world.say(&temporary, second).await;
        world.say(&temporary, first).await;
        let own = world.room(&client, 1).await;
        world.say(&client, own).await;

        assert_eq!(resumed(&world, &client, 2).await, Some(own)); // SPEC 24: invisible
        world.link(1, (1, 2), LinkScope::Tracking, false).await;
        assert_eq!(resumed(&world, &client, 2).await, Some(own));
        world.link(2, (1, 3), LinkScope::History, false).await;
        assert_eq!(resumed(&world, &client, 3).await, Some(own)); // has none
    })
    .await;
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        for number in [1, 2] {
            world.member(number).await;
        }
        let first = world.room(&temporary, 1).await;
        let second = world.room(&temporary, 2).await;
        world.say(&temporary, second).await;
        world.say(&temporary, first).await;
        let own = world.room(&client, 1).await;
        world.say(&client, own).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        assert_eq!(resumed(&world, &client, 2).await, Some(first)); // SPEC 24
        let without = world.app.resume_chatroom(&client, None).await.unwrap();
        assert_eq!(without.chatroom.id, own); // case 0: there was no temporary account
        assert_eq!(world.room(&client, 1).await, own); // then SPEC 23 governs
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unknown_erased_or_gone_opens_nothing() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let opened = world.open(&visitor, 1).await;
        assert!(matches!(opened, Err(ChatError::MemberNotFound { .. })));
        world
            .learn_member(&brand("other-shop"), 1, MemberState::Active)
            .await;
        let opened = world.open(&visitor, 1).await;
        assert!(matches!(opened, Err(ChatError::MemberNotFound { .. }))); // SPEC 1

        world.member(1).await;
        world.room(&visitor, 1).await;
        world
            .learn_member(&world.brand_id, 1, MemberState::Deactivated)
            .await;
        world.room(&visitor, 1).await;
        let other = world.temporary(2).await;
        let opened = world.open(&other, 1).await;
        assert!(matches!(opened, Err(ChatError::MemberDeactivated { .. })));

        world.member(2).await;
        world.erase(2).await;
        let opened = world.open(&other, 2).await;
        assert!(matches!(opened, Err(ChatError::AccountErased { .. })));
        let unknown = world.service(Some(Party::Person(account(99))));
        let opened = world.open(&unknown, 2).await;
        assert!(matches!(opened, Err(ChatError::AccountNotFound { .. })));
        assert_eq!(world.events().await.len(), 1);
    })
    .await;
}
