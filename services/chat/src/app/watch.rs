//! Following the chatrooms that somebody sees (SPEC 33).
//!
//! ```text
//! log of changes ─► feed, one a process ─► window of ids ─► who begins, or resumes
//!                                     └──► seats: a bounded queue for each who watches
//! ```
//!
//! A stream begins with a snapshot, or behind a position that the window still reaches. Either way it
//! goes through the remembered rows behind the place where it stands, reads what they are about, and
//! then takes its seat. What is read is always the present state, and who may see it is asked at the
//! same moment: some things are told twice, and nothing is left out.
//!
//! A watcher who waits costs no task and no timer: a seat, and what gRPC keeps for his stream.

mod feed;
mod live;
mod position;
mod seat;
mod telling;

use std::{collections::BTreeSet, future, sync::Arc};

use domain::id::AccountId;

pub(crate) use self::{
    feed::run,
    live::{Live, WINDOW_LENGTH},
    seat::Update,
};
use self::{
    live::Next,
    position::Position,
    seat::{End, Seat},
    telling::{Audience, Telling},
};
use super::{App, ArchivedFilter, Caller, ListChatrooms, seen};
use crate::{
    error::ChatError,
    store::chatroom_changes::{Row, RowKey},
};

/// How many chatrooms a piece of the snapshot holds.
const PIECE: i32 = 200;

/// One who watches: what he is told, one after the other.
pub(crate) struct Watch {
    live: Live,
    seat: Arc<Seat>,
    incarnation: Arc<str>,
    /// Until he has caught up.
    beginning: Option<Box<Beginning>>,
    has_ended: bool,
}

struct Beginning {
    app: App,
    caller: Caller,
    stage: Stage,
    has_snapshot: bool,
}

/// How far a stream is that has not caught up.
enum Stage {
    /// In the snapshot: its first moment, and the token of the next page.
    Snapshot(Option<RowKey>, String),
    /// Behind this row.
    CatchUp(RowKey),
}

/// What is told in one go, and where to resume behind it: nowhere inside a snapshot.
#[derive(Debug)]
pub(crate) struct Told {
    /// A position; may be empty.
    pub position: String,
    /// What.
    pub update: Update,
}

/// What became of one step of a stream that has not caught up.
enum Step {
    Piece(Option<RowKey>, Update),
    Queued,
    Seated,
}

impl App {
    /// Returns what the caller is told of his chatrooms from `resume_position` on, or from a snapshot
    /// where it is empty or too old.
    ///
    /// # Errors
    ///
    /// [`CallError::ResumePositionInvalid`] for a position of another participant or of no stream;
    /// [`CallError::ConsistencyUnavailable`].
    ///
    /// Source: SPEC 21, 33, 54.
    ///
    /// [`CallError::ResumePositionInvalid`]: kit::error::CallError::ResumePositionInvalid
    /// [`CallError::ConsistencyUnavailable`]: kit::error::CallError::ConsistencyUnavailable
    pub(crate) async fn watch_chatrooms(
        &self,
        caller: Caller,
        resume_position: &str,
    ) -> Result<Watch, ChatError> {
        let resumed = Position::parse(resume_position, caller.party)?;
        {
            let _turn = self.live.turn().await;
            self.catch_up(&caller).await?;
        }
        let (incarnation, _) = self.live.position();
        let stage = match resumed {
            Some(position) if position.incarnation == *incarnation => Stage::CatchUp(position.key),
            Some(_) | None => Stage::Snapshot(None, String::new()),
        };
        let beginning = Beginning {
            app: self.clone(),
            caller: caller.clone(),
            stage,
            has_snapshot: false,
        };
        Ok(Watch {
            live: self.live.clone(),
            seat: self.live.seat(caller.brand_id, caller.party),
            incarnation,
            beginning: Some(Box::new(beginning)),
            has_ended: false,
        })
    }
}

