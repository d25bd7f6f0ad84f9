//! What identity and chat say happened, kept as facts, each with a mark on what it touches.
//!
//! | event             | is kept as                    | touches the orders of                            |
//! |-------------------|-------------------------------|--------------------------------------------------|
//! | account, erasure  | the directory's account       | the account's person, under all its keys         |
//! | link              | the directory's link          | both ends' persons                               |
//! | Member            | the directory's Member        | the customer ids that are or were his own        |
//! | Brand             | its longest window            | nobody                                           |
//! | chatroom opened   | a chatroom                    | its visitor account's person                     |
//! | message sent      | a message, and its chatroom   | the same, if it is evidence, placed after it     |
//!
//! Both functions run in the transaction that moves the cursor. They mark whether or not the fact was
//! known: a repetition costs an evaluation that changes nothing, and a fact that came another way
//! first (`directory::refresh`) is marked when its event comes.
//!
//! Source: SPEC 42, 49 to 53.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    evidence::MessageFact,
    id::BrandId,
    message::{MessageKind, MessageOrigin, Side},
};
use futures_util::future::BoxFuture;
use kit::{
    access,
    db::{Connection, StoreError},
    directory::{self, members},
    event_log::Batch,
};
use rapport_proto::event::v1::{
    self as wire, BrandChanged, ChatroomOpened, Event, MemberChanged, MessageSent, event::Payload,
};

use crate::{
    convert,
    store::{
        account_erasures::{self, AppliedErasure},
        brands,
        chatrooms::{self, Chatroom},
        dirty_marks::{self, NewMark, Subject},
        messages::{self, Message},
    },
};

/// The marks of a batch. Several facts about one subject need one mark, from the earliest instant.
#[derive(Debug, Default)]
struct Marks {
    marks: BTreeMap<(BrandId, Subject), NewMark>,
    /// Of the event that is being kept.
    trace_parent: String,
}

impl Marks {
    fn add(&mut self, brand_id: &BrandId, mark: NewMark) {
        let key = (brand_id.clone(), mark.subject.clone());
        let mark = NewMark {
            trace_parent: self.trace_parent.clone(),
            ..mark
        };
        self.marks
            .entry(key)
            // `None` stands for all times, and is the smaller.
            .and_modify(|known| known.from_time = mark.from_time.min(known.from_time))
            .or_insert(mark);
    }

    async fn write(self, connection: &mut Connection) -> Result<(), StoreError> {
        let marks = self.marks.into_iter();
        let marks = marks.map(|((brand_id, _), mark)| (brand_id, mark));
        dirty_marks::insert_all(connection, &marks.collect::<Vec<_>>()).await
    }
}

/// Keeps what identity says. A [`kit::consumer::Apply`].
pub(crate) fn apply_identity<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    now: DateTime<Utc>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        let mut marks = Marks::default();
        for event in &batch.events {
            let brand_id = brand_of(event)?;
            marks.trace_parent.clone_from(&event.trace_parent);
            match &event.payload {
                Some(Payload::AccountChanged(state)) => {
                    let account = read("account_id", &state.account_id)?;
                    marks.add(&brand_id, NewMark::new(Subject::Account(account)));
                }
                Some(Payload::AccountErased(erased)) => {
                    let account_id = read("account_id", &erased.account_id)?;
                    marks.add(&brand_id, NewMark::new(Subject::Account(account_id)));
                    let applied = AppliedErasure {
                        account_id,
                        erasure_id: read("erasure_id", &erased.erasure_id)?,
                        apply_time: now,
                    };
                    account_erasures::keep(connection, &brand_id, applied).await?;
                }
                Some(Payload::LinkChanged(state)) => {
                    // Whoever looks at the one end finds the other by the link itself.
                    let temporary = read("temporary_account_id", &state.temporary_account_id)?;
                    marks.add(&brand_id, NewMark::new(Subject::Account(temporary)));
                }
                Some(Payload::MemberChanged(state)) => {
                    mark_own_customers(connection, &mut marks, &brand_id, state).await?;
                }
                Some(Payload::BrandChanged(state)) => {
                    keep_brand(connection, &brand_id, state).await?;
                }
                _ => {}
            }
            // One by one, so that a Member's customer ids are read as of before his own change.
            directory::apply(connection, std::slice::from_ref(event)).await?;
        }
        access::keep_revocations(connection, &batch.events).await?;
        marks.write(connection).await
    })
}

/// Keeps what chat says. A [`kit::consumer::Apply`].
pub(crate) fn apply_chat<'a>(
    connection: &'a mut Connection,
    batch: &'a Batch,
    _now: DateTime<Utc>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        let mut told = Told::default();
        for event in &batch.events {
            let brand_id = brand_of(event)?;
            told.marks.trace_parent.clone_from(&event.trace_parent);
            match &event.payload {
                Some(Payload::ChatroomOpened(opened)) => told.add_chatroom(&brand_id, opened)?,
                Some(Payload::MessageSent(sent)) => told.add_message(&brand_id, sent)?,
                _ => {}
            }
        }
        chatrooms::keep_all(connection, &told.chatrooms).await?;
        messages::keep_all(connection, &told.messages).await?;
        told.marks.write(connection).await
    })
}

