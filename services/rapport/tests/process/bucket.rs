//! Images in a bucket of S3, given as an operator gives it: by `RAPPORT_IMAGES_URL` and the variables of AWS
//! (SPEC 31, 55).

use std::{
    fs::{self, File},
    io::Cursor,
    time::SystemTime,
};

use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use image::{ImageFormat, RgbImage};
use kit::{clock::Clock, testing::TestS3};
use rapport::client::{Caller, request_id, shop::Visitor};
use rapport_proto::{
    chat::v1::{
        ImageChunk, ImageVariant, UploadImageHeader, UploadImageRequest, upload_image_request::Part,
    },
    identity::v1::EraseAccountRequest,
};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

/// A suite whose chat keeps images in a bucket.
struct Story {
    s3: TestS3,
    folder: TempDir,
    process: Process,
    shop: Shop,
    member: ShopMember,
}

/// Starts the program with a bucket, and with a log in `folder`; what the test says itself comes after what the
/// server says.
fn process(s3: &TestS3, folder: &TempDir) -> Process {
    let told = s3.variables();
    let mut variables = vec![("RAPPORT_IMAGES_URL", TestS3::IMAGES_URL)];
    variables.extend(told.iter().map(|(name, value)| (*name, value.as_str())));
    let mut log = File::options();
    let log = log
        .create(true)
        .append(true)
        .open(folder.path().join("log"));
    let mut command = rapport();
    command.stderr(log.unwrap());
    Process::start_by(command, folder.path(), &variables)
}

impl Story {
    async fn begin() -> Self {
        let s3 = TestS3::start().await;
        let folder = tempfile::tempdir().unwrap();
        let process = process(&s3, &folder);
        let token = operator_token(folder.path());
        let shop = Shop::open(&process.channels, &token, "shop").await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        Self {
            s3,
            folder,
            process,
            shop,
            member,
        }
    }

    /// A client who talks to the Member.
    async fn client(&self, customer_id: &str) -> (Visitor, Chatroom) {
        let signed_in = self.shop.sign_in(customer_id, None, None).await.unwrap();
        let chatroom = signed_in.visitor.open_direct(&self.member).await.unwrap();
        (signed_in.visitor, chatroom)
    }
}

/// The names of all objects, in their order.
fn objects(s3: &TestS3) -> Vec<String> {
    let mut folders = vec![s3.bucket()];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(s3.bucket()).unwrap();
            let name = name.to_str().unwrap().to_owned();
            if path.is_file() {
                names.push(name);
            } else if !name.starts_with('.') {
                folders.push(path);
            }
        }
    }
    names.sort();
    names
}

async fn wait_until_there_are(s3: &TestS3, names: &[String]) {
    let look = async || Ok((objects(s3) == names).then_some(()));
    let what = "the bucket holds what it should";
    wait_until(what, look).await.unwrap();
}

/// Puts an object into the bucket.
fn plant(s3: &TestS3, name: &str) {
    let path = s3.bucket().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "left behind").unwrap();
}

/// Makes all objects older than what an upload may still need.
fn age(s3: &TestS3) {
    let past = SystemTime::from(Clock::system().now() - TimeDelta::hours(25));
    for name in objects(s3) {
        let object = File::options().write(true).open(s3.bucket().join(name));
        object.unwrap().set_modified(past).unwrap();
    }
    // What the server knows of them.
    fs::remove_dir_all(s3.bucket().join(".nanio-meta")).unwrap();
}

/// The objects of images, in their order.
fn objects_of(image_ids: &[&str]) -> Vec<String> {
    let of_one = |id: &&str| {
        [
            format!("chat/shop/{id}.full"),
            format!("chat/shop/{id}.thumbnail"),
        ]
    };
    let mut names: Vec<String> = image_ids.iter().flat_map(of_one).collect();
    names.sort();
    names
}

/// An image that no encoder makes small, so that it is read in more than one piece.
fn noise() -> Vec<u8> {
    let picture = RgbImage::from_fn(360, 360, |_, _| image::Rgb(rand::random()));
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    let png = png.into_inner();
    assert!(png.len() > 262_144, "{}", png.len());
    png
}

fn check(refused: Status, code: Code, reason: &str) {
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((refused.code(), info.reason.as_str()), (code, reason));
}

/// What is sent of an upload before it breaks off: less than it announces.
fn half(chatroom: &Chatroom, bytes: &[u8]) -> [Part; 2] {
    let header = UploadImageHeader {
        chatroom_id: chatroom.chatroom_id.clone(),
        size_bytes: bytes.len() as i64,
        acting_for: None,
        request_id: request_id(),
    };
    let data = bytes[..bytes.len() / 2].to_vec().into();
    [Part::Header(header), Part::Chunk(ImageChunk { data })]
}

