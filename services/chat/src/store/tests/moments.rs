//! `store::moments`, and the pages of chatrooms that are read as of one.

use domain::id::ChatroomId;

use super::{append, chatroom, chatroom_id, open, rooms};
use crate::{
    fixtures::{World, account, at, member, on_both_engines, start},
    store::{
        chatrooms::{List, Listed, Owner},
        moments::{self, Moment},
    },
};

fn ids(listed: &[Listed]) -> Vec<ChatroomId> {
    listed.iter().map(|listed| listed.place.chatroom).collect()
}

fn all() -> List {
    of(Owner::Accounts((1..=4).map(account).collect()))
}

fn of(owner: Owner) -> List {
    List {
        owner,
        archived: &[false],
    }
}

/// The three kinds of chatrooms at a moment: written, empty, moved since.
async fn pages(world: &World, list: &List, moment: &Moment) -> [Vec<Listed>; 3] {
    let (mut connection, brand_id) = (world.db().read().await.unwrap(), &world.brand_id);
    let c = &mut connection;
    [
        rooms::list_written(c, brand_id, list, moment, None, 9)
            .await
            .unwrap(),
        rooms::list_empty(c, brand_id, list, moment, None, 9)
            .await
            .unwrap(),
        rooms::list_moved(c, brand_id, list, moment).await.unwrap(),
    ]
}

async fn take(world: &World) -> Moment {
    let mut connection = world.db().read().await.unwrap();
    moments::take(&mut connection, start()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_tells_what_was_there_from_what_came_later() {
    on_both_engines(async |world: World| {
        let mut before = Vec::new();
        for number in 1..=3 {
            before.push(open(&world, number).await);
        }
        for index in [0, 1] {
            before[index] = append(&world, &before[index], 20 + index as i64).await.0;
        }
        let moment = take(&world).await;
        let [written, empty, moved] = pages(&world, &all(), &moment).await;
        assert_eq!(ids(&written), [chatroom_id(2), chatroom_id(1)]);
        assert_eq!(ids(&empty), [chatroom_id(3)]);
        assert_eq!(ids(&moved), []);

        // The clock of another replica is behind: only the transactions tell before from after.
        append(&world, &before[0], 3).await;
        append(&world, &before[2], 4).await;
        open(&world, 4).await;
        let [written, empty, moved] = pages(&world, &all(), &moment).await;
        assert_eq!(ids(&written), [chatroom_id(2)]); // SPEC 25
        assert_eq!(ids(&empty), []);
        let mut places: Vec<_> = moved.iter().map(|listed| listed.place).collect();
        places.sort();
        assert_eq!(places, [before[2].recency(), before[0].recency()]);
        let of_member = pages(&world, &of(Owner::Member(member(1))), &moment).await;
        assert_eq!(of_member.map(|page| page.len()), [0, 0, 1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_running_counts_as_later() {
    on_both_engines(async |world: World| {
        let before = open(&world, 1).await;
        let earlier = take(&world).await;
        append(&world, &before, 1).await;
        let moment = take(&world).await;
        // As PostgreSQL's snapshot would say of a send that commits just after the moment.
        let running = Moment {
            running: (earlier.before..moment.before).collect(),
            ..moment.clone()
        };
        let [written, _, moved] = pages(&world, &all(), &running).await;
        assert_eq!((ids(&written), ids(&moved)), (vec![], vec![chatroom_id(1)]));
        assert_eq!(moved[0].place, chatroom(1).recency());
        let [written, _, moved] = pages(&world, &all(), &moment).await;
        assert_eq!((ids(&written), ids(&moved)), (vec![chatroom_id(1)], vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_begins_behind_the_last_one_also_where_times_are_equal() {
    on_both_engines(async |world: World| {
        // Equal times of message and creation: only the ids differ.
        for number in 1..=4 {
            let mut room = chatroom(number);
            room.create_time = at(0);
            super::write(&world, super::Write::Open(room.clone()))
                .await
                .unwrap();
            if number <= 2 {
                append(&world, &room, 5).await;
            }
        }
        let moment = take(&world).await;
        let [written, empty, _] = pages(&world, &all(), &moment).await;
        assert_eq!(ids(&written), [chatroom_id(2), chatroom_id(1)]);
        assert_eq!(ids(&empty), [chatroom_id(4), chatroom_id(3)]);
        let mut connection = world.db().read().await.unwrap();
        let (c, brand_id, list) = (&mut connection, &world.brand_id, all());
        let after = Some(written[0].place);
        let rest = rooms::list_written(c, brand_id, &list, &moment, after, 9)
            .await
            .unwrap();
        assert_eq!(ids(&rest), [chatroom_id(1)]);
        let all_empty = rooms::list_empty(c, brand_id, &list, &moment, after, 9)
            .await
            .unwrap();
        assert_eq!(ids(&all_empty), ids(&empty));
        let after = Some(empty[0].place);
        let rest = rooms::list_empty(c, brand_id, &list, &moment, after, 9)
            .await
            .unwrap();
        assert_eq!(ids(&rest), [chatroom_id(3)]);
        let none = rooms::list_written(c, brand_id, &list, &moment, after, 9)
            .await
            .unwrap();
        assert_eq!(ids(&none), []);
    })
    .await;
}
