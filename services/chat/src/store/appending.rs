//! The write path of messages: what must be known of many at once, and all that they change.
//!
//! It reaches over several tables, kit's directory of identity among them, because a round trip is
//! what a message costs most: on PostgreSQL a batch of any size takes two before `COMMIT`, in each
//! of which the statements travel together, and one or two alone where its chatrooms are remembered or
//! read first.
//! SQLite answers in microseconds and takes the statements that the rest of the store has.
//!
//! It decides nothing: what the facts mean is said in `app::append`.

/// Returns the text of a statement that reads chatrooms, `c`, and more.
macro_rules! chatrooms_text {
    ($more:literal) => {
        concat!(
            "SELECT c.brand_id, c.chatroom_id, c.account_id, c.member_id, c.create_time, ",
            "c.last_sequence, c.last_message_time, c.visitor_first_time, c.member_first_time, ",
            "c.visitor_read_sequence, c.visitor_unread_count, ",
            "c.member_read_sequence, c.member_unread_count, c.visitor_archived, ",
            "c.member_archived, c.visitor_blocked, c.visitor_erased ",
            $more
        )
    };
}

mod looking;
mod unmoved;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use diesel::{
    Queryable,
    sql_types::{Array, BigInt, Binary, Bool, Nullable},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::{
    block::AccountBlock,
    id::{AccountId, BrandId, ChatroomId, ImageId, MessageId},
    message::{MessageKind, MessageOrigin, Side},
};
use futures_util::try_join;
use kit::{
    db::{Connection, DbText, DbTime, DbUuid, PgText, Sql, StoreError, index_lookups},
    directory::{accounts, links, members},
    event_log,
};
use prost::Message as _;
use rapport_proto::event::v1::{Event, MemberState};
use uuid::Uuid;

pub(crate) use self::{
    looking::{Look, look},
    unmoved::write_unmoved,
};
use super::{
    chatroom_changes::{self, Change},
    chatrooms, images, member_blocks, messages, to_column,
};
use crate::model::{Body, Chatroom, Image, Message};

/// A chatroom within its Brand.
pub(crate) type Key = (BrandId, ChatroomId);

/// What is asked about one message before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Its chatroom.
    pub key: Key,
    /// The id that its sender gave it.
    pub message_id: MessageId,
    /// The image that it shows.
    pub image_id: Option<ImageId>,
    /// The account that must be known.
    pub needed: Option<AccountId>,
}

impl Question {
    /// Returns what is asked where no message is written, only whether one could be.
    pub(crate) fn of_chatroom(key: Key) -> Self {
        Self {
            key,
            message_id: MessageId::new(Uuid::nil()),
            image_id: None,
            needed: None,
        }
    }
}

/// What is known about one message before it is written, as of when its chatroom was locked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The message that was sent under its id.
    pub sent: Option<Arc<Message>>,
    /// The image that it shows, if that was uploaded into its chatroom.
    pub image: Option<Image>,
    /// Whether the chatroom's Member is deactivated.
    pub is_member_deactivated: bool,
    /// What the chatroom's Member has said about blocking the person.
    pub blocks: Vec<AccountBlock>,
    /// Whether the needed account is known.
    pub is_account_known: bool,
    /// The link revision up to which the needed account's links are known.
    pub link_revision: i64,
}

/// The chatrooms of a batch, none of which others can change before the transaction ends, and what
/// is known of each message, in the order of the questions.
pub(crate) type Known = (BTreeMap<Key, Chatroom>, Vec<Facts>);

/// All that a batch writes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The new messages.
    pub messages: Vec<(BrandId, Arc<Message>)>,
    /// Their chatrooms.
    pub chatrooms: BTreeMap<Key, Moved>,
    /// An event for each message.
    pub events: Vec<Event>,
}

/// A chatroom into which a batch writes.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// As it was.
    pub before: Chatroom,
    /// As it is with the new messages.
    pub after: Chatroom,
}

