//! From rows of the log to what watchers are told: what changed is read as it is now, in few
//! queries, and who may see it is decided by the links as they are now.
//!
//! That decides the race of a message with the revocation of the link through which somebody sees its
//! chatroom (SPEC 21, 33). A row is read after its transaction has committed, and the links after
//! that. So a message that was committed behind the revocation is told to nobody through the link,
//! in whatever order the log has the two. What was told before and still waits is dropped when the
//! revocation's own row is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use domain::{
    id::{AccountId, BrandId, ChatroomId, MemberId},
    message::Side,
    person::Links,
};
use kit::{
    db::{Connection, Db},
    directory::links,
};

use super::{
    live::Live,
    seat::{QUEUE_LENGTH, Seat, Update},
};
use crate::{
    app::{ChatroomView, Party, seen, view},
    error::ChatError,
    model::{Chatroom, Message},
    store::{
        chatroom_changes::{Ends, Row, RowKey, Subject},
        chatrooms, messages,
    },
};

/// How many accounts are asked about at a time.
const ACCOUNTS: usize = 200;

/// Who is told.
#[derive(Clone, Copy)]
pub(super) enum Audience<'a> {
    /// All who watch.
    All(&'a Live),
    /// One who begins, and sees these accounts' chatrooms.
    One(&'a Arc<Seat>, &'a BTreeSet<AccountId>),
}

/// A row about one chatroom, and who may be told of it.
pub(super) struct Telling {
    key: RowKey,
    subject: Subject,
    ends: Ends,
    seats: Vec<Arc<Seat>>,
}

impl Audience<'_> {
    fn of_account(self, brand_id: &BrandId, account_id: AccountId) -> Vec<Arc<Seat>> {
        match self {
            Self::All(live) => live.of_account(brand_id, account_id),
            Self::One(seat, accounts) if accounts.contains(&account_id) => vec![Arc::clone(seat)],
            Self::One(..) => Vec::new(),
        }
    }

    fn of_member(self, brand_id: &BrandId, member_id: MemberId) -> Vec<Arc<Seat>> {
        match self {
            Self::All(live) => live.of_member(brand_id, member_id),
            Self::One(seat, _) if seat.party == Party::Member(member_id) => vec![Arc::clone(seat)],
            Self::One(..) => Vec::new(),
        }
    }

    fn has_members(self, brand_id: &BrandId) -> bool {
        match self {
            Self::All(live) => live.has_members(brand_id),
            Self::One(seat, _) => matches!(seat.party, Party::Member(_)),
        }
    }

    fn accounts(self, brand_id: &BrandId) -> Vec<AccountId> {
        match self {
            Self::All(live) => live.accounts(brand_id),
            Self::One(_, accounts) => accounts.iter().copied().collect(),
        }
    }
}

/// Tells of messages and chatrooms of a Brand.
pub(super) async fn tell(
    db: &Db,
    brand_id: &BrandId,
    tellings: Vec<Telling>,
) -> Result<(), ChatError> {
    if tellings.is_empty() {
        return Ok(());
    }
    let mut connection = db.read().await?;
    let tellings = newest(tellings);
    let contents = Contents::load(&mut connection, brand_id, &tellings).await?;
    let links = links_of(&mut connection, brand_id, &tellings).await?;
    for telling in tellings {
        let between = (telling.ends.account_id, telling.ends.member_id);
        for seat in &telling.seats {
            if seen::sees_between(&links, seat.party, between)
                && let Some(update) = contents.of(telling.subject, seat.party.side())
            {
                seat.push(telling.key, update);
            }
        }
    }
    Ok(())
}

