//! Writing messages (SPEC 26 to 29, 32).

use chrono::TimeDelta;
use domain::message::{MessageKind, MessageOrigin, Side};
use rapport_proto::{
    chat::v1::{ImageContent, MessageContent, NoticeContent, message_content::Content as Wire},
    event::v1::{self as event, MemberState, event::Payload},
};

use crate::{
    app::{Caller, SendMessage},
    content::Content,
    error::ChatError,
    fixtures::{World, account, at, member, new_id, on_both_engines, start, text},
    model::{Author, Message},
};

fn content(said: Wire) -> Content {
    Content::parse(Some(MessageContent {
        content: Some(said),
    }))
    .unwrap()
}

fn missed() -> Content {
    content(Wire::Missed(NoticeContent::default()))
}

async fn sent(world: &World, caller: &Caller, command: SendMessage) -> Result<Message, ChatError> {
    world.app.send_message(caller.clone(), command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_with_an_event_that_does_not_tell_what_was_said() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        let answer = world.say(&answering, id).await;
        assert_eq!(
            (answer.place.sequence, answer.place.message_time),
            (2, at(2))
        ); // SPEC 29

        let view = world.app.get_chatroom(&visitor, id).await.unwrap();
        assert_eq!(view.chatroom.last, Some(answer.place));
        assert_eq!(view.chatroom.dialogue_time(), Some(at(2))); // SPEC 28
        assert_eq!(view.last_message.as_ref(), Some(&answer));
        let marker = view.chatroom.marker(Side::Visitor);
        assert_eq!((marker.sequence, marker.unread_count), (0, 1));

        let events = world.events().await;
        let [_, _, Payload::MessageSent(told)] = events.as_slice() else {
            panic!("{events:?}");
        };
        let author = event::author::Author::MemberId(member(1).to_string());
        let expected = event::MessageSent {
            message_id: answer.id.to_string(),
            chatroom_id: id.to_string(),
            account_id: account(1).to_string(),
            member_id: member(1).to_string(),
            sequence: 2,
            author: Some(event::Author {
                author: Some(author),
            }),
            side: event::Side::Member.into(),
            kind: event::MessageKind::Text.into(),
            origin: event::MessageOrigin::Written.into(),
            message_time: Some(kit::convert::timestamp(at(2))),
            revision: 1,
        };
        assert_eq!(told, &expected); // SPEC 51, 53
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_increase_although_the_clock_stands_still() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        for micros in 0..3 {
            let message = world
                .send(&visitor, id, new_id(), text("hello"))
                .await
                .unwrap();
            let expected = start() + TimeDelta::microseconds(micros);
            assert_eq!(message.place.message_time, expected); // SPEC 29
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_returns_the_first_message_and_another_body_is_refused() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let message_id = new_id();
        let first = world
            .send(&visitor, id, message_id, text("one"))
            .await
            .unwrap();
        world.say(&visitor, id).await;
        let again = world
            .send(&visitor, id, message_id, text("one"))
            .await
            .unwrap();
        assert_eq!(again, first); // SPEC 29
        for (caller, said) in [(&visitor, "two"), (&answering, "one")] {
            let refused = world
                .send(caller, id, message_id, text(said))
                .await
                .unwrap_err();
            assert!(
                matches!(refused, ChatError::MessageIdReused { .. }),
                "{refused}"
            );
        }
        let other = world.room(&world.temporary(2).await, 1).await;
        let elsewhere = world.send(&answering, other, message_id, text("one")).await;
        assert_eq!(elsewhere.unwrap().place.sequence, 1); // unique in its chatroom

        world.erase(1).await;
        let again = world
            .send(&visitor, id, message_id, text("one"))
            .await
            .unwrap();
        assert_eq!(again, first); // what was acknowledged stays so
        assert_eq!(world.history(&visitor, id).await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_services_only_is_refused_to_people() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        let answering = world.member(1).await;
        let chatroom_id = world.room(&visitor, 1).await;
        let service = world.service(None);
        let (written, automatic) = (MessageOrigin::Written, MessageOrigin::Automatic);
        let command = |content, origin| SendMessage {
            chatroom_id,
            message_id: new_id(),
            content,
            origin,
        };
        for caller in [&visitor, &answering] {
            for refused in [command(missed(), written), command(text("away"), automatic)] {
                let refused = sent(&world, caller, refused).await.unwrap_err();
                assert!(matches!(refused, ChatError::MessageKindNotAllowed { .. })); // SPEC 27
            }
        }
        let notice = sent(&world, &service, command(missed(), written))
            .await
            .unwrap();
        assert_eq!(
            (notice.kind, notice.author.side()),
            (MessageKind::Missed, Side::Service)
        );
        let acting = world.service(Some(answering.party));
        let away = sent(&world, &acting, command(text("away"), automatic))
            .await
            .unwrap();
        assert_eq!(away.author, Author::Member(member(1)));
        assert_eq!(away.origin, MessageOrigin::Automatic);
        world.say(&visitor, chatroom_id).await;
        let view = world.app.get_chatroom(&visitor, chatroom_id).await.unwrap();
        assert_eq!(view.chatroom.dialogue_time(), None); // SPEC 28, 39

        let rating = content(Wire::Rating(Default::default()));
        let refused = sent(&world, &service, command(rating, written))
            .await
            .unwrap_err();
        assert!(matches!(refused, ChatError::MessageKindNotAllowed { .. }));
        let image = content(Wire::Image(ImageContent {
            image: Some(rapport_proto::chat::v1::Image {
                image_id: uuid::Uuid::new_v4().to_string(),
                ..Default::default()
            }),
            ..Default::default()
        }));
        let refused = sent(&world, &visitor, command(image, written))
            .await
            .unwrap_err();
        assert!(matches!(refused, ChatError::ImageNotFound));
        assert_eq!(world.events().await.len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_leaves_no_message_and_no_event() {
    on_both_engines(async |world: World| {
        let visitor = world.temporary(1).await;
        world.member(1).await;
        let id = world.room(&visitor, 1).await;
        let (stranger, other) = (world.temporary(2).await, world.member(2).await);
        let unknown = new_id();
        for (caller, id) in [(&visitor, unknown), (&stranger, id), (&other, id)] {
            let refused = world
                .send(caller, id, new_id(), text("hello"))
                .await
                .unwrap_err();
            assert!(matches!(refused, ChatError::ChatroomNotFound { .. })); // SPEC 32
        }
        let elsewhere = Caller {
            brand_id: crate::fixtures::brand("other-shop"),
            ..other
        };
        let refused = world
            .send(&elsewhere, id, new_id(), text("hello"))
            .await
            .unwrap_err();
        assert!(matches!(refused, ChatError::ChatroomNotFound { .. })); // SPEC 1

        world
            .learn_member(&world.brand_id, 1, MemberState::Deactivated)
            .await;
        let refused = world
            .send(&visitor, id, new_id(), text("hello"))
            .await
            .unwrap_err();
        assert!(matches!(refused, ChatError::MemberDeactivated { .. }));
        assert!(!world.app.get_chatroom(&visitor, id).await.unwrap().writable);
        world.erase(1).await;
        let refused = world
            .send(&visitor, id, new_id(), text("hello"))
            .await
            .unwrap_err();
        assert!(matches!(refused, ChatError::AccountErased { .. }));
        assert_eq!(world.history(&visitor, id).await, []);
        assert_eq!(world.events().await.len(), 1);
    })
    .await;
}