/// Locks the chatrooms, each transaction in the same order, so that two never wait for each other,
/// and then reads what is known of the messages.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn lock(
    connection: &mut Connection,
    questions: &[Question],
) -> Result<Known, StoreError> {
    let keys: BTreeSet<&Key> = questions.iter().map(|question| &question.key).collect();
    let (rooms, mut facts, may_be_blocked) = match connection {
        Connection::Postgres(c) => lock_many(c, &keys, questions).await?,
        Connection::Sqlite(_) => lock_each(connection, &keys, questions).await?,
    };
    if !may_be_blocked.is_empty() {
        let pairs: Vec<_> = rooms
            .iter()
            .filter(|(key, _)| may_be_blocked.contains(key))
            .map(|(key, room)| (&key.0, room))
            .collect();
        let blocks = member_blocks::list(connection, &pairs).await?;
        for (facts, question) in facts.iter_mut().zip(questions) {
            facts.blocks = blocks.get(&question.key).cloned().unwrap_or_default();
        }
    }
    find_images(connection, questions, &mut facts).await?;
    Ok((rooms, facts))
}

/// What is known of a batch before its rarer questions are asked: the chatrooms, the facts, and the
/// chatrooms whose Members have blocked somebody.
type Locked<'a> = (BTreeMap<Key, Chatroom>, Vec<Facts>, BTreeSet<&'a Key>);

async fn lock_each<'a>(
    connection: &mut Connection,
    keys: &BTreeSet<&'a Key>,
    questions: &[Question],
) -> Result<Locked<'a>, StoreError> {
    let mut rooms = BTreeMap::new();
    for key in keys {
        if let Some(room) = chatrooms::lock(connection, &key.0, key.1).await? {
            rooms.insert((*key).clone(), room);
        }
    }
    let mut facts = Vec::with_capacity(questions.len());
    for question in questions {
        let room = rooms.get(&question.key);
        facts.push(facts_of_one(connection, question, room).await?);
    }
    Ok((rooms, facts, keys.clone()))
}

/// Most batches show no image, and ask for none.
async fn find_images(
    connection: &mut Connection,
    questions: &[Question],
    facts: &mut [Facts],
) -> Result<(), StoreError> {
    for (facts, question) in facts.iter_mut().zip(questions) {
        if let Some(id) = question.image_id {
            let (brand_id, chatroom_id) = &question.key;
            let image = images::find(connection, brand_id, id).await?;
            facts.image = image.filter(|image| image.chatroom_id == *chatroom_id);
        }
    }
    Ok(())
}

async fn facts_of_one(
    connection: &mut Connection,
    question: &Question,
    room: Option<&Chatroom>,
) -> Result<Facts, StoreError> {
    let (brand_id, chatroom_id) = &question.key;
    let mut facts = Facts::default();
    if let Some(room) = room {
        let id = question.message_id;
        let sent = messages::find(connection, brand_id, *chatroom_id, id).await?;
        facts.sent = sent.map(Arc::new);
        let active = members::find_active(connection, brand_id, room.member_id).await?;
        facts.is_member_deactivated = active == Some(false);
    }
    if let Some(id) = question.needed {
        let account = accounts::find(connection, brand_id, id).await?;
        facts.is_account_known = account.is_some();
        facts.link_revision = links::known_revision(connection, brand_id, id).await?;
    }
    Ok(facts)
}

/// A chatroom with its Brand.
type ChatroomRow = (Sql<BrandId>, chatrooms::Row);

type ChatroomColumns = (DbText, chatrooms::Columns);

#[derive(Queryable)]
struct FactsRow {
    sent: Option<messages::Row>,
    is_member_deactivated: bool,
    may_be_blocked: bool,
    is_account_known: bool,
    link_revision: i64,
}

type FactsColumns = (messages::OptionalColumns, Bool, Bool, Bool, BigInt);

impl TryFrom<FactsRow> for Facts {
    type Error = StoreError;

