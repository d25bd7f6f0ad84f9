//! Who sees what (SPEC 1, 20 to 22, 26).

use rapport_proto::event::v1::{AccountKind, LinkScope, event::Payload};

use crate::{
    app::{Caller, Party},
    error::ChatError,
    fixtures::{World, account, account_changed, brand, on_both_engines},
    model::Author,
};

/// A client with a chatroom of his own, a temporary account with another, both with one Member.
struct Two {
    client: Caller,
    temporary: Caller,
    member: Caller,
    own: domain::id::ChatroomId,
    linked: domain::id::ChatroomId,
}

impl Two {
    async fn new(world: &World) -> Self {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let own = world.room(&client, 1).await;
        world.say(&client, own).await;
        let linked = world.room(&temporary, 1).await;
        world.say(&temporary, linked).await;
        Self {
            client,
            temporary,
            member,
            own,
            linked,
        }
    }
}

async fn check(world: &World, caller: &Caller, expected: &[domain::id::ChatroomId]) {
    assert_eq!(world.list(caller).await, expected);
    for id in expected {
        let view = world.app.get_chatroom(caller, *id).await.unwrap();
        assert_eq!(view.chatroom.id, *id);
    }
}

async fn check_hidden(world: &World, caller: &Caller, id: domain::id::ChatroomId) {
    let refused = world.app.get_chatroom(caller, id).await.unwrap_err();
    assert!(matches!(refused, ChatError::ChatroomNotFound { chatroom_id } if chatroom_id == id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_history_shows_both_chatrooms_until_it_is_revoked() {
    on_both_engines(async |world: World| {
        let two = Two::new(&world).await;
        check(&world, &two.client, &[two.own]).await; // SPEC 21
        check_hidden(&world, &two.client, two.linked).await;

        world.link(1, (1, 2), LinkScope::History, false).await;
        check(&world, &two.client, &[two.linked, two.own]).await; // SPEC 22
        check(&world, &two.member, &[two.linked, two.own]).await;
        check(&world, &two.temporary, &[two.linked]).await;
        check_hidden(&world, &two.temporary, two.own).await; // SPEC 21: a temporary its own

        let view = world
            .app
            .get_chatroom(&two.member, two.linked)
            .await
            .unwrap();
        assert_eq!(view.person_id, account(1)); // SPEC 26: shown as one person
        assert_eq!(view.chatroom.account_id, account(2)); // never rewritten

        world.link(1, (1, 2), LinkScope::History, true).await;
        check(&world, &two.client, &[two.own]).await; // SPEC 16
        check_hidden(&world, &two.client, two.linked).await;
        check(&world, &two.member, &[two.linked, two.own]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_for_tracking_shows_nothing_more() {
    on_both_engines(async |world: World| {
        let two = Two::new(&world).await;
        world.link(1, (1, 2), LinkScope::Tracking, false).await;
        check(&world, &two.client, &[two.own]).await; // SPEC 6, 21
        check_hidden(&world, &two.client, two.linked).await;
        let view = world
            .app
            .get_chatroom(&two.member, two.linked)
            .await
            .unwrap();
        assert_eq!(view.person_id, account(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_writes_in_both_chatrooms_under_his_own_name() {
    on_both_engines(async |world: World| {
        let two = Two::new(&world).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        let message = world.say(&two.client, two.linked).await;
        assert_eq!(message.author, Author::Account(account(1))); // SPEC 26
        world.say(&two.client, two.own).await;
        let history = world.history(&two.client, two.linked).await;
        let authors: Vec<Author> = history.iter().map(|message| message.author).collect();
        let expected = [account(2), account(1)].map(Author::Account);
        assert_eq!(authors, expected); // SPEC 22: nothing is touched
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_see_nothing() {
    on_both_engines(async |world: World| {
        let two = Two::new(&world).await;
        let (stranger, other) = (world.client(7).await, world.member(7).await);
        for caller in [stranger, other] {
            check(&world, &caller, &[]).await;
            check_hidden(&world, &caller, two.own).await; // SPEC 21
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_brand_sees_nothing_even_of_equal_ids() {
    on_both_engines(async |world: World| {
        let two = Two::new(&world).await;
        let elsewhere = brand("other-shop");
        let state = account_changed(account(1), AccountKind::Client, 0);
        world
            .learn_of(&elsewhere, Payload::AccountChanged(state))
            .await;
        for caller in [two.client, two.member] {
            let caller = Caller {
                brand_id: elsewhere.clone(),
                ..caller
            };
            check(&world, &caller, &[]).await;
            check_hidden(&world, &caller, two.own).await; // SPEC 1
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_sees_what_its_participant_sees() {
    on_both_engines(async |world: World| {
        let two = Two::new(&world).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        // SPEC 19: any id that the person ever had.
        for id in [1, 2] {
            let acting = world.service(Some(Party::Person(account(id))));
            check(&world, &acting, &[two.linked, two.own]).await;
        }
        let acting = world.service(Some(two.member.party));
        check(&world, &acting, &[two.linked, two.own]).await;
    })
    .await;
}