/// Goes away once half of the upload has been taken.
async fn break_off(caller: &Caller, parts: [Part; 2]) {
    let (taken, all_taken) = oneshot::channel();
    let requests = parts.map(|part| UploadImageRequest { part: Some(part) });
    let silence = stream::once(async move {
        taken.send(()).unwrap();
        std::future::pending().await
    });
    let mut chat = caller.chat.clone();
    tokio::select! {
        answer = chat.upload_image(stream::iter(requests).chain(silence)) => panic!("{answer:?}"),
        taken = all_taken => taken.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_kept_in_a_bucket_and_leave_it_with_their_person() {
    let story = Story::begin().await;
    let ((ann, room), (bob, other_room)) = (story.client("ann").await, story.client("bob").await);
    let png = noise();
    let image = ann.caller.upload_image(&room, &png).await.unwrap();
    let id = image.image_id.as_str();
    assert_eq!(objects(&story.s3), objects_of(&[id]));
    for (variant, name) in [
        (ImageVariant::Full, "full"),
        (ImageVariant::Thumbnail, "thumbnail"),
    ] {
        let member = &story.member.caller;
        let (told, bytes) = member.download_image(id, variant).await.unwrap();
        assert_eq!(told.size_bytes, bytes.len() as i64);
        let kept = story.s3.bucket().join(format!("chat/shop/{id}.{name}"));
        assert_eq!(bytes, fs::read(kept).unwrap());
        image::load_from_memory(&bytes).unwrap();
        let refused = bob.caller.download_image(id, variant).await.unwrap_err();
        check(refused, Code::NotFound, "IMAGE_NOT_FOUND"); // SPEC 31
    }

    let refused = ann.caller.upload_parts(half(&room, &png)).await;
    check(
        refused.unwrap_err(),
        Code::InvalidArgument,
        "UPLOAD_INCOMPLETE",
    );
    break_off(&ann.caller, half(&room, &png)).await;
    assert_eq!(objects(&story.s3), objects_of(&[id])); // SPEC 31
    let stays = bob.caller.upload_image(&other_room, &png).await.unwrap();

    let request = EraseAccountRequest {
        account_id: ann.account.account_id.clone(),
        request_id: request_id(),
    };
    let mut accounts = story.shop.service.clone().accounts;
    accounts.erase_account(request).await.unwrap();
    let left = objects_of(&[&stays.image_id]);
    wait_until_there_are(&story.s3, &left).await; // SPEC 55
    let refused = story.member.caller.download_image(id, ImageVariant::Full);
    check(
        refused.await.unwrap_err(),
        Code::NotFound,
        "IMAGE_NOT_FOUND",
    );
    assert!(story.process.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_bucket_is_away_uploads_are_refused_and_talk_goes_on() {
    let mut story = Story::begin().await;
    let (ann, room) = story.client("ann").await;
    let png = noise();
    story.s3.kill();
    let refused = ann.caller.upload_image(&room, &png).await.unwrap_err();
    check(refused, Code::Unavailable, "IMAGES_UNAVAILABLE");
    ann.caller.say(&room, "Can you see it?").await.unwrap();
    story.s3.restart().await;
    assert_eq!(objects(&story.s3), [""; 0]);
    let image = ann.caller.upload_image(&room, &png).await.unwrap();
    assert_eq!(objects(&story.s3), objects_of(&[&image.image_id]));
    assert!(story.process.terminate());
}

/// Who asks learns no more than of an image that is erased; the operator learns it from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_gone_from_the_bucket_is_told_in_the_log() {
    let story = Story::begin().await;
    let (ann, room) = story.client("ann").await;
    let image = ann.caller.upload_image(&room, &noise()).await.unwrap();
    let id = image.image_id.as_str();
    for object in objects_of(&[id]) {
        fs::remove_file(story.s3.bucket().join(object)).unwrap();
    }
    let refused = ann.caller.download_image(id, ImageVariant::Full).await;
    check(refused.unwrap_err(), Code::NotFound, "IMAGE_NOT_FOUND");
    let log = fs::read_to_string(story.folder.path().join("log")).unwrap();
    let mut lines = log.lines();
    let is_told = |line: &str| line.contains("an image has a row and no file") && line.contains(id);
    assert!(lines.any(is_told), "{log}");
    assert!(story.process.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_no_image_are_swept_from_a_bucket_once_they_are_old() {
    let story = Story::begin().await;
    let (ann, room) = story.client("ann").await;
    let image = ann.caller.upload_image(&room, &noise()).await.unwrap();
    let Story {
        mut s3,
        folder,
        process: first,
        ..
    } = story;
    first.kill();
    s3.kill();
    let orphan = || format!("shop/{}.full", uuid::Uuid::new_v4());
    let (old, young) = (orphan(), orphan());
    plant(&s3, &format!("chat/{old}"));
    plant(&s3, &format!("elsewhere/{old}"));
    age(&s3);
    plant(&s3, &format!("chat/{young}"));
    let mut left = objects_of(&[&image.image_id]);
    left.extend([format!("chat/{young}"), format!("elsewhere/{old}")]);
    left.sort();
    s3.restart().await;
    let second = process(&s3, &folder);
    wait_until_there_are(&s3, &left).await; // SPEC 31
    assert!(second.terminate());
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_ends_the_start_with_its_cause() {
    let mut s3 = TestS3::start().await;
    let check = |s3: &TestS3, (name, value): (&str, &str), says: [&str; 2]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = rapport();
        for service in ["identity", "chat", "attribution"] {
            command.arg(format!("--{service}-addr")).arg("127.0.0.1:0");
        }
        command.arg("--data-dir").arg(folder.path());
        command.env("RAPPORT_IMAGES_URL", TestS3::IMAGES_URL);
        command.envs(s3.variables()).env(name, value);
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}={value}: {error}");
        assert!(error.contains("rapport: chat cannot start"), "{error}");
        for text in says {
            assert!(error.contains(text), "{name}={value}: {error}");
        }
    };
    let refused = "(RAPPORT_IMAGES_URL) cannot be used as the AWS_… variables say";
    for (variable, cause) in [
        (("RAPPORT_IMAGES_URL", "s3://nowhere/chat"), "NoSuchBucket"),
        (("AWS_ACCESS_KEY_ID", "nobody"), "InvalidAccessKeyId"),
        (("AWS_SECRET_ACCESS_KEY", "wrong"), "SignatureDoesNotMatch"),
        (("AWS_ALLOW_HTTP", "false"), "scheme is not allowed"),
    ] {
        check(&s3, variable, [refused, cause]);
    }
    s3.kill();
    let away = ["cannot be reached", "Connection refused"];
    check(&s3, ("AWS_REGION", "eu-north-1"), away);
}
