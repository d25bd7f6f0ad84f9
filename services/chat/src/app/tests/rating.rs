//! Ratings (SPEC 27).

use domain::{
    id::{ChatroomId, MessageId},
    message::{MessageKind, Side, Stars},
};
use rapport_proto::{
    chat::v1::{AnswerRatingRequest, RatingContent, message_content::Content as Wire},
    event::v1::{LinkScope, event::Payload},
};

use crate::{
    app::{AnswerRating, Caller},
    error::ChatError,
    fixtures::{World, at, new_id, on_both_engines},
    model::{Body, Message},
};

fn command(
    world: &World,
    caller: &Caller,
    (chatroom_id, message_id): (ChatroomId, MessageId),
    (stars, comment): (u8, &str),
) -> AnswerRating {
    let request = AnswerRatingRequest {
        score: Some(stars.into()),
        comment: comment.to_owned(),
        ..Default::default()
    };
    let id: uuid::Uuid = new_id();
    let key = world
        .app
        .request_key(caller, "AnswerRating", &id.to_string(), &request);
    AnswerRating {
        chatroom_id,
        message_id,
        stars: Stars::new(stars).unwrap(),
        comment: comment.to_owned(),
        key: key.unwrap(),
    }
}

/// A Member asks one second later.
async fn ask(world: &World, member: &Caller, id: ChatroomId) -> Message {
    world.advance(1);
    let asked = world.app.request_rating(member.clone(), id, new_id()).await;
    asked.unwrap()
}

fn said(message: &Message) -> &RatingContent {
    match &message.body {
        Body::Kept(content) => match &content.content {
            Some(Wire::Rating(said)) => said,
            other => panic!("{other:?}"),
        },
        Body::Erased(time) => panic!("erased {time}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_is_asked_once_and_answered_once() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        let asked = ask(&world, &member, id).await;
        assert_eq!((asked.kind, asked.place.sequence), (MessageKind::Rating, 2));
        assert_eq!(
            (said(&asked).score, &said(&asked).answer_time),
            (None, &None)
        );

        world.advance(1);
        let first = command(&world, &visitor, (id, asked.id), (0, "slow"));
        let answered = world
            .app
            .answer_rating(&visitor, first.clone())
            .await
            .unwrap();
        let expected = RatingContent {
            score: Some(0), // SPEC 27: not "not rated"
            comment: "slow".into(),
            answer_time: Some(kit::convert::timestamp(at(3))),
        };
        assert_eq!(said(&answered), &expected);
        assert_eq!(
            (answered.place, answered.author),
            (asked.place, asked.author)
        );
        assert_eq!(world.history(&member, id).await[1], answered);
        world.advance(1);
        let again = world.app.answer_rating(&visitor, first).await.unwrap();
        assert_eq!(again, answered); // SPEC 61
        let second = command(&world, &visitor, (id, asked.id), (5, ""));
        let refused = world.app.answer_rating(&visitor, second).await;
        assert!(matches!(refused, Err(ChatError::RatingAnswered { .. })));
        let repeated = world.app.request_rating(member, id, asked.id).await;
        assert_eq!(repeated.unwrap(), answered); // SPEC 29
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_moves_nothing_and_is_no_evidence() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        world.say(&visitor, id).await;
        let asked = ask(&world, &member, id).await;
        let before = world.app.get_chatroom(&visitor, id).await.unwrap().chatroom;
        assert_eq!(before.marker(Side::Visitor).unread_count, 1); // SPEC 30
        assert_eq!(before.marker(Side::Member).unread_count, 1);
        assert_eq!(before.dialogue_time(), None); // SPEC 28, 39
        let answer = command(&world, &visitor, (id, asked.id), (5, "great"));
        world.app.answer_rating(&visitor, answer).await.unwrap();
        let after = world.app.get_chatroom(&visitor, id).await.unwrap().chatroom;
        assert_eq!(after, before);
        let events = world.events().await;
        assert!(matches!(
            events[..],
            [
                Payload::ChatroomOpened(_),
                Payload::MessageSent(_),
                Payload::MessageSent(_)
            ]
        ));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_of_the_person_sees_the_chatroom_answers_and_nobody_else() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let id = world.room(&temporary, 1).await;
        let text = world.say(&temporary, id).await;
        let asked = ask(&world, &member, id).await;
        let by_client = command(&world, &client, (id, asked.id), (4, ""));
        let refused = world.app.answer_rating(&client, by_client.clone()).await;
        assert!(matches!(refused, Err(ChatError::ChatroomNotFound { .. }))); // SPEC 21
        for (message_id, is_text) in [(text.id, true), (new_id(), false)] {
            let wrong = command(&world, &temporary, (id, message_id), (4, ""));
            match world
                .app
                .answer_rating(&temporary, wrong)
                .await
                .unwrap_err()
            {
                ChatError::NotARating { .. } => assert!(is_text),
                ChatError::MessageNotFound { .. } => assert!(!is_text),
                other => panic!("{other}"),
            }
        }
        world.link(1, (1, 2), LinkScope::History, false).await;
        let answered = world.app.answer_rating(&client, by_client).await.unwrap();
        assert_eq!(said(&answered).score, Some(4));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_answers_at_once_are_one() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let asked = ask(&world, &member, id).await;
        let one = command(&world, &visitor, (id, asked.id), (1, ""));
        let other = command(&world, &visitor, (id, asked.id), (2, ""));
        let replica = world.replica().await;
        let (one, other) = tokio::join!(
            world.app.answer_rating(&visitor, one),
            replica.app.answer_rating(&visitor, other)
        );
        let (won, lost) = if one.is_ok() {
            (one, other)
        } else {
            (other, one)
        };
        assert!(matches!(lost, Err(ChatError::RatingAnswered { .. })));
        assert_eq!(world.history(&member, id).await, [won.unwrap()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_with_the_erasure_and_none_comes_after_it() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let (first, second) = (
            ask(&world, &member, id).await,
            ask(&world, &member, id).await,
        );
        let answer = command(&world, &visitor, (id, first.id), (3, "personal"));
        world.app.answer_rating(&visitor, answer).await.unwrap();
        world.erase_person(&[1]).await;
        for message in world.history(&member, id).await {
            assert!(matches!(message.body, Body::Erased(_))); // SPEC 55
        }
        let late = command(&world, &visitor, (id, second.id), (3, "personal"));
        let refused = world.app.answer_rating(&visitor, late).await;
        assert!(matches!(refused, Err(ChatError::AccountErased { .. })));
    })
    .await;
}
