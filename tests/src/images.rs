//! Images over the wire: what is taken, what is refused, and who sees them (SPEC 21, 31).

use base64::{Engine, prelude::BASE64_STANDARD};
use kit::testing::TestEngine;
use rapport::client::{Caller, request_id};
use rapport_proto::{
    chat::v1::{
        Chatroom, Image, ImageChunk, ImageContent, ImageFormat, ImageVariant, MessageContent,
        SendMessageRequest, UploadImageHeader, message_content::Content,
        upload_image_request::Part,
    },
    identity::v1::{MergePolicyPreset, SignInOutcomeKind},
};
use tonic::Code;

use crate::harness::{TestSuite, assert_refused};

/// One black pixel.
const GIF: &str = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

pub(crate) fn gif() -> Vec<u8> {
    BASE64_STANDARD.decode(GIF).unwrap()
}

fn header(chatroom: &Chatroom, size_bytes: i64) -> Part {
    Part::Header(UploadImageHeader {
        chatroom_id: chatroom.chatroom_id.clone(),
        size_bytes,
        acting_for: None,
        request_id: request_id(),
    })
}

fn chunk(bytes: &[u8]) -> Part {
    Part::Chunk(ImageChunk {
        data: bytes.to_vec().into(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_shown_to_whoever_sees_its_chatroom() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        let before = shop.sign_in("ann", None, None).await.unwrap().visitor;
        let temporary = shop.welcome("Ann", None).await.unwrap();
        let stranger = shop.welcome("Eve", None).await.unwrap();
        let chatroom = temporary.open_direct(&member).await.unwrap();
        let image = temporary
            .caller
            .upload_image(&chatroom, &gif())
            .await
            .unwrap();
        assert_eq!(image.format(), ImageFormat::Gif);
        assert_eq!((image.width_pixels, image.height_pixels), (1, 1));
        let shown = show(&member.caller, &chatroom, &image).await;
        assert_eq!(shown.image.as_ref(), Some(&image));

        let id = image.image_id.as_str();
        for (variant, format) in [
            (ImageVariant::Full, ImageFormat::Gif),
            (ImageVariant::Thumbnail, ImageFormat::Png),
        ] {
            let (told, bytes) = member.caller.download_image(id, variant).await.unwrap();
            assert_eq!(
                (told.format(), told.size_bytes),
                (format, bytes.len() as i64)
            );
        }
        let seen = before.caller.download_image(id, ImageVariant::Full).await;
        assert_refused(seen, Code::NotFound, "IMAGE_NOT_FOUND"); // SPEC 21
        let signed_in = shop.sign_in("ann", None, Some(&temporary)).await.unwrap();
        assert_eq!(signed_in.outcome.kind(), SignInOutcomeKind::Linked);
        let client = &signed_in.visitor.caller;
        client.download_image(id, ImageVariant::Full).await.unwrap(); // SPEC 31
        let seen = stranger.caller.download_image(id, ImageVariant::Full).await;
        assert_refused(seen, Code::NotFound, "IMAGE_NOT_FOUND");
        suite.stop().await.unwrap();
    }
}

async fn show(caller: &Caller, chatroom: &Chatroom, image: &Image) -> ImageContent {
    let content = ImageContent {
        image: Some(Image {
            image_id: image.image_id.clone(),
            ..Default::default()
        }),
        caption: String::new(),
    };
    let request = SendMessageRequest {
        chatroom_id: chatroom.chatroom_id.clone(),
        message_id: request_id(),
        content: Some(MessageContent {
            content: Some(Content::Image(content)),
        }),
        ..Default::default()
    };
    let sent = caller.chat.clone().send_message(request).await.unwrap();
    match sent.into_inner().message.unwrap().content.unwrap().content {
        Some(Content::Image(shown)) => shown,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_exactly_what_it_announces() {
    let suite = TestSuite::start(TestEngine::Sqlite).await.unwrap();
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let member = shop.hire("Mia").await.unwrap();
    let visitor = shop.welcome("Ann", None).await.unwrap();
    let room = visitor.open_direct(&member).await.unwrap();
    let gif = gif();
    let size = gif.len() as i64;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>";
    let refused: [(Vec<Part>, &str); 9] = [
        (vec![], "FIELD_INVALID"),
        (vec![chunk(&gif)], "FIELD_INVALID"),
        (vec![header(&room, 0)], "FIELD_INVALID"),
        (vec![header(&room, size), chunk(b"")], "FIELD_INVALID"),
        (
            vec![header(&room, 300_000), chunk(&[0; 262_145])],
            "FIELD_INVALID",
        ),
        // Told by the header alone, of which no byte follows.
        (
            vec![header(&room, 10 * 1_024 * 1_024 + 1)],
            "IMAGE_TOO_LARGE",
        ),
        (
            vec![header(&room, size + 1), chunk(&gif)],
            "UPLOAD_INCOMPLETE",
        ),
        (
            vec![header(&room, size - 1), chunk(&gif)],
            "UPLOAD_INCOMPLETE",
        ),
        (
            vec![header(&room, svg.len() as i64), chunk(svg)],
            "IMAGE_REFUSED",
        ),
    ];
    for (parts, reason) in refused {
        let answer = visitor.caller.upload_parts(parts).await;
        assert_refused(answer, Code::InvalidArgument, reason); // SPEC 31
    }
    let twice = [header(&room, size), header(&room, size), chunk(&gif)];
    let answer = visitor.caller.upload_parts(twice).await;
    assert_refused(answer, Code::InvalidArgument, "FIELD_INVALID");
    visitor.caller.upload_image(&room, &gif).await.unwrap();
    suite.stop().await.unwrap();
}
