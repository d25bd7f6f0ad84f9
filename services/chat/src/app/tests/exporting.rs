//! What is told of a person (SPEC 56).

use std::collections::BTreeSet;

use domain::id::{AccountId, ChatroomId, ImageId};
use futures_util::{StreamExt, TryStreamExt};
use kit::parts;
use rapport_proto::event::v1::LinkScope;

use crate::{
    app::Exported,
    error::DOMAIN,
    fixtures::{World, account, brand, on_both_engines, pictures},
    model::{Body, Image},
};

/// What was told, in short: a chatroom, or a message by its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Chatroom(ChatroomId, AccountId),
    Message(u64),
    Image(ImageId),
    Piece(usize),
}

fn in_short(one: &Exported) -> Told {
    match one {
        Exported::Chatroom(view) => {
            assert_eq!(view.last_message, None); // it is told once, as a message
            Told::Chatroom(view.chatroom.id, view.chatroom.account_id)
        }
        Exported::Message(message) => {
            assert!(matches!(message.body, Body::Kept(_)));
            Told::Message(message.place.sequence)
        }
        Exported::Image(image) => Told::Image(image.id),
        Exported::Piece(bytes) => Told::Piece(bytes.len()),
    }
}

async fn export(world: &World, brand_id: &str, accounts: &[AccountId]) -> Vec<Told> {
    let (app, brand_id) = (world.app.clone(), brand(brand_id));
    let accounts: BTreeSet<AccountId> = accounts.iter().copied().collect();
    let told = parts::stream(DOMAIN, |parts| async move {
        app.export_person(&brand_id, &accounts, &parts).await
    });
    let told: Vec<Exported> = told.try_collect().await.unwrap();
    told.iter().map(in_short).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_chatroom_and_message_of_both_sides_is_told_once() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let other = world.temporary(3).await;
        let member = world.member(1).await;
        let rooms = [
            world.room(&client, 1).await,
            world.room(&temporary, 1).await,
            world.room(&other, 1).await,
        ];
        world.say(&client, rooms[0]).await;
        // More than one page.
        for _ in 0..60 {
            world.say(&temporary, rooms[1]).await;
            world.say(&member, rooms[1]).await;
        }
        world.say(&other, rooms[2]).await;
        // A link that serves attribution alone is one of the person's all the same.
        world.link(1, (1, 2), LinkScope::Tracking, false).await;

        let person = [account(1), account(2), account(2)];
        let told = export(&world, world.brand_id.as_str(), &person).await;
        let mut expected = vec![Told::Chatroom(rooms[0], account(1)), Told::Message(1)];
        expected.push(Told::Chatroom(rooms[1], account(2)));
        expected.extend((1..=120).map(Told::Message));
        assert_eq!(told, expected); // SPEC 56

        let elsewhere = export(&world, "another-brand", &person).await;
        assert_eq!(elsewhere, []); // SPEC 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_of_both_sides_are_told_with_their_bytes() {
    on_both_engines(async |world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let noise = pictures::noise(400, 400);
        let large = pictures::encoded(&noise.into(), image::ImageFormat::Png);
        let first = world.upload(&visitor, id, large).await.unwrap();
        let small = pictures::png_with_text();
        let second = world.upload(&answering, id, small).await.unwrap();

        let told = export(&world, world.brand_id.as_str(), &[account(1)]).await;
        let size = |image: &Image| usize::try_from(image.full.size_bytes).unwrap();
        let chunk = 256 * 1_024;
        assert!(size(&first) > chunk && size(&first) < 2 * chunk);
        let expected = [
            Told::Chatroom(id, account(1)),
            Told::Image(first.id),
            Told::Piece(chunk),
            Told::Piece(size(&first) - chunk),
            Told::Image(second.id),
            Told::Piece(size(&second)),
        ];
        assert_eq!(told, expected); // SPEC 56
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_is_told_whole_or_not_at_all() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        for _ in 0..150 {
            world.say(&visitor, id).await;
        }
        let (app, brand_id) = (world.app.clone(), world.brand_id.clone());
        let accounts = BTreeSet::from([account(1)]);
        let mut telling = parts::stream(DOMAIN, |parts| async move {
            app.export_person(&brand_id, &accounts, &parts).await
        });
        let first = telling.next().await.unwrap().unwrap();
        let Exported::Chatroom(view) = &first else {
            panic!("a chatroom comes before its messages");
        };
        assert_eq!(view.chatroom.last_sequence(), 150);
        // It is a few parts ahead and waits, with the second page still to be read.
        for _ in 0..10 {
            world.say(&visitor, id).await;
        }
        let rest: Vec<Exported> = telling.try_collect().await.unwrap();
        let rest: Vec<Told> = rest.iter().map(in_short).collect();
        let expected: Vec<Told> = (1..=150).map(Told::Message).collect();
        assert_eq!(rest, expected); // SPEC 56
    })
    .await;
}
