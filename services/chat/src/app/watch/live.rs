//! What a process knows of the log of changes, and who watches: clones share it.
//!
//! The feed appends to it what it reads; a watcher who begins goes through what is remembered and
//! takes his seat in the same step in which nothing is left, so that no change falls between.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{
    id::{AccountId, BrandId, MemberId},
    message::Side,
};
use kit::{
    db::{Db, StoreError},
    event_log,
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::seat::{End, Seat};
use crate::{
    app::Party,
    store::chatroom_changes::{self, Row, RowKey, Subject},
};

/// How many rows of the log a process remembers, ids alone: a minute of a thousand messages a second,
/// so that nobody who comes back within it needs a snapshot.
pub(crate) const WINDOW_LENGTH: usize = 65_536;
/// How many remembered rows a watcher who begins is told at a time, so that his queue holds them.
const STEP: usize = 32;

/// How many watchers who begin may ask the database at the same time. When all come back at once the
/// others wait for their turn, and leave the pool's other connections to those who write.
const TURNS: usize = 4;

/// The log as far as it is known here, and the watchers.
#[derive(Clone)]
pub(crate) struct Live {
    state: Arc<Mutex<State>>,
    turns: Arc<Semaphore>,
    arrivals: Arc<Notify>,
}

struct State {
    /// Of which database the rows are.
    incarnation: Arc<str>,
    /// The last row that is known.
    position: RowKey,
    /// The last rows, in order, and how many there may be.
    window: VecDeque<Row>,
    window_length: usize,
    /// The row before the window; who has seen no more than before that cannot resume.
    floor: RowKey,
    is_closed: bool,
    next_number: u64,
    seats: HashMap<u64, Seated>,
    brands: HashMap<BrandId, Watchers>,
}

/// A seat that is taken, and the accounts under which it is found.
struct Seated {
    seat: Arc<Seat>,
    accounts: Vec<AccountId>,
}

/// The seats of a Brand, by whose chatrooms they are about.
#[derive(Default)]
struct Watchers {
    by_account: HashMap<AccountId, Vec<Arc<Seat>>>,
    by_member: HashMap<MemberId, Vec<Arc<Seat>>>,
}

/// What a watcher who begins is to be told next.
#[derive(Debug)]
pub(super) enum Next {
    /// These rows, and where to go on.
    Rows(Vec<Row>, RowKey),
    /// Nothing: he has his seat, and everything behind that place comes to it.
    Seated(RowKey),
    /// More than is remembered, or than may wait: a snapshot.
    Snapshot,
    /// Nothing ever.
    End(End),
}

impl Live {
    /// Returns the log of `db` up to now, with its last rows, as many as are to be remembered.
    ///
    /// # Errors
    ///
    /// What the database fails with.
    pub(crate) async fn open(db: &Db, window_length: usize) -> Result<Self, StoreError> {
        let state = State::load(db, window_length).await?;
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
            turns: Arc::new(Semaphore::new(TURNS)),
            arrivals: Arc::default(),
        })
    }

    /// Begins anew where the database has become another one; all who watch resume.
    pub(super) async fn reopen(&self, db: &Db) -> Result<(), StoreError> {
        let window_length = self.lock().window_length;
        let state = State::load(db, window_length).await?;
        let mut known = self.lock();
        if known.incarnation == state.incarnation {
            return Ok(());
        }
        for seated in known.seats.values() {
            seated.seat.end(End::Unreadable);
        }
        (known.incarnation, known.window) = (state.incarnation, state.window);
        (known.position, known.floor) = (state.position, state.floor);
        Ok(())
    }

    /// Waits for one's turn to ask the database, which lasts as long as the value; in the order in
    /// which all came.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed, and were it, nobody would have to wait.
        self.turns.acquire().await.ok()
    }

    /// Returns how far the log is known: its incarnation and last row.
    pub(super) fn position(&self) -> (Arc<str>, RowKey) {
        let state = self.lock();
        (Arc::clone(&state.incarnation), state.position)
    }

    /// Tells whether nobody has a seat.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().seats.is_empty()
    }

    /// Waits until somebody takes a seat, or has done so since it was last waited for.
    pub(super) async fn arrival(&self) {
        self.arrivals.notified().await;
    }

    /// Returns a place before every row that is remembered.
    pub(super) fn floor(&self) -> RowKey {
        self.lock().floor
    }

    /// Returns a new seat, which nobody finds yet.
    pub(super) fn seat(&self, brand_id: BrandId, party: Party) -> Arc<Seat> {
        let mut state = self.lock();
        state.next_number += 1;
        Arc::new(Seat::new(state.next_number, brand_id, party))
    }

    /// Remembers the next rows of the log, and returns who watches the chatroom of each.
    pub(super) fn advance(&self, rows: &[Row]) -> Vec<Vec<Arc<Seat>>> {
        let mut state = self.lock();
        for row in rows {
            if state.window.len() == state.window_length
                && let Some(oldest) = state.window.pop_front()
            {
                state.floor = oldest.key;
            }
            state.window.push_back(row.clone());
            state.position = row.key;
        }
        rows.iter().map(|row| state.watchers(row)).collect()
    }

    /// Returns what `seat`, who sees the chatrooms of `accounts`, is to be told behind `after`; where
    /// that is nothing, he is found from then on.
    pub(super) fn next(
        &self,
        seat: &Arc<Seat>,
        accounts: &BTreeSet<AccountId>,
        incarnation: &str,
        after: RowKey,
    ) -> Next {
        let mut state = self.lock();
        if state.is_closed {
            return Next::End(End::ShuttingDown);
        }
        if *state.incarnation != *incarnation {
            return Next::End(End::Unreadable);
        }
        if after < state.floor {
            return Next::Snapshot;
        }
        let first = state.window.partition_point(|row| row.key <= after);
        let theirs = |row: &&Row| concerns(seat, accounts, row);
        let rows: Vec<Row> = state
            .window
            .range(first..)
            .filter(theirs)
            .take(STEP)
            .cloned()
            .collect();
        let own = |row: &Row| {
            matches!(
                (row.subject, seat.party),
                (Subject::Member(_), Party::Member(_))
            )
        };
        if rows.iter().any(own) {
            return Next::Snapshot;
        }
        let Some(last) = rows.last() else {
            state.insert(seat, accounts);
            self.arrivals.notify_one();
            return Next::Seated(state.position);
        };
        let last = last.key;
        Next::Rows(rows, last)
    }

    /// Lets a seat be found by what its watcher sees now; one that nobody finds stays so.
    pub(super) fn reseat(&self, seat: &Arc<Seat>, accounts: &BTreeSet<AccountId>) {
        let mut state = self.lock();
        if state.remove(seat) {
            state.insert(seat, accounts);
        }
    }

    /// Lets a seat be found no more.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        self.lock().remove(seat);
    }

    /// Returns the seats of those who see the chatrooms of an account.
    pub(super) fn of_account(&self, brand_id: &BrandId, account_id: AccountId) -> Vec<Arc<Seat>> {
        let state = self.lock();
        let watchers = state.brands.get(brand_id);
        let seats = watchers.and_then(|brand| brand.by_account.get(&account_id));
        seats.cloned().unwrap_or_default()
    }

    /// Returns the seats of a Member.
    pub(super) fn of_member(&self, brand_id: &BrandId, member_id: MemberId) -> Vec<Arc<Seat>> {
        let state = self.lock();
        let watchers = state.brands.get(brand_id);
        let seats = watchers.and_then(|brand| brand.by_member.get(&member_id));
        seats.cloned().unwrap_or_default()
    }

    /// Returns the accounts whose chatrooms visitors of the Brand watch.
    pub(super) fn accounts(&self, brand_id: &BrandId) -> Vec<AccountId> {
        let state = self.lock();
        let watchers = state.brands.get(brand_id);
        watchers.map_or_else(Vec::new, |brand| brand.by_account.keys().copied().collect())
    }

    /// Returns whether a Member of the Brand watches.
    pub(super) fn has_members(&self, brand_id: &BrandId) -> bool {
        let state = self.lock();
        let watchers = state.brands.get(brand_id);
        watchers.is_some_and(|brand| !brand.by_member.is_empty())
    }

    /// Tells every `slots`th watcher, beginning with the one of that number, how far the log is known.
    pub(super) fn beat(&self, slot: u64, slots: u64) {
        let state = self.lock();
        for (number, seated) in &state.seats {
            if number % slots == slot {
                seated.seat.beat(state.position);
            }
        }
    }

    /// Ends the streams of a Brand's watchers.
    pub(super) fn end_brand(&self, brand_id: &BrandId, end: End) {
        for seated in self.lock().seats.values() {
            if seated.seat.brand_id == *brand_id {
                seated.seat.end(end);
            }
        }
    }

    /// Ends all streams, also of those who come later.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        for seated in state.seats.values() {
            seated.seat.end(End::ShuttingDown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it did so between two whole steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a row is about what the watcher sees, or may be.
fn concerns(seat: &Seat, accounts: &BTreeSet<AccountId>, row: &Row) -> bool {
    if row.brand_id != seat.brand_id {
        return false;
    }
    let is_member = |member_id| seat.party == Party::Member(member_id);
    match row.subject {
        Subject::Message(ends, _) | Subject::Chatroom(ends) => {
            accounts.contains(&ends.account_id) || is_member(ends.member_id)
        }
        Subject::View(ends, Side::Visitor) => accounts.contains(&ends.account_id),
        Subject::View(ends, _) => is_member(ends.member_id),
        Subject::Person(account_id) => {
            accounts.contains(&account_id) || matches!(seat.party, Party::Member(_))
        }
        Subject::Member(member_id) => {
            !matches!(seat.party, Party::Member(_)) || is_member(member_id)
        }
    }
}

impl State {
    async fn load(db: &Db, window_length: usize) -> Result<Self, StoreError> {
        let mut connection = db.read().await?;
        let incarnation = event_log::incarnation(&mut connection).await?;
        let limit = i64::try_from(window_length).unwrap_or(i64::MAX);
        let window: VecDeque<Row> = chatroom_changes::list_last(&mut connection, limit)
            .await?
            .into();
        // Only what is far behind a full window is ever deleted, so another has the whole log.
        let oldest = window.front().filter(|_| window.len() == window_length);
        Ok(Self {
            incarnation: incarnation.into(),
            position: window.back().map(|row| row.key).unwrap_or_default(),
            floor: oldest.map(|row| row.key).unwrap_or_default(),
            window,
            window_length,
            is_closed: false,
            next_number: 0,
            seats: HashMap::new(),
            brands: HashMap::new(),
        })
    }

    fn watchers(&self, row: &Row) -> Vec<Arc<Seat>> {
        let (Some(brand), Some(ends)) = (self.brands.get(&row.brand_id), row.subject.ends()) else {
            return Vec::new();
        };
        let visitors = brand.by_account.get(&ends.account_id);
        let members = brand.by_member.get(&ends.member_id);
        let seats = visitors.into_iter().chain(members).flatten();
        let is_told = |seat: &&Arc<Seat>| match row.subject {
            Subject::View(_, side) => seat.party.side() == side,
            _ => true,
        };
        seats.filter(is_told).cloned().collect()
    }

    fn insert(&mut self, seat: &Arc<Seat>, accounts: &BTreeSet<AccountId>) {
        let accounts: Vec<AccountId> = accounts.iter().copied().collect();
        let brand = self.brands.entry(seat.brand_id.clone()).or_default();
        for account_id in &accounts {
            brand
                .by_account
                .entry(*account_id)
                .or_default()
                .push(Arc::clone(seat));
        }
        if let Party::Member(member_id) = seat.party {
            brand
                .by_member
                .entry(member_id)
                .or_default()
                .push(Arc::clone(seat));
        }
        let seat = Arc::clone(seat);
        self.seats.insert(seat.number, Seated { seat, accounts });
    }

    /// Returns whether the seat was taken.
    fn remove(&mut self, seat: &Arc<Seat>) -> bool {
        let Some(seated) = self.seats.remove(&seat.number) else {
            return false;
        };
        let Some(brand) = self.brands.get_mut(&seat.brand_id) else {
            return true;
        };
        for account_id in &seated.accounts {
            without(&mut brand.by_account, account_id, seat);
        }
        if let Party::Member(member_id) = seat.party {
            without(&mut brand.by_member, &member_id, seat);
        }
        if brand.by_account.is_empty() && brand.by_member.is_empty() {
            self.brands.remove(&seat.brand_id);
        }
        true
    }
}

fn without<Id: Eq + std::hash::Hash>(
    index: &mut HashMap<Id, Vec<Arc<Seat>>>,
    id: &Id,
    seat: &Arc<Seat>,
) {
    if let Some(seats) = index.get_mut(id) {
        seats.retain(|other| other.number != seat.number);
        if seats.is_empty() {
            index.remove(id);
        }
    }
}
