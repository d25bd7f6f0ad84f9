//! What becomes of drafts: each is refused, or gets its place in its chatroom.
//!
//! Any number of drafts are decided and written as one transaction, one after the other, each as if
//! the ones before it had been committed: a batch does what its drafts alone would do. A refusal is
//! an answer and fails nobody else.
//!
//! | in this order                                                    | answer              |
//! |------------------------------------------------------------------|---------------------|
//! | a sign-in that the caller has made is not known here (SPEC 54)   | behind              |
//! | there is no such chatroom, or he does not see it (SPEC 21, 32)   | chatroom not found  |
//! | a message was sent there under this id (SPEC 29)                 | that one, if the same; else message id reused |
//! | the chatroom's visitor is erased (SPEC 55)                       | account erased      |
//! | its Member is deactivated                                        | Member deactivated  |
//! | one side has blocked the other, and one of them writes (SPEC 30) | chatroom blocked    |
//! | it shows an image that was not uploaded there (SPEC 31)          | image not found     |
//! | otherwise                                                        | the new message     |
//!
//! A service that writes as itself stands on neither side, and no block is against it.
//!
//! A participant of whom no event has arrived yet is neither erased nor deactivated.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use domain::{
    block,
    id::{AccountId, BrandId, EventId, MessageId},
    message::{MessageKind, Place, Side},
    person::Links,
};
use kit::{db::Connection, directory::links};
use rapport_proto::event::v1::Event;

use super::{Caller, Party, SendMessage, seen};
use crate::{
    error::ChatError,
    events,
    model::{Body, Chatroom, Image, Message},
    store::appending::{self, Batch, Facts, Key, Moved, Question},
};

/// A message as its sender wants it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Who sends it; the kind of message is one that he may send.
    pub caller: Caller,
    /// What, and where.
    pub command: SendMessage,
    /// The id of its event.
    pub event_id: EventId,
    /// When it was sent.
    pub now: DateTime<Utc>,
    /// The trace in which it was sent, if it is kept.
    pub trace_parent: String,
}

/// What became of a draft that was not refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Appended {
    /// It is this message, now or since an earlier call.
    Message(Arc<Message>),
    /// Nothing was decided: identity has to be asked first.
    Behind,
}

/// An answer for each draft, and the chatrooms that moved.
pub(super) type Written = (Vec<Result<Appended, ChatError>>, BTreeMap<Key, Moved>);

impl Draft {
    pub(super) fn key(&self) -> Key {
        (self.caller.brand_id.clone(), self.command.chatroom_id)
    }

    fn question(&self) -> Question {
        Question {
            key: self.key(),
            message_id: self.command.message_id,
            image_id: self.command.content.image_id(),
            needed: self.caller.needed.map(|needed| needed.account_id),
        }
    }

    /// Returns the message as it stands when it is the next one of `chatroom`.
    fn message(&self, chatroom: &Chatroom, image: Option<Image>) -> Message {
        let command = &self.command;
        Message {
            id: command.message_id,
            chatroom_id: chatroom.id,
            place: Place::following(chatroom.last, self.now),
            author: self.caller.party.author(),
            kind: command.content.kind(),
            origin: command.origin,
            body: Body::Kept(command.content.clone().into_wire(image.map(Into::into))),
        }
    }

    /// Returns whether all is known here that its caller has been told by identity (SPEC 54).
    fn is_met_by(&self, facts: &Facts) -> bool {
        self.caller.needed.is_none_or(|needed| {
            facts.is_account_known && facts.link_revision >= needed.link_revision
        })
    }
}

/// Decides and writes drafts, and answers each, in their order; returns also the chatrooms that moved.
///
/// # Errors
///
/// What the database fails with; then none of them is written.
pub(super) async fn append(
    connection: &mut Connection,
    drafts: &[Arc<Draft>],
) -> Result<Written, ChatError> {
    let questions: Vec<Question> = drafts.iter().map(|draft| draft.question()).collect();
    let (rooms, facts) = appending::lock(connection, &questions).await?;
    let links = links_between(connection, drafts, &rooms).await?;
    let mut desk = Desk {
        rooms,
        links,
        ..Desk::default()
    };
    let answers = drafts
        .iter()
        .zip(facts)
        .map(|(draft, facts)| desk.take(draft, facts))
        .collect();
    if !desk.batch.messages.is_empty() {
        appending::write(connection, &desk.batch).await?;
    }
    Ok((answers, desk.batch.chatrooms))
}

