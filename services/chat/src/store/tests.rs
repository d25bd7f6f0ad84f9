//! Store conformance: every function does the same on both engines.

mod chatrooms;
mod messages;
mod migrations;
mod moments;

use std::collections::BTreeMap;

use domain::{
    id::{BrandId, ChatroomId},
    message::{MessageKind, MessageOrigin, Place},
};
use kit::db::{Connection, StoreError};
use rapport_proto::chat::v1::MessageContent;
use uuid::Uuid;

use super::{
    appending::{self, Batch, Moved},
    chatrooms as rooms,
};
use crate::{
    events,
    fixtures::{World, account, at, brand, member, new_id, text},
    model::{Author, Body, Chatroom, Message},
};

fn chatroom_id(number: u128) -> ChatroomId {
    Uuid::from_u128(0x0e00 + number).into()
}

/// A chatroom of the account and Member of the same number, opened in that second.
fn chatroom(number: u128) -> Chatroom {
    let second = i64::try_from(number).unwrap();
    Chatroom::open(
        chatroom_id(number),
        account(number),
        member(number),
        at(second),
    )
}

/// The next message of a chatroom, written by its visitor.
fn next(chatroom: &Chatroom, second: i64) -> Message {
    Message {
        id: new_id(),
        chatroom_id: chatroom.id,
        place: Place::following(chatroom.last, at(second)),
        author: Author::Account(chatroom.account_id),
        kind: MessageKind::Text,
        origin: MessageOrigin::Written,
        body: Body::Kept(text("hello").into_wire(None)),
    }
}

/// What a transaction of the service does with a row: insert it, with its event.
enum Write {
    Open(Chatroom),
    Append(Chatroom, Message),
}

async fn write(world: &World, write: Write) -> Result<(), StoreError> {
    write_to(world, &world.brand_id, write).await
}

async fn write_to(world: &World, brand_id: &BrandId, write: Write) -> Result<(), StoreError> {
    let input = (brand_id.clone(), write);
    let written = world.db().run_tx("write", input, |connection, input| {
        Box::pin(run(connection, input))
    });
    written.await
}

async fn run(
    connection: &mut Connection,
    (brand_id, write): &(BrandId, Write),
) -> Result<(), StoreError> {
    let event = match write {
        Write::Open(new) => {
            rooms::insert(connection, brand_id, new).await?;
            events::chatroom_opened(new_id(), brand_id, "", new)
        }
        Write::Append(after, new) => {
            let moved = Moved {
                before: after.clone(),
                after: after.clone(),
            };
            let batch = Batch {
                messages: vec![(brand_id.clone(), new.clone().into())],
                chatrooms: BTreeMap::from([((brand_id.clone(), after.id), moved)]),
                events: vec![events::message_sent(new_id(), brand_id, after, new)],
            };
            return appending::write(connection, &batch).await;
        }
    };
    kit::event_log::append(connection, &[event]).await
}

async fn open(world: &World, number: u128) -> Chatroom {
    let new = chatroom(number);
    write(world, Write::Open(new.clone())).await.unwrap();
    new
}

/// Appends the next message, and returns the chatroom with it.
async fn append(world: &World, chatroom: &Chatroom, second: i64) -> (Chatroom, Message) {
    let message = next(chatroom, second);
    let after = chatroom.clone().after(&message);
    let appended = write(world, Write::Append(after.clone(), message.clone())).await;
    appended.unwrap();
    (after, message)
}

fn nothing() -> Body {
    Body::Kept(MessageContent::default())
}

fn elsewhere() -> BrandId {
    brand("other-shop")
}
