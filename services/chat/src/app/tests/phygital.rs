//! Meeting in person (SPEC 34).

use domain::{
    id::ChatroomId,
    message::{MessageKind, MessageOrigin, Side},
};
use kit::{error::CallError, secret};
use rapport_proto::{
    chat::v1::{IssuePhygitalCodeRequest, SetBlockedRequest, StartPhygitalChatroomRequest},
    event::v1::{self as event, LinkScope, MemberState, event::Payload},
};
use secrecy::ExposeSecret;

use crate::{
    app::{Caller, SetBlocked, StartPhygital},
    error::ChatError,
    fixtures::{World, account, brand, new_id, on_both_engines},
    model::Author,
};

/// A new code of a Member.
async fn code(world: &World, member: &Caller) -> String {
    let request = IssuePhygitalCodeRequest::default();
    let id: uuid::Uuid = new_id();
    let key = world
        .app
        .request_key(member, "IssuePhygitalCode", &id.to_string(), &request);
    let issued = world
        .app
        .issue_phygital_code(member.clone(), key.unwrap())
        .await;
    issued.unwrap().code.expose_secret().to_owned()
}

fn command(world: &World, visitor: &Caller, code: &str) -> StartPhygital {
    let request = StartPhygitalChatroomRequest {
        code: code.to_owned(),
        ..Default::default()
    };
    let id: uuid::Uuid = new_id();
    let key = world
        .app
        .request_key(visitor, "StartPhygitalChatroom", &id.to_string(), &request);
    StartPhygital {
        code_digest: secret::token_digest(code),
        key: key.unwrap(),
    }
}

/// Redeems a code, and returns its chatroom and whether it was made.
async fn redeem(
    world: &World,
    visitor: &Caller,
    code: &str,
) -> Result<(ChatroomId, bool), ChatError> {
    let command = command(world, visitor, code);
    let started = world.app.start_phygital(visitor.clone(), command).await?;
    Ok((started.chatroom.chatroom.id, started.created))
}

