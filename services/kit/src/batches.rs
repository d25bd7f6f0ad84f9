//! One commit for all who write at once.
//!
//! Calls that arrive while a commit is under way go into the next one together, in the order in
//! which they came. Who comes alone waits for nobody. A call whose sender goes away is carried out
//! all the same; each is answered after the commit that holds it.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

/// How many batches may be under way at once. Calls of one subject all take the same lane, so they
/// keep their order.
const LANES: usize = 2;
/// Bounds how long the first caller of a batch waits for the last.
const BATCH_LENGTH: usize = 256;
/// How many calls may wait in a lane: some batches, a fraction of a second. Beyond that it is
/// kinder to refuse.
const QUEUE_LENGTH: usize = 1_024;

/// Why a call was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Too many wait already, and it was not taken.
    Full,
    /// It may have been carried out.
    Lost,
}

struct Call<T, A> {
    item: T,
    answer: oneshot::Sender<A>,
}

/// Where calls are handed in to be carried out; clones share it.
pub struct Batches<T, A> {
    lanes: Arc<[mpsc::Sender<Call<T, A>>]>,
    hasher: RandomState,
}

impl<T, A> Clone for Batches<T, A> {
    fn clone(&self) -> Self {
        Self {
            lanes: Arc::clone(&self.lanes),
            hasher: self.hasher.clone(),
        }
    }
}

impl<T: Send + 'static, A: Send + 'static> Batches<T, A> {
    /// Returns batches, each of which a lane carries out by a function of its own, made by `lane`, that
    /// answers each item, in their order. Their tasks end with the last clone.
    pub fn new<W>(lane: impl Fn() -> W) -> Self
    where
        W: Fn(Vec<T>) -> BoxFuture<'static, Vec<A>> + Send + 'static,
    {
        let lane = |_| {
            let (sender, calls) = mpsc::channel(QUEUE_LENGTH);
            tokio::spawn(write_batches(calls, lane()));
            sender
        };
        Self {
            lanes: (0..LANES).map(lane).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Has an item written together with those of others, behind those of the same `subject`.
    ///
    /// # Errors
    ///
    /// [`Unanswered`] says what is known of it.
    pub async fn write(&self, subject: impl Hash, item: T) -> Result<A, Unanswered> {
        let hash = self.hasher.hash_one(subject);
        let (sender, receiver) = oneshot::channel();
        let call = Call {
            item,
            answer: sender,
        };
        // Which bits of the hash are kept does not matter.
        match self.lanes[hash as usize % LANES].try_send(call) {
            Ok(()) => receiver.await.map_err(|_| Unanswered::Lost),
            Err(TrySendError::Full(_)) => Err(Unanswered::Full),
            Err(TrySendError::Closed(_)) => Err(Unanswered::Lost),
        }
    }
}

async fn write_batches<T, A>(
    mut calls: mpsc::Receiver<Call<T, A>>,
    write: impl Fn(Vec<T>) -> BoxFuture<'static, Vec<A>>,
) {
    let mut taken = Vec::with_capacity(BATCH_LENGTH);
    while calls.recv_many(&mut taken, BATCH_LENGTH).await > 0 {
        gather(&mut calls, &mut taken).await;
        let (items, senders): (Vec<T>, Vec<_>) =
            taken.drain(..).map(|call| (call.item, call.answer)).unzip();
        for (sender, answer) in senders.into_iter().zip(write(items).await) {
            // He may have gone away; it is carried out all the same.
            let _ = sender.send(answer);
        }
    }
}

/// Takes those along who are about to call: lets everything that can run do so, as long as that brings
/// more calls. When nobody else calls, nothing else can run, and it takes no time.
async fn gather<T, A>(calls: &mut mpsc::Receiver<Call<T, A>>, taken: &mut Vec<Call<T, A>>) {
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