impl Watch {
    /// Returns what is told next, as soon as there is something; after an error nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Told, ChatError>> {
        if self.has_ended {
            return None;
        }
        let told = self.step().await;
        self.has_ended = told.is_err();
        Some(told)
    }

    async fn step(&mut self) -> Result<Told, ChatError> {
        while let Some(beginning) = &mut self.beginning {
            if let Some((key, update)) = self.seat.take() {
                return Ok(self.told(Some(key), update));
            }
            // Boxed, or each stream would hold the room for it as long as it lasts.
            let step = beginning.step(&self.live, &self.seat, &self.incarnation);
            match Box::pin(step).await? {
                Step::Piece(key, update) => return Ok(self.told(key, update)),
                Step::Queued => {}
                Step::Seated => self.beginning = None,
            }
        }
        let (key, update) = future::poll_fn(|context| self.seat.poll_take(context)).await?;
        Ok(self.told(Some(key), update))
    }

    fn told(&self, key: Option<RowKey>, update: Update) -> Told {
        let position = key.map(|key| position::text(&self.incarnation, key, self.seat.party));
        Told {
            position: position.unwrap_or_default(),
            update,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.live.leave(&self.seat);
    }
}

impl Beginning {
    async fn step(
        &mut self,
        live: &Live,
        seat: &Arc<Seat>,
        incarnation: &str,
    ) -> Result<Step, ChatError> {
        let _turn = live.turn().await;
        match &self.stage {
            Stage::Snapshot(begun, token) => {
                let begun = begun.unwrap_or_else(|| live.position().1);
                let token = token.clone();
                self.piece(begun, token).await
            }
            Stage::CatchUp(after) => {
                let after = *after;
                self.catch_up(live, seat, incarnation, after).await
            }
        }
    }

    /// Reads the next page. Each change behind `begun` is told again afterwards, so it does not
    /// matter which of them the pages show.
    async fn piece(&mut self, begun: RowKey, page_token: String) -> Result<Step, ChatError> {
        let query = ListChatrooms {
            archived: ArchivedFilter::All,
            page_size: PIECE,
            page_token,
        };
        let (views, next) = self.app.list_chatrooms(&self.caller, query).await?;
        let is_last = next.is_empty();
        let (stage, key) = if is_last {
            (Stage::CatchUp(begun), Some(begun))
        } else {
            (Stage::Snapshot(Some(begun), next), None)
        };
        (self.stage, self.has_snapshot) = (stage, true);
        Ok(Step::Piece(key, Update::Snapshot(views, is_last)))
    }

    async fn catch_up(
        &mut self,
        live: &Live,
        seat: &Arc<Seat>,
        incarnation: &str,
        after: RowKey,
    ) -> Result<Step, ChatError> {
        let accounts = self.accounts().await?;
        let (rows, last) = match live.next(seat, &accounts, incarnation, after) {
            Next::Rows(rows, last) => (rows, last),
            Next::Seated(key) => {
                seat.beat(key);
                return Ok(Step::Seated);
            }
            Next::Snapshot if self.has_snapshot => return Err(End::TooSlow.into()),
            Next::Snapshot => {
                self.stage = Stage::Snapshot(None, String::new());
                return Ok(Step::Queued);
            }
            Next::End(end) => return Err(end.into()),
        };
        let (db, brand_id) = (&self.app.db, &self.caller.brand_id);
        for run in rows.chunk_by(|one, next| one.is_wide() == next.is_wide()) {
            if run.iter().all(Row::is_wide) {
                let audience = Audience::One(seat, &accounts);
                telling::tell_wide(db, audience, brand_id, run).await?;
            } else {
                let seats = || vec![Arc::clone(seat)];
                let tellings = run.iter().filter_map(|row| Telling::of_row(row, seats()));
                telling::tell(db, brand_id, tellings.collect()).await?;
            }
        }
        self.stage = Stage::CatchUp(last);
        Ok(Step::Queued)
    }

    async fn accounts(&self) -> Result<BTreeSet<AccountId>, ChatError> {
        let mut connection = self.app.db.read().await?;
        let (brand_id, party) = (&self.caller.brand_id, self.caller.party);
        let person = seen::person(&mut connection, brand_id, party).await?;
        Ok(person.map(|person| person.accounts).unwrap_or_default())
    }
}
