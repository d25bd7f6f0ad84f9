//! Archiving (SPEC 30).

use domain::id::ChatroomId;
use rapport_proto::{chat::v1::SetArchivedRequest, event::v1::LinkScope};

use crate::{
    app::{ArchivedFilter, Caller, SetArchived},
    error::ChatError,
    fixtures::{World, new_id, on_both_engines},
};

fn command(world: &World, caller: &Caller, chatroom_id: ChatroomId, archived: bool) -> SetArchived {
    let request = SetArchivedRequest {
        archived,
        ..Default::default()
    };
    let id: uuid::Uuid = new_id();
    let key = world
        .app
        .request_key(caller, "SetArchived", &id.to_string(), &request);
    SetArchived {
        chatroom_id,
        archived,
        key: key.unwrap(),
    }
}

async fn set(world: &World, caller: &Caller, id: ChatroomId, archived: bool) {
    let command = command(world, caller, id, archived);
    let view = world.app.set_archived(caller, command).await.unwrap();
    assert_eq!(view.chatroom.is_archived_by(view.side), archived);
}

async fn is_archived(world: &World, caller: &Caller, id: ChatroomId) -> bool {
    let view = world.app.get_chatroom(caller, id).await.unwrap();
    let told = rapport_proto::chat::v1::Chatroom::from(view.clone());
    assert_eq!(told.archived, view.chatroom.is_archived_by(view.side));
    told.archived
}

async fn shown(world: &World, caller: &Caller, filter: ArchivedFilter) -> Vec<ChatroomId> {
    world.page_of(caller, filter, 200, "").await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_archives_for_itself_and_the_visitors_side_shares_one() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let id = world.room(&temporary, 1).await;
        world.say(&temporary, id).await;
        world.link(1, (1, 2), LinkScope::History, false).await;

        set(&world, &client, id, true).await;
        assert!(is_archived(&world, &temporary, id).await); // SPEC 30: one side
        assert!(!is_archived(&world, &member, id).await);
        let (all, archived) = (ArchivedFilter::All, ArchivedFilter::Archived);
        let rest = ArchivedFilter::NotArchived;
        for (caller, filter, expected) in [
            (&client, all, vec![id]),
            (&client, archived, vec![id]),
            (&client, rest, vec![]),
            (&member, archived, vec![]),
            (&member, rest, vec![id]),
        ] {
            assert_eq!(shown(&world, caller, filter).await, expected, "{filter:?}");
        }
        set(&world, &member, id, true).await;
        world.say(&temporary, id).await;
        assert_eq!(shown(&world, &member, archived).await, [id]); // a message brings nothing back
        set(&world, &temporary, id, false).await;
        assert!(!is_archived(&world, &client, id).await);
        assert!(is_archived(&world, &member, id).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_changes_nothing_more() {
    on_both_engines(async |world: World| {
        let (visitor, stranger) = (world.temporary(1).await, world.temporary(2).await);
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let first = command(&world, &visitor, id, true);
        world
            .app
            .set_archived(&visitor, first.clone())
            .await
            .unwrap();
        set(&world, &visitor, id, false).await;
        let again = world.app.set_archived(&visitor, first).await.unwrap();
        assert!(!again.chatroom.visitor_archived); // SPEC 61

        let theirs = command(&world, &stranger, id, true);
        let refused = world.app.set_archived(&stranger, theirs).await;
        assert!(matches!(refused, Err(ChatError::ChatroomNotFound { .. }))); // SPEC 21
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_list_is_paged_while_chatrooms_are_archived_and_move() {
    on_both_engines(async |world: World| {
        let member = world.member(1).await;
        let (mut visitors, mut rooms) = (Vec::new(), Vec::new());
        for number in 0..8 {
            let visitor = world.temporary(number).await;
            let room = world.room(&visitor, 1).await;
            world.say(&visitor, room).await;
            visitors.push(visitor);
            rooms.push(room);
        }
        set(&world, &member, rooms[3], true).await;
        let (first, token) = world
            .page_of(&member, ArchivedFilter::NotArchived, 2, "")
            .await
            .unwrap();
        assert_eq!(first, [rooms[7], rooms[6]]);
        // One that was shown, one that was not; one that was archived comes back where it stood.
        for (room, archived) in [(7, true), (5, true), (3, false)] {
            set(&world, &member, rooms[room], archived).await;
        }
        world.say(&visitors[2], rooms[2]).await;
        let (rest, end) = world
            .page_of(&member, ArchivedFilter::NotArchived, 9, &token)
            .await
            .unwrap();
        let expected = [4, 3, 2, 1, 0].map(|room| rooms[room]);
        assert_eq!((rest.as_slice(), end.as_str()), (&expected[..], "")); // SPEC 25
        let other = world
            .page_of(&member, ArchivedFilter::Archived, 9, &token)
            .await;
        assert!(other.is_err()); // another list
        let archived = shown(&world, &member, ArchivedFilter::Archived).await;
        assert_eq!(archived, [rooms[7], rooms[5]]);
    })
    .await;
}
