//! What is remembered of the chatrooms that were written into last, so that the next message there
//! takes one round trip. One that is not remembered is read first, and takes two.
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
    store::appending::{Batch, Facts, Key, Look, Moved},
};

/// Some megabytes; when there are more, all are forgotten.
const MOST_CHATROOMS: usize = 10_000;
/// For how many batches a chatroom is read first after memory was wrong about it: where another replica
/// writes too, memory is wrong every other time.
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
    /// For how many batches it is still read first.
    rest: u8,
}

/// What was decided from memory: an answer for each draft, if it had one, and what is to be written.
pub(super) struct Decided {
    pub answers: Vec<Option<Appended>>,
    pub batch: Batch,
}

impl Memory {
    /// Returns the chatrooms of drafts that are to be read before anything is decided, each with what a
    /// draft needs to be known with it.
    pub(super) fn unsure(&self, drafts: &[Arc<Draft>]) -> BTreeMap<Key, Option<ConsistencyToken>> {
        let questions = drafts
            .iter()
            .map(|draft| (draft.key(), draft.caller.needed));
        questions
            .filter(|(key, needed)| !self.is_sure(key, *needed))
            .collect()
    }

    fn is_sure(&self, key: &Key, needed: Option<ConsistencyToken>) -> bool {
        self.chatrooms.get(key).is_some_and(|known| {
            let is_met = |needed: ConsistencyToken| {
                known.met.is_some_and(|met| {
                    met.account_id == needed.account_id && met.link_revision >= needed.link_revision
                })
            };
            known.rest == 0 && needed.is_none_or(is_met)
        })
    }

    /// Remembers chatrooms as they have just been read, each with what was asked for with it.
    pub(super) fn look(
        &mut self,
        rooms: BTreeMap<Key, Look>,
        needed: &BTreeMap<Key, Option<ConsistencyToken>>,
    ) {
        self.make_room();
        for (key, (chatroom, is_known)) in rooms {
            let met = needed.get(&key).copied().flatten().filter(|_| is_known);
            self.put(key.clone(), chatroom, |rest| rest);
            self.meet(&key, met);
        }
    }

    fn meet(&mut self, key: &Key, met: Option<ConsistencyToken>) {
        if let Some(met) = met
            && let Some(known) = self.chatrooms.get_mut(key)
        {
            known.met = Some(met);
        }
    }

    fn make_room(&mut self) {
        if self.chatrooms.len() >= MOST_CHATROOMS {
            self.chatrooms.clear();
        }
    }

    fn put(&mut self, key: Key, chatroom: Chatroom, rest: impl FnOnce(u8) -> u8) {
        let before = self.chatrooms.get(&key);
        let remembered = Remembered {
            chatroom,
            met: before.and_then(|before| before.met),
            rest: rest(before.map_or(0, |before| before.rest)),
        };
        self.chatrooms.insert(key, remembered);
    }

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
        let known = self.chatrooms.get(key)?;
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
        self.make_room();
        for (key, moved) in moved {
            self.put(key, moved.after, |rest| rest.saturating_sub(1));
        }
        for draft in written {
            self.meet(&draft.key(), draft.caller.needed);
        }
    }

    /// Takes note that it was wrong about a chatroom.
    pub(super) fn distrust(&mut self, key: &Key) {
        if let Some(known) = self.chatrooms.get_mut(key) {
            known.rest = REST;
        }
    }
}