    fn try_from(row: FactsRow) -> Result<Self, StoreError> {
        Ok(Self {
            sent: row.sent.map(Message::try_from).transpose()?.map(Arc::new),
            image: None,
            is_member_deactivated: row.is_member_deactivated,
            blocks: Vec::new(),
            is_account_known: row.is_account_known,
            link_revision: row.link_revision,
        })
    }
}

/// The statements travel together and run one after the other, in the order in which they are
/// polled here. Those after the locking one take snapshots of their own once it has its locks, so they
/// see whatever those who held them before have committed.
async fn lock_many<'a>(
    connection: &AsyncPgConnection,
    keys: &BTreeSet<&Key>,
    questions: &'a [Question],
) -> Result<Locked<'a>, StoreError> {
    let (mut first, mut second, mut third) = (connection, connection, connection);
    let (_, rooms, rows) = try_join!(
        index_lookups().execute(&mut first),
        locking(keys).load::<ChatroomRow>(&mut second),
        asking(questions).load::<FactsRow>(&mut third),
    )?;
    let may_be_blocked = questions
        .iter()
        .zip(&rows)
        .filter(|(_, row)| row.may_be_blocked)
        .map(|(question, _)| &question.key)
        .collect();
    let facts: Result<Vec<Facts>, StoreError> = rows.into_iter().map(Facts::try_from).collect();
    Ok((by_key(rooms)?, facts?, may_be_blocked))
}

fn locking(keys: &BTreeSet<&Key>) -> PgText<'static, ChatroomColumns> {
    let brand_ids: Vec<_> = keys.iter().map(|key| Sql(key.0.clone())).collect();
    let ids: Vec<_> = keys.iter().map(|key| Sql(key.1)).collect();
    PgText::new(chatrooms_text!(
        "FROM unnest(?, ?) AS k (brand_id, chatroom_id) \
         JOIN chatroom c ON c.brand_id = k.brand_id AND c.chatroom_id = k.chatroom_id \
         ORDER BY c.brand_id, c.chatroom_id FOR UPDATE OF c"
    ))
    .bind::<Array<DbText>, _>(brand_ids)
    .bind::<Array<DbUuid>, _>(ids)
}

fn by_key(rows: Vec<ChatroomRow>) -> Result<BTreeMap<Key, Chatroom>, StoreError> {
    let rooms = rows.into_iter().map(|(brand_id, row)| {
        let room = Chatroom::try_from(row)?;
        Ok(((brand_id.0, room.id), room))
    });
    rooms.collect()
}

/// The message is looked for as the first from its id on: of the two indexes that begin with the
/// chatroom only one gives that order, so the planner takes it also while the table is empty.
fn asking(questions: &[Question]) -> PgText<'static, FactsColumns> {
    let keys = || questions.iter().map(|question| &question.key);
    let brand_ids: Vec<_> = keys().map(|key| Sql(key.0.clone())).collect();
    let chatroom_ids: Vec<_> = keys().map(|key| Sql(key.1)).collect();
    let ids: Vec<_> = questions
        .iter()
        .map(|question| Sql(question.message_id))
        .collect();
    let needed: Vec<_> = questions
        .iter()
        .map(|question| question.needed.map(Sql))
        .collect();
    PgText::new(
        "SELECT m.chatroom_id, m.sequence, m.message_id, m.message_time, m.side, m.author_id, \
         m.kind, m.origin, m.content, m.erase_time, \
         coalesce(a.state = ?, false), \
         EXISTS (SELECT FROM member_block b \
         WHERE b.brand_id = c.brand_id AND b.member_id = c.member_id), \
         n.account_id IS NOT NULL, coalesce(p.link_revision, 0) \
         FROM unnest(?, ?, ?, ?) WITH ORDINALITY \
         AS q (brand_id, chatroom_id, message_id, needed_id, number) \
         LEFT JOIN LATERAL (SELECT * FROM message e WHERE e.brand_id = q.brand_id \
         AND e.chatroom_id = q.chatroom_id AND e.message_id >= q.message_id \
         ORDER BY e.message_id LIMIT 1) m ON m.message_id = q.message_id \
         LEFT JOIN chatroom c ON c.brand_id = q.brand_id AND c.chatroom_id = q.chatroom_id \
         LEFT JOIN member a ON a.brand_id = c.brand_id AND a.member_id = c.member_id \
         LEFT JOIN account n ON n.brand_id = q.brand_id AND n.account_id = q.needed_id \
         LEFT JOIN person p ON p.brand_id = q.brand_id AND p.client_account_id = q.needed_id \
         ORDER BY q.number",
    )
    .bind::<DbText, _>(Sql(MemberState::Deactivated.as_str_name()))
    .bind::<Array<DbText>, _>(brand_ids)
    .bind::<Array<DbUuid>, _>(chatroom_ids)
    .bind::<Array<DbUuid>, _>(ids)
    .bind::<Array<Nullable<DbUuid>>, _>(needed)
}

