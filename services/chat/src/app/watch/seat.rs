//! Where what a watcher is to be told waits until he takes it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use domain::id::{BrandId, ChatroomId};
use kit::{db::StoreError, error::CallError};
use prost::Message as _;

use crate::{
    app::{ChatroomView, Party},
    error::ChatError,
    model::{Body, Message},
    store::chatroom_changes::RowKey,
};

/// How many updates may wait for a watcher: a second's worth of a busy Brand.
pub(super) const QUEUE_LENGTH: usize = 1_024;
/// How many bytes of what was said may wait; one update that is larger still comes alone.
const QUEUE_BYTES: usize = 1024 * 1024;
/// What an update is counted with besides what was said.
const UPDATE_BYTES: usize = 256;
/// A queue that was longer gives its memory back when it is empty.
const KEPT_LENGTH: usize = 4;

/// What a watcher is told.
#[derive(Clone, Debug)]
pub(crate) enum Update {
    /// A piece of the snapshot that the stream begins with, and whether it is the last.
    Snapshot(Vec<ChatroomView>, bool),
    /// A message that is new, was answered or was erased.
    Message(Arc<Message>),
    /// A chatroom that is new to him or has changed.
    Chatroom(Arc<ChatroomView>),
    /// A chatroom that he sees no more.
    Hidden(ChatroomId),
    /// That there is nothing else up to here.
    Nothing,
}

/// Why nothing more is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The service stops.
    ShuttingDown,
    /// He was too slow, or what changed for him at once is more than may wait.
    TooSlow,
    /// What changed could not be read.
    Unreadable,
}

impl From<End> for ChatError {
    fn from(end: End) -> Self {
        match end {
            End::ShuttingDown => CallError::ShuttingDown.into(),
            End::TooSlow => Self::WatcherTooSlow,
            End::Unreadable => {
                StoreError::Unavailable("what changed could not be read".into()).into()
            }
        }
    }
}

/// A watcher's place: who he is, and what waits for him.
pub(super) struct Seat {
    /// Tells it from the others of the process.
    pub number: u64,
    /// His Brand.
    pub brand_id: BrandId,
    /// He.
    pub party: Party,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(RowKey, Update)>,
    bytes: usize,
    waker: Option<Waker>,
    end: Option<End>,
}

impl Seat {
    pub(super) fn new(number: u64, brand_id: BrandId, party: Party) -> Self {
        Self {
            number,
            brand_id,
            party,
            queue: Mutex::default(),
        }
    }

    /// Lets an update wait; where too much waits already, all of it is dropped and the stream ends: he
    /// resumes with the last position that reached him and is told it all again.
    pub(super) fn push(&self, key: RowKey, update: Update) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        if queue.waiting.len() >= QUEUE_LENGTH || queue.bytes >= QUEUE_BYTES {
            queue.finish(End::TooSlow);
            return;
        }
        queue.bytes += update.size_bytes();
        queue.waiting.push_back((key, update));
        queue.wake();
    }

    /// Tells him how far the log is known, unless he has something to take anyway.
    pub(super) fn beat(&self, key: RowKey) {
        let is_idle = self.lock().waiting.is_empty();
        if is_idle {
            self.push(key, Update::Nothing);
        }
    }

    /// Tells him that he sees some chatrooms no more; what waits about them does not reach him.
    pub(super) fn hide(&self, key: RowKey, chatrooms: &BTreeSet<ChatroomId>) {
        {
            let mut queue = self.lock();
            let told = |update: &Update| {
                update
                    .chatroom_id()
                    .is_some_and(|id| chatrooms.contains(&id))
            };
            queue.waiting.retain(|(_, update)| !told(update));
            queue.bytes = queue.waiting.iter().map(|one| one.1.size_bytes()).sum();
        }
        for chatroom_id in chatrooms {
            self.push(key, Update::Hidden(*chatroom_id));
        }
    }

    /// Ends the stream, behind what waits.
    pub(super) fn end(&self, end: End) {
        let mut queue = self.lock();
        if queue.end.is_none() {
            queue.finish(end);
        }
    }

    /// Returns what waits longest, if anything does.
    pub(super) fn take(&self) -> Option<(RowKey, Update)> {
        self.lock().pop()
    }

    /// Returns what waits longest, as soon as something does.
    pub(super) fn poll_take(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(RowKey, Update), End>> {
        let mut queue = self.lock();
        if let Some(told) = queue.pop() {
            return Poll::Ready(Ok(told));
        }
        if let Some(end) = queue.end {
            return Poll::Ready(Err(end));
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Whoever panicked with it did so between two whole steps.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<(RowKey, Update)> {
        let told = self.waiting.pop_front()?;
        self.bytes -= told.1.size_bytes();
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT_LENGTH {
            self.waiting = VecDeque::new();
        }
        Some(told)
    }

    fn finish(&mut self, end: End) {
        if end == End::TooSlow {
            (self.waiting, self.bytes) = (VecDeque::new(), 0);
        }
        self.end = Some(end);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Update {
    fn chatroom_id(&self) -> Option<ChatroomId> {
        match self {
            Self::Message(message) => Some(message.chatroom_id),
            Self::Chatroom(view) => Some(view.chatroom.id),
            Self::Hidden(id) => Some(*id),
            Self::Snapshot(..) | Self::Nothing => None,
        }
    }

    fn size_bytes(&self) -> usize {
        let said = |message: &Message| match &message.body {
            Body::Kept(content) => content.encoded_len(),
            Body::Erased(_) => 0,
        };
        UPDATE_BYTES
            + match self {
                Self::Message(message) => said(message),
                Self::Chatroom(view) => view.last_message.as_ref().map_or(0, said),
                Self::Snapshot(..) | Self::Hidden(_) | Self::Nothing => 0,
            }
    }
}
