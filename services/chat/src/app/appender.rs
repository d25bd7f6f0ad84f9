//! One commit for all who write at once.
//!
//! Calls that arrive while a commit is under way go into the next one together, in the order in
//! which they came. Who comes alone waits for nobody. A call whose sender goes away is carried out
//! all the same; each is answered after the commit that holds its message.
//!
//! On PostgreSQL a batch is first decided from memory and written by one statement. What memory does not
//! know, or was wrong about, is decided under the locks of its chatrooms; so is all of it when that
//! statement fails, since nobody knows whether it was carried out: what was is then found by its message
//! ids (SPEC 29).
//!
//! Where a batch cannot be written it is halved until the one call that is at fault stands alone.
//! Where the database was lost the batch is written once more, for the same reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    iter,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use kit::{
    db::{Db, StoreError, TxError},
    telemetry::Causes,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    append::{self, Appended, Draft, Written},
    memory::{Decided, Memory},
};
use crate::{
    error::ChatError,
    store::appending::{self, Key, Moved},
};

/// How many batches may be under way at once. A chatroom's calls all take the same lane, so they
/// keep their order, and two lanes of a process never wait for each other.
const LANES: usize = 2;
/// Bounds how long the first caller of a batch waits for the last.
const BATCH_LENGTH: usize = 256;
/// How many calls may wait in a lane: some batches, a fraction of a second. Beyond that it is
/// kinder to refuse.
const QUEUE_LENGTH: usize = 1_024;
/// When a refused caller may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What became of a draft.
type Answer = Result<Appended, ChatError>;

struct Call {
    draft: Arc<Draft>,
    answer: oneshot::Sender<Answer>,
}

/// Where messages are handed in to be written; clones share it.
#[derive(Clone)]
pub(crate) struct Appender {
    lanes: Arc<[mpsc::Sender<Call>]>,
    hasher: RandomState,
}