impl Batch {
    /// What is told to those who watch.
    fn changes(&self) -> Vec<Change> {
        let change = |(brand_id, message): &(BrandId, Arc<Message>)| {
            let key = (brand_id.clone(), message.chatroom_id);
            let (sequence, time) = (message.place.sequence, message.place.message_time);
            let chatroom = &self.chatrooms.get(&key)?.after;
            Some(Change::of_message(brand_id, chatroom, sequence, time))
        };
        self.messages.iter().filter_map(change).collect()
    }
}

/// Writes the messages of a batch with their events and changes, and moves their chatrooms.
///
/// # Errors
///
/// What the database fails with; the caller has locked the chatrooms.
pub(crate) async fn write(connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    match connection {
        Connection::Postgres(c) => {
            let mut first: &AsyncPgConnection = c;
            let (mut second, mut third) = (first, first);
            try_join!(
                insertion(batch).execute(&mut first),
                event_log::insertion(&batch.events)?.execute(&mut second),
                chatroom_changes::insertion(&batch.changes()).execute(&mut third)
            )?;
        }
        Connection::Sqlite(_) => {
            for (brand_id, message) in &batch.messages {
                messages::insert(connection, brand_id, message).await?;
            }
            for ((brand_id, _), moved) in &batch.chatrooms {
                chatrooms::update_last(connection, brand_id, &moved.after).await?;
            }
            event_log::append(connection, &batch.events).await?;
            chatroom_changes::append(connection, &batch.changes()).await?;
        }
    }
    Ok(())
}

/// The columns of the new messages, an array for each.
#[derive(Default)]
struct Columns {
    brand_ids: Vec<Sql<BrandId>>,
    chatroom_ids: Vec<Sql<ChatroomId>>,
    sequences: Vec<i64>,
    ids: Vec<Sql<MessageId>>,
    times: Vec<Sql<DateTime<Utc>>>,
    sides: Vec<Sql<Side>>,
    author_ids: Vec<Sql<Uuid>>,
    kinds: Vec<Sql<MessageKind>>,
    origins: Vec<Sql<MessageOrigin>>,
    contents: Vec<Option<Vec<u8>>>,
    erase_times: Vec<Option<Sql<DateTime<Utc>>>>,
}

impl Columns {
    fn push(&mut self, brand_id: &BrandId, message: &Message) {
        let (content, erase_time) = match &message.body {
            Body::Kept(content) => (Some(content.encode_to_vec()), None),
            Body::Erased(time) => (None, Some(Sql(*time))),
        };
        self.brand_ids.push(Sql(brand_id.clone()));
        self.chatroom_ids.push(Sql(message.chatroom_id));
        self.sequences.push(to_column(message.place.sequence));
        self.ids.push(Sql(message.id));
        self.times.push(Sql(message.place.message_time));
        self.sides.push(Sql(message.author.side()));
        self.author_ids.push(Sql(message.author.id()));
        self.kinds.push(Sql(message.kind));
        self.origins.push(Sql(message.origin));
        self.contents.push(content);
        self.erase_times.push(erase_time);
    }
}

