//! Images: into a chatroom, out of it again, and gone (SPEC 31, 55, 61).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::{id::ImageId, message::MessageKind};
use futures_util::{TryStreamExt, future::join_all};
use kit::{
    clock::Clock,
    error::CallError,
    limit::{LimitConfig, Limits},
    parts,
};
use rapport_proto::{
    chat::v1::{self as chat, ImageContent, MessageContent, message_content::Content as Wire},
    event::v1::LinkScope,
};
use uuid::Uuid;

use crate::{
    app::{Caller, Downloaded, Party},
    content::Content,
    error::{ChatError, DOMAIN},
    fixtures::{World, account, member, new_id, on_both_engines, pictures, text},
    image_files::Variant,
    model::{Body, Image},
    rewriting::Format,
};

fn content(id: impl ToString, caption: &str) -> Content {
    let image = chat::Image {
        image_id: id.to_string(),
        width_pixels: 77,
        ..Default::default()
    };
    let image = ImageContent {
        image: Some(image),
        caption: caption.to_owned(),
    };
    let content = Some(Wire::Image(image));
    Content::parse(Some(MessageContent { content })).unwrap()
}

async fn download(
    world: &World,
    caller: &Caller,
    id: ImageId,
    variant: Variant,
) -> Result<(Image, Vec<u8>), ChatError> {
    let image = world.app.get_image(caller, id).await?;
    let (app, brand_id, told) = (world.app.clone(), caller.brand_id.clone(), image.clone());
    let parts = parts::stream(DOMAIN, |parts| async move {
        app.download_image(&brand_id, told, variant, &parts).await
    });
    let parts: Vec<Downloaded> = parts.try_collect().await.unwrap();
    let mut bytes = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        match part {
            Downloaded::Header(header, its) => {
                assert_eq!((number, &header, its), (0, &image, variant));
            }
            Downloaded::Piece(piece) => {
                assert!((1..=262_144).contains(&piece.len()));
                bytes.extend(piece);
            }
        }
    }
    Ok((image, bytes))
}