fn is_refused(answer: &Result<(ChatroomId, bool), ChatError>) -> bool {
    matches!(answer, Err(ChatError::PhygitalCodeRefused))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_the_chatroom_and_writes_the_first_message() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let code = code(&world, &member).await;
        assert_eq!(code.len(), 32); // 160 bits
        let command = command(&world, &visitor, &code);
        let started = world
            .app
            .start_phygital(visitor.clone(), command.clone())
            .await
            .unwrap();
        assert!(started.created);
        let message = &started.message;
        assert_eq!(message.author, Author::Account(account(1)));
        assert_eq!(
            (message.kind, message.origin, message.place.sequence),
            (MessageKind::Text, MessageOrigin::Phygital, 1)
        );
        let room = &started.chatroom.chatroom;
        assert_eq!(room.visitor_first_time, Some(message.place.message_time)); // SPEC 34: evidence
        assert_eq!(room.marker(Side::Member).unread_count, 1); // SPEC 30
        assert_eq!(room.marker(Side::Visitor).unread_count, 0);

        let again = world.app.start_phygital(visitor.clone(), command).await;
        let again = again.unwrap();
        assert_eq!((again.chatroom.chatroom.id, again.created), (room.id, true)); // SPEC 61
        assert_eq!(again.message, *message);
        assert!(is_refused(&redeem(&world, &visitor, &code).await)); // once
        assert_eq!(world.history(&member, room.id).await, [started.message]);
        let events = world.events().await;
        let [Payload::ChatroomOpened(_), Payload::MessageSent(told)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            (told.kind(), told.origin(), told.side()),
            (
                event::MessageKind::Text,
                event::MessageOrigin::Phygital,
                event::Side::Visitor
            )
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_the_chatroom_that_open_direct_would() {
    on_both_engines(async |world: World| {
        let (client, temporary) = (world.client(1).await, world.temporary(2).await);
        let member = world.member(1).await;
        let own = world.room(&client, 1).await;
        let linked = world.room(&temporary, 1).await;
        world.say(&client, own).await;
        world.say(&temporary, linked).await;
        world.link(1, (1, 2), LinkScope::History, false).await;
        let code = code(&world, &member).await;
        let opened = redeem(&world, &client, &code).await.unwrap();
        assert_eq!(opened, (linked, false)); // SPEC 23
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_visitors_who_redeem_one_code_at_once_one_wins() {
    on_both_engines(async |world: World| {
        let member = world.member(1).await;
        let (one, other) = (world.temporary(1).await, world.temporary(2).await);
        let replica = world.replica().await;
        for round in 0..5_u64 {
            let code = code(&world, &member).await;
            let (left, right) =
                tokio::join!(redeem(&world, &one, &code), redeem(&replica, &other, &code));
            assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
            assert!(is_refused(&left) || is_refused(&right));
            let told = world.list(&member).await.len();
            assert!(told <= 2);
            let mut written = 0;
            for id in world.list(&member).await {
                written += world.history(&member, id).await.len() as u64;
            }
            assert_eq!(written, round + 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_not_good_is_refused_whatever_the_reason() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        assert!(is_refused(&redeem(&world, &visitor, "ABCDEFGH").await));
        let old = code(&world, &member).await;
        let elsewhere = world.as_brand(brand("other-shop"));
        let stranger = elsewhere.temporary(1).await;
        elsewhere.member(1).await;
        assert!(is_refused(&redeem(&elsewhere, &stranger, &old).await)); // SPEC 1
        world.advance(600);
        assert!(is_refused(&redeem(&world, &visitor, &old).await)); // SPEC 34: 10 minutes
        let new = code(&world, &member).await;
        assert!(is_refused(&redeem(&world, &visitor, &old).await));
        world.advance(599);
        redeem(&world, &visitor, &new).await.unwrap();
        assert_eq!(world.events().await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_write_keeps_the_code_good() {
    on_both_engines(async |world: World| {
        let (visitor, member) = (world.temporary(1).await, world.member(1).await);
        let id = world.room(&visitor, 1).await;
        let request = SetBlockedRequest::default();
        let request_id: uuid::Uuid = new_id();
        let key = world
            .app
            .request_key(&member, "SetBlocked", &request_id.to_string(), &request);
        let block = SetBlocked {
            chatroom_id: id,
            blocked: true,
            key: key.unwrap(),
        };
        world.app.set_blocked(&member, block).await.unwrap();
        let code = code(&world, &member).await;
        let refused = redeem(&world, &visitor, &code).await;
        assert!(matches!(refused, Err(ChatError::ChatroomBlocked { .. }))); // SPEC 30
        let other = world.temporary(2).await;
        world.erase(2).await;
        let refused = redeem(&world, &other, &code).await;
        assert!(matches!(refused, Err(ChatError::AccountErased { .. }))); // SPEC 55
        world
            .learn_member(&world.brand_id, 1, MemberState::Deactivated)
            .await;
        let third = world.temporary(3).await;
        let refused = redeem(&world, &third, &code).await;
        assert!(matches!(refused, Err(ChatError::MemberDeactivated { .. })));
        assert_eq!(world.history(&member, id).await, []);
        assert_eq!(world.list(&member).await, [id]); // nothing half done
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_given_once_and_not_too_often() {
    on_both_engines(async |world: World| {
        let member = world.member(1).await;
        let request = IssuePhygitalCodeRequest::default();
        let id: uuid::Uuid = new_id();
        let key = world
            .app
            .request_key(&member, "IssuePhygitalCode", &id.to_string(), &request)
            .unwrap();
        let issue = || world.app.issue_phygital_code(member.clone(), key.clone());
        issue().await.unwrap();
        let refused = issue().await;
        assert!(matches!(
            refused,
            Err(ChatError::Call(CallError::RequestIdReused)) // SPEC 61: never a secret again
        ));
        for _ in 2..120 {
            code(&world, &member).await;
        }
        let refused = issue().await;
        assert!(matches!(
            refused,
            Err(ChatError::Call(CallError::RateLimited { .. }))
        ));
        let visitor = world.temporary(1).await;
        for _ in 0..120 {
            assert!(is_refused(&redeem(&world, &visitor, "A").await));
        }
        let refused = redeem(&world, &visitor, "A").await;
        assert!(matches!(
            refused,
            Err(ChatError::Call(CallError::RateLimited { .. }))
        ));
    })
    .await;
}