/// Tells of persons and Members of a Brand, in rows that follow each other.
pub(super) async fn tell_wide(
    db: &Db,
    audience: Audience<'_>,
    brand_id: &BrandId,
    rows: &[Row],
) -> Result<(), ChatError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    // One row comes to many updates; who breaks off between them is told all of them again.
    let key = first.key.before();
    let (mut tellings, mut told) = (Vec::new(), BTreeMap::new());
    {
        let mut connection = db.read().await?;
        let c = &mut connection;
        for row in rows {
            match row.subject {
                Subject::Person(id) => {
                    for seat in audience.of_account(brand_id, id) {
                        told.insert(seat.number, seat);
                    }
                    tellings.extend(with_person(c, audience, brand_id, id, key).await?);
                }
                Subject::Member(id) => {
                    tellings.extend(with_member(c, audience, brand_id, id, key).await?);
                }
                Subject::Message(..) | Subject::Chatroom(_) | Subject::View(..) => {}
            }
        }
        for seat in told.values() {
            tellings.extend(anew(c, audience, seat, key).await?);
        }
    }
    let seats = tellings.iter().flat_map(|telling| &telling.seats);
    told.extend(seats.map(|seat| (seat.number, Arc::clone(seat))));
    tell(db, brand_id, tellings).await?;
    for seat in told.values() {
        seat.push(last.key, Update::Nothing);
    }
    Ok(())
}

/// Returns what Members are told whose visitor is another person now, or may not write any more.
async fn with_person(
    connection: &mut Connection,
    audience: Audience<'_>,
    brand_id: &BrandId,
    account_id: AccountId,
    key: RowKey,
) -> Result<Vec<Telling>, ChatError> {
    if !audience.has_members(brand_id) {
        return Ok(Vec::new());
    }
    let rooms = chatrooms::list_by_accounts(connection, brand_id, &[account_id]).await?;
    let telling =
        |room: &Chatroom| Telling::of(key, room, audience.of_member(brand_id, room.member_id));
    Ok(rooms.iter().map(telling).collect())
}

/// Returns what visitors are told whose Member answers no more, or again, and he himself.
async fn with_member(
    connection: &mut Connection,
    audience: Audience<'_>,
    brand_id: &BrandId,
    member_id: MemberId,
    key: RowKey,
) -> Result<Vec<Telling>, ChatError> {
    let mut tellings = Vec::new();
    let own = audience.of_member(brand_id, member_id);
    if !own.is_empty() {
        // All of his chatrooms have changed. Were they more than may wait for him, he would resume,
        // and begin with a snapshot.
        let limit = i64::try_from(QUEUE_LENGTH + 1).unwrap_or(i64::MAX);
        let rooms = chatrooms::list_by_member(connection, brand_id, member_id, limit).await?;
        tellings.extend(rooms.iter().map(|room| Telling::of(key, room, own.clone())));
    }
    for accounts in audience.accounts(brand_id).chunks(ACCOUNTS) {
        let rooms = chatrooms::list_by_pair(connection, brand_id, accounts, member_id).await?;
        tellings.extend(rooms.iter().map(|room| {
            let seats = audience.of_account(brand_id, room.account_id);
            Telling::of(key, room, seats)
        }));
    }
    Ok(tellings)
}

/// Returns all that a visitor sees, after his person has changed, and takes from him what he sees no
/// more.
async fn anew(
    connection: &mut Connection,
    audience: Audience<'_>,
    seat: &Arc<Seat>,
    key: RowKey,
) -> Result<Vec<Telling>, ChatError> {
    let brand_id = &seat.brand_id;
    let (seen, lost) = seen::reach(connection, brand_id, seat.party).await?;
    if let Audience::All(live) = audience {
        live.reseat(seat, &seen);
    }
    let lost: Vec<AccountId> = lost.into_iter().collect();
    let hidden = chatrooms::list_by_accounts(connection, brand_id, &lost).await?;
    seat.hide(key, &hidden.iter().map(|room| room.id).collect());
    let seen: Vec<AccountId> = seen.into_iter().collect();
    let rooms = chatrooms::list_by_accounts(connection, brand_id, &seen).await?;
    let telling = |room| Telling::of(key, room, vec![Arc::clone(seat)]);
    Ok(rooms.iter().map(telling).collect())
}

impl Telling {
    /// Returns what a row tells; `None` where it is not of one chatroom.
    pub(super) fn of_row(row: &Row, seats: Vec<Arc<Seat>>) -> Option<Self> {
        Some(Self {
            key: row.key,
            subject: row.subject,
            ends: row.subject.ends()?,
            seats,
        })
    }

    fn of(key: RowKey, room: &Chatroom, seats: Vec<Arc<Seat>>) -> Self {
        let ends = Ends::of(room);
        Self {
            key,
            subject: Subject::Chatroom(ends),
            ends,
            seats,
        }
    }
}

