//! What is remembered of the chatrooms that were written into last, so that the next message there
//! takes one round trip.
//!
//! A draft that is decided from memory is written on condition that the memory was right; else nothing
//! of it is written, and it is decided anew under the chatroom's lock. So a memory that is wrong costs
//! time and nothing else. Whatever memory would refuse, the database is asked about.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use kit::consistency::ConsistencyToken;

use super::append::{Appended, Desk, Draft};
use crate::{
    model::Chatroom,
    store::appending::{Batch, Facts, Key, Moved},
};

/// Some megabytes; when there are more, all are forgotten.
const MOST_CHATROOMS: usize = 10_000;
/// How many batches of a chatroom are decided under its lock after memory was wrong about it: where
/// another replica writes too, memory is wrong every other time.
const REST: u8 = 16;

/// The chatrooms as the last batches have left them.
#[derive(Default)]
pub(super) struct Memory {
    chatrooms: HashMap<Key, Remembered>,
}

struct Remembered {
    chatroom: Chatroom,
    /// Up to where somebody's links were seen to be known; what is known only grows (SPEC 54).
    met: Option<ConsistencyToken>,
    /// How many batches are still decided under the lock.
    rest: u8,
}

/// What was decided from memory: an answer for each draft, if it had one, and what is to be written.
pub(super) struct Decided {
    pub answers: Vec<Option<Appended>>,
    pub batch: Batch,
}

impl Memory {
    /// Decides those drafts that it would not refuse. Once a draft is left, so are all that follow it
    /// in its chatroom.
    pub(super) fn decide(&self, drafts: &[Arc<Draft>]) -> Decided {
        let mut desk = Desk::default();
        let mut left = HashSet::new();
        let answers = drafts
            .iter()
            .map(|draft| {
                let key = draft.key();
                let answer = (!left.contains(&key))
                    .then(|| self.decide_one(&mut desk, draft, &key))
                    .flatten();
                if answer.is_none() {
                    left.insert(key);
                }
                answer
            })
            .collect();
        Decided {
            answers,
            batch: desk.into_batch(),
        }
    }

    fn decide_one(&self, desk: &mut Desk, draft: &Draft, key: &Key) -> Option<Appended> {
        let known = self.chatrooms.get(key).filter(|known| known.rest == 0)?;
        desk.know(key, &known.chatroom);
        let facts = Facts {
            is_account_known: known.met.map(|met| met.account_id)
                == draft.caller.needed.map(|needed| needed.account_id),
            link_revision: known.met.map_or(0, |met| met.link_revision),
            ..Facts::default()
        };
        match desk.take(draft, facts) {
            Ok(answer @ Appended::Message(_)) => Some(answer),
            Ok(Appended::Behind) | Err(_) => None,
        }
    }

    /// Remembers the chatrooms that a batch has moved, and whose links its drafts have shown.
    pub(super) fn learn<'a>(
        &mut self,
        moved: BTreeMap<Key, Moved>,
        written: impl Iterator<Item = &'a Draft>,
    ) {
        if self.chatrooms.len() >= MOST_CHATROOMS {
            self.chatrooms.clear();
        }
        for (key, moved) in moved {
            let before = self.chatrooms.get(&key);
            let remembered = Remembered {
                chatroom: moved.after,
                met: before.and_then(|before| before.met),
                rest: before.map_or(0, |before| before.rest.saturating_sub(1)),
            };
            self.chatrooms.insert(key, remembered);
        }
        for draft in written {
            if let Some(needed) = draft.caller.needed
                && let Some(known) = self.chatrooms.get_mut(&draft.key())
            {
                known.met = Some(needed);
            }
        }
    }

    /// Takes note that it was wrong about a chatroom.
    pub(super) fn distrust(&mut self, key: &Key) {
        if let Some(known) = self.chatrooms.get_mut(key) {
            known.rest = REST;
        }
    }
}
