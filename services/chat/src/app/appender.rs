//! One commit for all messages that are written at once, a chatroom's in the order in which they came.
//!
//! On PostgreSQL a batch is first decided from memory, or from what it reads where memory does not know,
//! and written by one statement. What that was wrong about, and what would be refused, is decided under
//! the locks of its chatrooms; so is all of it when that
//! statement fails, since nobody knows whether it was carried out: what was is then found by its message
//! ids (SPEC 29).
//!
//! Where a batch cannot be written it is halved until the one call that is at fault stands alone.
//! Where the database was lost the batch is written once more, for the same reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use kit::{
    batches::{Batches, Unanswered},
    db::{Db, StoreError, TxError},
    telemetry::Causes,
};
use tokio::sync::Mutex;

use super::{
    append::{self, Appended, Draft, Written},
    memory::{Decided, Memory},
};
use crate::{
    error::ChatError,
    store::appending::{self, Key, Moved},
};

/// When a refused caller may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What became of a draft.
type Answer = Result<Appended, ChatError>;

/// Where messages are handed in to be written; clones share it.
#[derive(Clone)]
pub(crate) struct Appender(Batches<Arc<Draft>, Answer>);

impl Appender {
    /// Returns an appender for `db`; its tasks end with its last clone.
    pub(crate) fn new(db: &Db) -> Self {
        Self(Batches::new(|| {
            let db = db.clone();
            // A chatroom is always one lane's, and so is what is remembered of it.
            let memory = Arc::new(Mutex::new(db.is_postgres().then(Memory::default)));
            move |drafts: Vec<Arc<Draft>>| {
                let (db, memory) = (db.clone(), Arc::clone(&memory));
                Box::pin(async move {
                    let causes = drafts.iter().map(|draft| &*draft.trace_parent);
                    let causes = causes.map(|trace_parent| ("append message", trace_parent));
                    let causes = Causes::of(causes);
                    let mut memory = memory.lock().await;
                    causes.run(write(&db, memory.as_mut(), &drafts)).await
                })
            }
        }))
    }

    /// Decides and writes a draft together with those of others.
    ///
    /// # Errors
    ///
    /// The refusals of [`append`]; [`ChatError::Overloaded`] when too many wait already; what the
    /// database fails with.
    pub(super) async fn append(&self, draft: Arc<Draft>) -> Answer {
        let written = self.0.write(draft.command.chatroom_id, draft);
        written.await.unwrap_or_else(|unanswered| match unanswered {
            Unanswered::Full => Err(ChatError::Overloaded {
                retry_delay: RETRY_DELAY,
            }),
            Unanswered::Lost => Err(lost().into()),
        })
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("the message may not have been written".into())
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
    let unsure = memory.unsure(drafts);
    if !unsure.is_empty() {
        match appending::look(db, &unsure).await {
            Some(Ok(rooms)) => memory.look(rooms, &unsure),
            // What is decided under locks fails for the same reason, and says so.
            Some(Err(_)) | None => return vec![None; drafts.len()],
        }
    }
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