/// What chat says in a batch.
#[derive(Default)]
struct Told {
    chatrooms: BTreeSet<(BrandId, Chatroom)>,
    messages: Vec<Message>,
    marks: Marks,
}

impl Told {
    /// An empty chatroom changes what is said of orders of any time: that there is one.
    fn add_chatroom(
        &mut self,
        brand_id: &BrandId,
        opened: &ChatroomOpened,
    ) -> Result<(), StoreError> {
        let chatroom = Chatroom {
            chatroom_id: read("chatroom_id", &opened.chatroom_id)?,
            account_id: read("account_id", &opened.account_id)?,
            member_id: read("member_id", &opened.member_id)?,
        };
        self.chatrooms.insert((brand_id.clone(), chatroom));
        let subject = Subject::Account(chatroom.account_id);
        self.marks.add(brand_id, NewMark::new(subject));
        Ok(())
    }

    /// A message counts for orders placed after it alone (SPEC 38), so one that is told of at once, as
    /// nearly all are, touches no order there is.
    fn add_message(&mut self, brand_id: &BrandId, sent: &MessageSent) -> Result<(), StoreError> {
        let chatroom = Chatroom {
            chatroom_id: read("chatroom_id", &sent.chatroom_id)?,
            account_id: read("account_id", &sent.account_id)?,
            member_id: read("member_id", &sent.member_id)?,
        };
        let message = Message {
            brand_id: brand_id.clone(),
            chatroom_id: chatroom.chatroom_id,
            id: read("message_id", &sent.message_id)?,
            fact: message_fact(sent)?,
        };
        // The message may have come before its chatroom; it says all there is to know of it.
        self.chatrooms.insert((brand_id.clone(), chatroom));
        if message.is_evidence() {
            let subject = Subject::Account(chatroom.account_id);
            let mark = NewMark::from(subject, message.fact.message_time);
            self.marks.add(brand_id, mark);
        }
        self.messages.push(message);
        Ok(())
    }
}

/// Marks the customer ids that were the Member's own, and those that are from now on.
async fn mark_own_customers(
    connection: &mut Connection,
    marks: &mut Marks,
    brand_id: &BrandId,
    state: &MemberChanged,
) -> Result<(), StoreError> {
    let member_id = read("member_id", &state.member_id)?;
    for own in members::own_customers(connection, brand_id, member_id).await? {
        let subject = Subject::Customer(own.customer_id);
        marks.add(brand_id, NewMark::from(subject, own.from_time));
    }
    for own in &state.own_customer_ids {
        let subject = Subject::Customer(read("customer_id", &own.customer_id)?);
        let from_time = instant("from_time", own.from_time.as_ref())?;
        marks.add(brand_id, NewMark::from(subject, from_time));
    }
    Ok(())
}

async fn keep_brand(
    connection: &mut Connection,
    brand_id: &BrandId,
    state: &BrandChanged,
) -> Result<(), StoreError> {
    let limit = state
        .attribution_window_limit
        .as_ref()
        .and_then(convert::span)
        .filter(|limit| *limit > TimeDelta::zero());
    brands::keep(connection, brand_id, state.revision, limit).await
}

fn message_fact(sent: &MessageSent) -> Result<MessageFact, StoreError> {
    let corrupt = |what| StoreError::Corrupt { what };
    let side = match sent.side() {
        wire::Side::Visitor => Side::Visitor,
        wire::Side::Member => Side::Member,
        wire::Side::Service => Side::Service,
        wire::Side::Unspecified => return Err(corrupt("side")),
    };
    let kind = match sent.kind() {
        wire::MessageKind::Text => MessageKind::Text,
        wire::MessageKind::Image => MessageKind::Image,
        wire::MessageKind::Product => MessageKind::Product,
        wire::MessageKind::Video => MessageKind::Video,
        wire::MessageKind::Email => MessageKind::Email,
        wire::MessageKind::Connection => MessageKind::Connection,
        wire::MessageKind::Request => MessageKind::Request,
        wire::MessageKind::Unavailable => MessageKind::Unavailable,
        wire::MessageKind::Missed => MessageKind::Missed,
        wire::MessageKind::Rating => MessageKind::Rating,
        wire::MessageKind::Unspecified => return Err(corrupt("kind")),
    };
    let origin = match sent.origin() {
        wire::MessageOrigin::Written => MessageOrigin::Written,
        wire::MessageOrigin::Automatic => MessageOrigin::Automatic,
        wire::MessageOrigin::Phygital => MessageOrigin::Phygital,
        wire::MessageOrigin::Unspecified => return Err(corrupt("origin")),
    };
    Ok(MessageFact {
        message_time: instant("message_time", sent.message_time.as_ref())?,
        side,
        kind,
        origin,
    })
}

fn brand_of(event: &Event) -> Result<BrandId, StoreError> {
    read("event.brand_id", &event.brand_id)
}

/// Returns a value that the contract promises to be well formed.
fn read<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt { what })
}

/// Returns an instant that the contract promises to be there.
fn instant(
    what: &'static str,
    timestamp: Option<&prost_types::Timestamp>,
) -> Result<DateTime<Utc>, StoreError> {
    timestamp
        .and_then(kit::convert::instant)
        .ok_or(StoreError::Corrupt { what })
}