async fn is_seen(world: &World, caller: &Caller, id: ImageId) -> bool {
    match download(world, caller, id, Variant::Full).await {
        Ok(_) => true,
        Err(ChatError::ImageNotFound) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_kept_without_its_metadata_and_told_in_both_variants() {
    on_both_engines(async |world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let sent = pictures::jpeg_with_exif(6);
        let image = world.upload(&visitor, id, sent.clone()).await.unwrap();
        assert_eq!(image.full.format, Format::Jpeg);
        assert_eq!(
            (image.full.width_pixels, image.full.height_pixels),
            (20, 40)
        );
        for caller in [&visitor, &answering] {
            for variant in [Variant::Full, Variant::Thumbnail] {
                let (told, bytes) = download(&world, caller, image.id, variant).await.unwrap();
                assert_eq!(told, image);
                assert_eq!(bytes.len() as i64, image.measures(variant).size_bytes);
                image::load_from_memory(&bytes).unwrap();
                let secret = pictures::SECRET;
                assert!(!bytes.windows(secret.len()).any(|part| part == secret)); // SPEC 31
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upload_again_is_the_same_image_and_another_is_refused() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let request_id = Uuid::new_v4().to_string();
        let (png, gif) = (pictures::png_with_text(), pictures::gif_with_comment());
        // Also when they come at the same time: what the losers have written is deleted.
        let uploads = (0..4).map(|_| world.upload_again(&visitor, id, png.clone(), &request_id));
        let all: Vec<Image> = join_all(uploads)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(all.iter().all(|image| *image == all[0])); // SPEC 61
        let again = world.upload_again(&visitor, id, png, &request_id).await;
        assert_eq!(again.unwrap(), all[0]);
        assert_eq!(world.images_with_files().await, [all[0].id]);
        let refused = world.upload_again(&visitor, id, gif, &request_id).await;
        let refused = refused.unwrap_err();
        assert!(matches!(
            refused,
            ChatError::Call(CallError::RequestIdReused)
        ));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing() {
    on_both_engines(async |world: World| {
        let (visitor, other) = (world.temporary(1).await, world.temporary(2).await);
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let rooms = world.images_with_files();
        assert_eq!(rooms.await, []);
        let png = pictures::png_with_text();
        let refused = world.upload(&other, id, png.clone()).await.unwrap_err();
        assert!(matches!(refused, ChatError::ChatroomNotFound { .. })); // SPEC 21
        let broken = png[..png.len() / 2].to_vec();
        let refused = world.upload(&visitor, id, broken).await.unwrap_err();
        assert!(matches!(refused, ChatError::ImageRefused(_))); // SPEC 31
        // Erased between the header and the last byte.
        let place = world.app.begin_upload(&visitor, id).await.unwrap();
        world.erase(1).await;
        let body = chat::ImageChunk::default();
        let request_id = Uuid::new_v4().to_string();
        let key = world
            .app
            .request_key(&visitor, "UploadImage", &request_id, &body);
        let command = crate::app::UploadImage {
            chatroom_id: id,
            bytes: png.clone(),
            key: key.unwrap(),
            place,
        };
        let refused = world.app.upload_image(visitor.clone(), command).await;
        assert!(matches!(refused, Err(ChatError::AccountErased { .. }))); // SPEC 55
        let refused = world.upload(&visitor, id, png).await.unwrap_err();
        assert!(matches!(refused, ChatError::AccountErased { .. }));
        assert_eq!(world.images_with_files().await, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_follows_the_visibility_of_its_chatroom() {
    on_both_engines(async |world: World| {
        let (client, visitor) = (world.client(1).await, world.temporary(2).await);
        let (stranger, other_member) = (world.temporary(3).await, world.member(2).await);
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let png = pictures::png_with_text();
        let image = world.upload(&visitor, id, png).await.unwrap().id;
        let seen_by = async |caller: &Caller| is_seen(&world, caller, image).await;
        assert!(seen_by(&visitor).await && seen_by(&answering).await);
        assert!(!seen_by(&client).await);
        world.link(1, (1, 2), LinkScope::History, false).await;
        assert!(seen_by(&client).await); // SPEC 31
        world.link(1, (1, 2), LinkScope::History, true).await;
        assert!(!seen_by(&client).await);
        assert!(!seen_by(&stranger).await && !seen_by(&other_member).await);
        let elsewhere = world.as_brand(crate::fixtures::brand("another-brand"));
        let theirs = elsewhere.temporary(2).await;
        assert!(!seen_by(&theirs).await); // SPEC 1
        let acting = world.service(Some(Party::Member(member(1))));
        assert!(seen_by(&acting).await);
        let acting = world.service(Some(Party::Member(member(2))));
        assert!(!seen_by(&acting).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_shows_an_image_of_its_chatroom_as_the_server_knows_it() {
    on_both_engines(async |world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        world.member(2).await;
        let (id, elsewhere) = (world.room(&visitor, 1).await, world.room(&visitor, 2).await);
        let image = world
            .upload(&visitor, id, pictures::png_with_text())
            .await
            .unwrap();
        let message_id = new_id();
        let send = async |caller: &Caller, room, message_id, content| {
            world.send(caller, room, message_id, content).await
        };
        let sent = send(&visitor, id, message_id, content(image.id, "look"))
            .await
            .unwrap();
        assert_eq!(sent.kind, MessageKind::Image); // SPEC 27
        let Body::Kept(MessageContent {
            content: Some(Wire::Image(shown)),
        }) = &sent.body
        else {
            panic!("{:?}", sent.body);
        };
        assert_eq!(shown.image, Some(image.clone().into()));
        assert_eq!(shown.caption, "look");
        let again = send(&visitor, id, message_id, content(image.id, "look"))
            .await
            .unwrap();
        assert_eq!(again, sent); // SPEC 29
        let other = send(&visitor, id, message_id, content(image.id, "other")).await;
        assert!(matches!(other, Err(ChatError::MessageIdReused { .. })));
        send(&answering, id, new_id(), content(image.id, ""))
            .await
            .unwrap();
        send(&visitor, id, new_id(), text("and a text"))
            .await
            .unwrap();
        for (room, image_id) in [(elsewhere, image.id), (id, new_id())] {
            let refused = send(&visitor, room, new_id(), content(image_id, "")).await;
            assert!(matches!(refused, Err(ChatError::ImageNotFound))); // SPEC 31
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_deletes_the_images_of_both_sides_and_of_nobody_else() {
    on_both_engines(async |world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        let other = world.temporary(2).await;
        let (id, others) = (world.room(&visitor, 1).await, world.room(&other, 1).await);
        let png = pictures::png_with_text;
        let mut gone = Vec::new();
        // More than one step deletes.
        for number in 0..24 {
            let caller = if number % 2 == 0 { &visitor } else { &answering };
            gone.push(world.upload(caller, id, png()).await.unwrap().id);
        }
        let request_id = Uuid::new_v4().to_string();
        let again = world.upload_again(&visitor, id, png(), &request_id).await;
        gone.push(again.unwrap().id);
        let stays = world.upload(&other, others, png()).await.unwrap().id;
        let message_id = new_id();
        let shown = content(gone[0], "");
        world.send(&visitor, id, message_id, shown.clone()).await.unwrap();
        assert_eq!(world.images_with_files().await.len(), 26);

        let erased = world.erase_person(&[1]).await;
        assert!(erased.complete);
        assert_eq!((erased.message_count, erased.image_count), (1, 25)); // SPEC 55
        assert_eq!(world.images_with_files().await, [stays]);
        assert!(is_seen(&world, &answering, stays).await);
        for id in gone {
            assert!(!is_seen(&world, &answering, id).await);
        }
        let repeated = world.send(&visitor, id, message_id, shown).await.unwrap();
        assert_eq!(repeated.kind, MessageKind::Image);
        assert!(matches!(repeated.body, Body::Erased(_)));
        let refused = world.upload_again(&visitor, id, png(), &request_id).await;
        assert!(matches!(refused, Err(ChatError::AccountErased { account_id }) if account_id == account(1)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_row_names_are_swept_once_they_are_old() {
    on_both_engines(async |mut world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let kept = world
            .upload(&visitor, id, pictures::png_with_text())
            .await
            .unwrap()
            .id;
        let left: ImageId = new_id();
        let files = &world.app.images.files;
        let put = files.put(&world.brand_id, left, Variant::Full, vec![1]);
        put.await.unwrap();
        // The files are as old as the machine's clock says.
        world.clock = Clock::manual(Clock::system().now());
        world.app.clock = world.clock.clone();
        world.app.sweep_images().await.unwrap();
        let both = BTreeSet::from([kept, left]);
        assert_eq!(
            world.images_with_files().await,
            both.into_iter().collect::<Vec<_>>()
        );
        world.clock.advance(TimeDelta::hours(25));
        world.app.sweep_images().await.unwrap();
        assert_eq!(world.images_with_files().await, [kept]); // SPEC 31
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_counted_for_each_participant_and_held_at_once() {
    on_both_engines(async |mut world: World| {
        let (visitor, answering) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let begin = async |world: &World, caller: &Caller| world.app.begin_upload(caller, id).await;
        let mut places = Vec::new();
        while let Ok(place) = begin(&world, &visitor).await {
            places.push(place);
        }
        assert_eq!(places.len(), 32);
        let refused = begin(&world, &answering).await.unwrap_err();
        assert!(matches!(refused, ChatError::UploadsOverloaded { .. }));
        places.clear();
        begin(&world, &answering).await.unwrap();

        let limits = LimitConfig {
            account_per_minute: 2,
            ..LimitConfig::off()
        };
        world.app.limits = Limits::new(&limits, &world.clock);
        begin(&world, &visitor).await.unwrap();
        begin(&world, &visitor).await.unwrap();
        let refused = begin(&world, &visitor).await.unwrap_err();
        let ChatError::Call(error @ CallError::RateLimited { .. }) = refused else {
            panic!("{refused}");
        };
        assert!(error.to_string().contains("account"));
        begin(&world, &answering).await.unwrap();
    })
    .await;
}