/// Returns the links that decide whether a person sees another account's chatroom; most batches are
/// about own ones and ask for none.
async fn links_between(
    connection: &mut Connection,
    drafts: &[Arc<Draft>],
    rooms: &BTreeMap<Key, Chatroom>,
) -> Result<BTreeMap<BrandId, Links>, ChatError> {
    let mut accounts: BTreeMap<BrandId, Vec<AccountId>> = BTreeMap::new();
    for draft in drafts {
        let room = rooms.get(&draft.key());
        if let Some(ends) =
            room.and_then(|room| seen::foreign_ends(draft.caller.party, room.account_id))
        {
            let brand_id = draft.caller.brand_id.clone();
            accounts.entry(brand_id).or_default().extend(ends);
        }
    }
    let mut links = BTreeMap::new();
    for (brand_id, accounts) in accounts {
        let found = links::list_by_temporaries(connection, &brand_id, &accounts).await?;
        links.insert(brand_id, found);
    }
    Ok(links)
}

/// Where drafts are decided one after the other.
#[derive(Default)]
pub(super) struct Desk {
    /// The chatrooms as they stand after the drafts so far.
    rooms: BTreeMap<Key, Chatroom>,
    links: BTreeMap<BrandId, Links>,
    /// What the drafts so far have become.
    sent: HashMap<(Key, MessageId), Arc<Message>>,
    batch: Batch,
}

impl Desk {
    /// Takes a chatroom to be as it is said to be, unless it is known already.
    pub(super) fn know(&mut self, key: &Key, chatroom: &Chatroom) {
        if !self.rooms.contains_key(key) {
            self.rooms.insert(key.clone(), chatroom.clone());
        }
    }

    /// Decides the next draft.
    ///
    /// # Errors
    ///
    /// Its refusal.
    pub(super) fn take(&mut self, draft: &Draft, facts: Facts) -> Result<Appended, ChatError> {
        if !draft.is_met_by(&facts) {
            return Ok(Appended::Behind);
        }
        let (key, brand_id) = (draft.key(), &draft.caller.brand_id);
        let nobody = Links::default();
        let links = self.links.get(brand_id).unwrap_or(&nobody);
        let chatroom = self
            .rooms
            .get(&key)
            .filter(|room| seen::sees_through(links, draft.caller.party, room))
            .ok_or(ChatError::ChatroomNotFound { chatroom_id: key.1 })?;
        let message = draft.message(chatroom, facts.image.clone());
        let place = (key, message.id);
        let first = self.sent.get(&place).or(facts.sent.as_ref());
        if let Some(first) = first {
            return repeated(first, &message).map(Appended::Message);
        }
        refuse_unwritable(chatroom, &facts, draft.caller.party)?;
        if message.kind == MessageKind::Image && facts.image.is_none() {
            return Err(ChatError::ImageNotFound);
        }
        let (before, message) = (chatroom.clone(), Arc::new(message));
        let after = before.clone().after(&message);
        self.batch.events.push(Event {
            trace_parent: draft.trace_parent.clone(),
            ..events::message_sent(draft.event_id, brand_id, &after, &message)
        });
        self.batch
            .messages
            .push((brand_id.clone(), Arc::clone(&message)));
        self.rooms.insert(place.0.clone(), after.clone());
        match self.batch.chatrooms.entry(place.0.clone()) {
            Entry::Occupied(mut moved) => moved.get_mut().after = after,
            Entry::Vacant(moved) => {
                moved.insert(Moved { before, after });
            }
        }
        self.sent.insert(place, Arc::clone(&message));
        Ok(Appended::Message(message))
    }

    /// Returns what the drafts that were not refused change.
    pub(super) fn into_batch(self) -> Batch {
        self.batch
    }
}

/// Returns the first message of that id, if `again` is the same but for its place.
///
/// What has been erased since cannot be compared any more: then author, kind and origin decide. So
/// they do for a rating, which says nothing when it is asked, and may have been answered since.
fn repeated(first: &Arc<Message>, again: &Message) -> Result<Arc<Message>, ChatError> {
    let same_body = match (&first.body, &again.body) {
        _ if again.kind == MessageKind::Rating => true,
        (Body::Kept(first), Body::Kept(again)) => first == again,
        (Body::Erased(_), _) | (_, Body::Erased(_)) => true,
    };
    let same = same_body
        && (first.author, first.kind, first.origin) == (again.author, again.kind, again.origin);
    if same {
        Ok(Arc::clone(first))
    } else {
        Err(ChatError::MessageIdReused {
            message_id: first.id,
        })
    }
}

/// Refuses a chatroom whose visitor is erased, whose Member is deactivated, or in which one side has
/// blocked the other.
pub(super) fn refuse_unwritable(
    chatroom: &Chatroom,
    facts: &Facts,
    party: Party,
) -> Result<(), ChatError> {
    let Chatroom {
        account_id,
        member_id,
        ..
    } = *chatroom;
    if chatroom.visitor_erased {
        return Err(ChatError::AccountErased { account_id });
    }
    if facts.is_member_deactivated {
        return Err(ChatError::MemberDeactivated { member_id });
    }
    let is_blocked = chatroom.visitor_blocked || block::is_blocked(&facts.blocks);
    if is_blocked && party.side() != Side::Service {
        let chatroom_id = chatroom.id;
        return Err(ChatError::ChatroomBlocked { chatroom_id });
    }
    Ok(())
}