/// Leaves of what was changed several times the last, for all who are to be told of one.
fn newest(tellings: Vec<Telling>) -> Vec<Telling> {
    let mut newest: Vec<Option<Telling>> = Vec::with_capacity(tellings.len());
    let mut places: HashMap<Subject, usize> = HashMap::with_capacity(tellings.len());
    for mut telling in tellings {
        if telling.seats.is_empty() {
            continue;
        }
        if let Some(place) = places.insert(telling.subject, newest.len())
            && let Some(earlier) = newest[place].take()
        {
            telling.seats.extend(earlier.seats);
            telling.seats.sort_by_key(|seat| seat.number);
            telling.seats.dedup_by_key(|seat| seat.number);
        }
        newest.push(Some(telling));
    }
    newest.into_iter().flatten().collect()
}

/// Returns the links that decide who sees another account's chatroom; most tellings need none.
async fn links_of(
    connection: &mut Connection,
    brand_id: &BrandId,
    tellings: &[Telling],
) -> Result<Links, ChatError> {
    let mut ends = BTreeSet::new();
    for telling in tellings {
        for seat in &telling.seats {
            let foreign = seen::foreign_ends(seat.party, telling.ends.account_id);
            ends.extend(foreign.into_iter().flatten());
        }
    }
    if ends.is_empty() {
        return Ok(Links::default());
    }
    let ends: Vec<AccountId> = ends.into_iter().collect();
    Ok(links::list_by_temporaries(connection, brand_id, &ends).await?)
}

/// What is told, as it is now.
struct Contents {
    messages: HashMap<(ChatroomId, u64), Arc<Message>>,
    of_visitors: HashMap<ChatroomId, Arc<ChatroomView>>,
    of_members: HashMap<ChatroomId, Arc<ChatroomView>>,
}

impl Contents {
    async fn load(
        connection: &mut Connection,
        brand_id: &BrandId,
        tellings: &[Telling],
    ) -> Result<Self, ChatError> {
        let mut places = Vec::new();
        let (mut of_visitors, mut of_members) = (Vec::new(), Vec::new());
        for telling in tellings {
            match telling.subject {
                Subject::Message(ends, sequence) => places.push((ends.chatroom_id, sequence)),
                _ => {
                    let on = |side| telling.seats.iter().any(|seat| seat.party.side() == side);
                    let id = telling.ends.chatroom_id;
                    of_visitors.extend(on(Side::Visitor).then_some(id));
                    of_members.extend(on(Side::Member).then_some(id));
                }
            }
        }
        let mut messages = HashMap::new();
        if !places.is_empty() {
            for message in messages::list_at(connection, brand_id, &places).await? {
                let place = (message.chatroom_id, message.place.sequence);
                messages.insert(place, Arc::new(message));
            }
        }
        Ok(Self {
            messages,
            of_visitors: views(connection, brand_id, Side::Visitor, &of_visitors).await?,
            of_members: views(connection, brand_id, Side::Member, &of_members).await?,
        })
    }

    fn of(&self, subject: Subject, side: Side) -> Option<Update> {
        let views = match side {
            Side::Visitor => &self.of_visitors,
            Side::Member | Side::Service => &self.of_members,
        };
        match subject {
            Subject::Message(ends, sequence) => {
                let message = self.messages.get(&(ends.chatroom_id, sequence))?;
                Some(Update::Message(Arc::clone(message)))
            }
            Subject::Chatroom(ends) | Subject::View(ends, _) => {
                let view = views.get(&ends.chatroom_id)?;
                Some(Update::Chatroom(Arc::clone(view)))
            }
            Subject::Person(_) | Subject::Member(_) => None,
        }
    }
}

async fn views(
    connection: &mut Connection,
    brand_id: &BrandId,
    side: Side,
    ids: &[ChatroomId],
) -> Result<HashMap<ChatroomId, Arc<ChatroomView>>, ChatError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = chatrooms::list(connection, brand_id, ids).await?;
    let views = view::views(connection, brand_id, side, rows).await?;
    let by_id = views
        .into_iter()
        .map(|view| (view.chatroom.id, Arc::new(view)));
    Ok(by_id.collect())
}