/// A message takes its chatroom's id from the chatroom: where there is none it is null, and refused.
fn insertion(batch: &Batch) -> PgText<'static> {
    let mut new = Columns::default();
    for (brand_id, message) in &batch.messages {
        new.push(brand_id, message);
    }
    let text = PgText::new(
        "WITH inserted AS (INSERT INTO message (brand_id, chatroom_id, sequence, message_id, \
         message_time, side, author_id, kind, origin, content, erase_time, transaction_id) \
         SELECT n.brand_id, c.chatroom_id, sequence, message_id, message_time, side, author_id, \
         kind, origin, content, erase_time, (SELECT pg_current_xact_id()::text::bigint) \
         FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS n (brand_id, chatroom_id, sequence, \
         message_id, message_time, side, author_id, kind, origin, content, erase_time) \
         LEFT JOIN chatroom c ON c.brand_id = n.brand_id AND c.chatroom_id = n.chatroom_id) \
         UPDATE chatroom SET last_sequence = a.last_sequence, \
         last_message_time = a.last_message_time, \
         last_transaction_id = (SELECT pg_current_xact_id()::text::bigint), \
         visitor_first_time = a.visitor_first_time, member_first_time = a.member_first_time, \
         visitor_unread_count = a.visitor_unread_count, \
         member_unread_count = a.member_unread_count \
         FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) AS a (brand_id, chatroom_id, last_sequence, \
         last_message_time, visitor_first_time, member_first_time, visitor_unread_count, \
         member_unread_count) \
         WHERE chatroom.brand_id = a.brand_id AND chatroom.chatroom_id = a.chatroom_id",
    )
    .bind::<Array<DbText>, _>(new.brand_ids)
    .bind::<Array<DbUuid>, _>(new.chatroom_ids)
    .bind::<Array<BigInt>, _>(new.sequences)
    .bind::<Array<DbUuid>, _>(new.ids)
    .bind::<Array<DbTime>, _>(new.times)
    .bind::<Array<DbText>, _>(new.sides)
    .bind::<Array<DbUuid>, _>(new.author_ids)
    .bind::<Array<DbText>, _>(new.kinds)
    .bind::<Array<DbText>, _>(new.origins)
    .bind::<Array<Nullable<Binary>>, _>(new.contents)
    .bind::<Array<Nullable<DbTime>>, _>(new.erase_times);
    let moved = &batch.chatrooms;
    let rooms = || moved.values().map(|moved| &moved.after);
    let each = |value: fn(&Chatroom) -> i64| rooms().map(value).collect::<Vec<i64>>();
    let time = |value: fn(&Chatroom) -> Option<DateTime<Utc>>| {
        let times = rooms().map(|room| value(room).map(Sql));
        times.collect::<Vec<Option<Sql<DateTime<Utc>>>>>()
    };
    let brand_ids: Vec<_> = moved.keys().map(|key| Sql(key.0.clone())).collect();
    let ids: Vec<_> = moved.keys().map(|key| Sql(key.1)).collect();
    text.bind::<Array<DbText>, _>(brand_ids)
        .bind::<Array<DbUuid>, _>(ids)
        .bind::<Array<BigInt>, _>(each(|room| to_column(room.last_sequence())))
        .bind::<Array<Nullable<DbTime>>, _>(time(|room| room.last.map(|last| last.message_time)))
        .bind::<Array<Nullable<DbTime>>, _>(time(|room| room.visitor_first_time))
        .bind::<Array<Nullable<DbTime>>, _>(time(|room| room.member_first_time))
        .bind::<Array<BigInt>, _>(each(|room| to_column(room.visitor_marker.unread_count)))
        .bind::<Array<BigInt>, _>(each(|room| to_column(room.member_marker.unread_count)))
}