impl Appender {
    /// Returns an appender for `db`; its tasks end with its last clone.
    pub(crate) fn new(db: &Db) -> Self {
        let lane = |_| {
            let (sender, calls) = mpsc::channel(QUEUE_LENGTH);
            tokio::spawn(write_batches(db.clone(), calls));
            sender
        };
        Self {
            lanes: (0..LANES).map(lane).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Decides and writes a draft together with those of others.
    ///
    /// # Errors
    ///
    /// The refusals of [`append`]; [`ChatError::Overloaded`] when too many wait already; what the
    /// database fails with.
    pub(super) async fn append(&self, draft: Arc<Draft>) -> Answer {
        let hash = self.hasher.hash_one(draft.command.chatroom_id);
        let (sender, receiver) = oneshot::channel();
        let call = Call {
            draft,
            answer: sender,
        };
        // Which bits of the hash are kept does not matter.
        match self.lanes[hash as usize % LANES].try_send(call) {
            Ok(()) => receiver.await.unwrap_or_else(|_| Err(lost().into())),
            Err(TrySendError::Full(_)) => Err(ChatError::Overloaded {
                retry_delay: RETRY_DELAY,
            }),
            Err(TrySendError::Closed(_)) => Err(lost().into()),
        }
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("the message may not have been written".into())
}

async fn write_batches(db: Db, mut calls: mpsc::Receiver<Call>) {
    let mut taken = Vec::with_capacity(BATCH_LENGTH);
    let mut memory = db.is_postgres().then(Memory::default);
    while calls.recv_many(&mut taken, BATCH_LENGTH).await > 0 {
        gather(&mut calls, &mut taken).await;
        let (drafts, senders): (Vec<Arc<Draft>>, Vec<_>) = taken
            .drain(..)
            .map(|call| (call.draft, call.answer))
            .unzip();
        let causes = drafts.iter().map(|draft| &*draft.trace_parent);
        let causes = Causes::of(causes.map(|trace_parent| ("append message", trace_parent)));
        let answers = causes.run(write(&db, memory.as_mut(), &drafts)).await;
        for (sender, answer) in senders.into_iter().zip(answers) {
            // He may have gone away; his message is written all the same.
            let _ = sender.send(answer);
        }
    }
}

/// Takes those along who are about to call: lets everything that can run do so, as long as that brings
/// more calls. When nobody else calls, nothing else can run, and it takes no time.
async fn gather(calls: &mut mpsc::Receiver<Call>, taken: &mut Vec<Call>) {
    let mut known = 0;
    while known < taken.len() && taken.len() < BATCH_LENGTH {
        known = taken.len();
        tokio::task::yield_now().await;
        while taken.len() < BATCH_LENGTH
            && let Ok(call) = calls.try_recv()
        {
            taken.push(call);
        }
    }
}

/// Writes a batch and returns the answers in its order.
pub(super) async fn write(
    db: &Db,
    memory: Option<&mut Memory>,
    drafts: &[Arc<Draft>],
) -> Vec<Answer> {
    let Some(memory) = memory else {
        return write_locked(db, drafts.into()).await.0;
    };
    let written = write_from_memory(db, memory, drafts).await;
    let left = drafts.iter().zip(&written);
    let left: Arc<[Arc<Draft>]> = left
        .filter(|(_, answer)| answer.is_none())
        .map(|(draft, _)| Arc::clone(draft))
        .collect();
    let (answers, moved) = write_locked(db, Arc::clone(&left)).await;
    let known = left.iter().zip(&answers);
    let known = known.filter(|(_, answer)| matches!(answer, Ok(Appended::Message(_))));
    memory.learn(moved, known.map(|(draft, _)| &**draft));
    let mut answers = answers.into_iter();
    written
        .into_iter()
        .filter_map(|answer| answer.map(Ok).or_else(|| answers.next()))
        .collect()
}

/// Writes what memory knows enough about, and returns the answers to that.
async fn write_from_memory(
    db: &Db,
    memory: &mut Memory,
    drafts: &[Arc<Draft>],
) -> Vec<Option<Appended>> {
    let Decided { mut answers, batch } = memory.decide(drafts);
    if batch.messages.is_empty() {
        return vec![None; drafts.len()];
    }
    let written = match appending::write_unmoved(db, &batch).await {
        Some(Ok(keys)) => keys,
        Some(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "not written from memory, trying under locks");
            BTreeSet::new()
        }
        None => BTreeSet::new(),
    };
    for (answer, draft) in answers.iter_mut().zip(drafts) {
        if !written.contains(&draft.key()) {
            *answer = None;
        }
    }
    let (moved, unmoved): (BTreeMap<_, _>, BTreeMap<_, _>) = batch
        .chatrooms
        .into_iter()
        .partition(|(key, _)| written.contains(key));
    for key in unmoved.keys() {
        memory.distrust(key);
    }
    memory.learn(moved, iter::empty());
    answers
}

/// Writes a batch under the locks of its chatrooms; returns the answers in its order and the chatrooms
/// that moved.
async fn write_locked(db: &Db, drafts: Arc<[Arc<Draft>]>) -> (Vec<Answer>, BTreeMap<Key, Moved>) {
    let mut answers = Vec::with_capacity(drafts.len());
    let mut moved = BTreeMap::new();
    // What is left to write, the next at the end.
    let mut ranges: Vec<Range<usize>> = iter::once(0..drafts.len())
        .filter(|range| !range.is_empty())
        .collect();
    while let Some(range) = ranges.pop() {
        let mut written = write_range(db, &drafts, &range).await;
        if written.as_ref().is_err_and(is_lost) {
            written = write_range(db, &drafts, &range).await;
        }
        match written {
            Ok((more, some)) => {
                answers.extend(more);
                moved.extend(some);
            }
            Err(error) if is_lost(&error) => {
                // One answer tells the log why.
                answers.push(Err(error));
                answers.extend(range.skip(1).map(|_| Err(lost().into())));
            }
            Err(error) if range.len() == 1 => answers.push(Err(error)),
            Err(_) => {
                let middle = range.start + range.len() / 2;
                ranges.push(middle..range.end);
                ranges.push(range.start..middle);
            }
        }
    }
    (answers, moved)
}

async fn write_range(
    db: &Db,
    drafts: &Arc<[Arc<Draft>]>,
    range: &Range<usize>,
) -> Result<Written, ChatError> {
    let input = (Arc::clone(drafts), range.clone());
    db.run_locked_tx("append_messages", input, |connection, (drafts, range)| {
        Box::pin(append::append(connection, &drafts[range.clone()]))
    })
    .await
}

/// Returns whether the database failed, whatever was asked of it.
fn is_lost(error: &ChatError) -> bool {
    matches!(
        error.store_error(),
        Some(StoreError::Unavailable(_) | StoreError::Conflict(_))
    )
}
