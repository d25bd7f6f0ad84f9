//! `store::chatrooms`.

use domain::message::Side;
use kit::db::StoreError;

use super::{Write, append, chatroom, chatroom_id, elsewhere, open, rooms, write, write_to};
use crate::{
    fixtures::{World, account, member, on_both_engines},
    model::{Chatroom, ReadMarker},
    store::chatrooms::WithLast,
};

async fn find(world: &World, number: u128) -> Option<WithLast> {
    let mut connection = world.db().read().await.unwrap();
    let id = chatroom_id(number);
    rooms::find(&mut connection, &world.brand_id, id)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_inserted_and_appended_is_found() {
    on_both_engines(async |world: World| {
        assert_eq!(find(&world, 1).await, None);
        let empty = open(&world, 1).await;
        let expected = WithLast {
            chatroom: empty.clone(),
            last_message: None,
        };
        assert_eq!(find(&world, 1).await, Some(expected));
        let (once, _) = append(&world, &empty, 7).await;
        let (twice, last) = append(&world, &once, 8).await;
        let expected = WithLast {
            chatroom: twice,
            last_message: Some(last),
        };
        assert_eq!(find(&world, 1).await, Some(expected));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_holds_its_own_rows_under_the_same_ids() {
    on_both_engines(async |world: World| {
        open(&world, 1).await;
        let mut other = chatroom(1);
        other.account_id = account(5);
        write_to(&world, &elsewhere(), Write::Open(other.clone()))
            .await
            .unwrap();
        let mut connection = world.db().read().await.unwrap();
        let (brand_id, id) = (elsewhere(), chatroom_id(1));
        let found = rooms::find(&mut connection, &brand_id, id).await.unwrap();
        assert_eq!(found.unwrap().chatroom, other); // SPEC 1
        drop(connection);
        assert_eq!(find(&world, 1).await.unwrap().chatroom, chatroom(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_chatroom_with_a_member() {
    on_both_engines(async |world: World| {
        open(&world, 1).await;
        let second = Chatroom {
            id: chatroom_id(2),
            ..chatroom(1)
        };
        write(&world, Write::Open(second)).await.unwrap();
        assert_eq!(find(&world, 2).await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chatrooms_are_listed_by_account_and_by_pair() {
    on_both_engines(async |world: World| {
        for number in [1, 2, 3] {
            open(&world, number).await;
        }
        let (brand_id, accounts) = (&world.brand_id, [account(1), account(3)]);
        let mut connection = world.db().read().await.unwrap();
        let mut listed = rooms::list_by_accounts(&mut connection, brand_id, &accounts)
            .await
            .unwrap();
        listed.sort_by_key(Chatroom::recency);
        assert_eq!(listed, [chatroom(1), chatroom(3)]);
        let paired = rooms::list_by_pair(&mut connection, brand_id, &accounts, member(3)).await;
        assert_eq!(paired.unwrap(), [chatroom(3)]);
        let none = rooms::list_by_accounts(&mut connection, &elsewhere(), &accounts).await;
        assert_eq!(none.unwrap(), []);
        let none = rooms::list_by_accounts(&mut connection, brand_id, &[]).await;
        assert_eq!(none.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_has_a_marker_and_the_schema_bounds_it() {
    on_both_engines(async |world: World| {
        let empty = open(&world, 1).await;
        append(&world, &empty, 1).await;
        for side in [Side::Visitor, Side::Member, Side::Service] {
            let marker = ReadMarker {
                sequence: 1,
                unread_count: 0,
            };
            mark(&world, side, marker).await.unwrap();
            let found = find(&world, 1).await.unwrap().chatroom;
            let expected = if side == Side::Service {
                ReadMarker::default()
            } else {
                marker
            };
            assert_eq!(found.marker(side), expected);
        }
        for (sequence, unread_count) in [(2, 0), (1, 1)] {
            let marker = ReadMarker {
                sequence,
                unread_count,
            };
            let refused = mark(&world, Side::Member, marker).await.unwrap_err();
            assert!(
                matches!(refused, StoreError::Constraint { .. }),
                "{refused}"
            );
        }
    })
    .await;
}

async fn mark(world: &World, side: Side, marker: ReadMarker) -> Result<(), StoreError> {
    let input = (world.brand_id.clone(), side, marker);
    let marked = world
        .db()
        .run_locked_tx("mark", input, |connection, (brand_id, side, marker)| {
            Box::pin(async move {
                let id = chatroom_id(1);
                let locked = rooms::lock(connection, brand_id, id).await?;
                assert_eq!(locked.map(|room| room.id), Some(id));
                assert_eq!(
                    rooms::lock(connection, brand_id, chatroom_id(9)).await?,
                    None
                );
                rooms::update_marker(connection, brand_id, id, *side, *marker).await
            })
        });
    marked.await
}
