//! Which accounts are one person: a star of links around a client account.
//!
//! A link ties one temporary account to one client account. Nothing else can be expressed: no link
//! between two clients, two temporaries, or to a Member (SPEC 10). An account without a link is its
//! own person.
//!
//! | question                                         | answered by                 | links that count          |
//! |--------------------------------------------------|-----------------------------|---------------------------|
//! | who is this? (SPEC 19, 30)                       | [`Links::person_of`]        | active, of both scopes    |
//! | whose chatrooms does he see? (SPEC 21)           | [`Links::seen_by`]          | active, with history      |
//! | who was he when the order was placed? (SPEC 42)  | [`Links::person_at`]        | active, and made in time  |
//!
//! Links arrive as facts, in any order and any number of times. Of two facts about one link the
//! greater revision counts, so a revocation is never undone by the link it revokes, whichever comes
//! first (SPEC 16, 51).
//!
//! Whether a link serves an order is decided by the times in the facts alone:
//!
//! | the order names …            | the link was made …                    | the person is             | why |
//! |------------------------------|----------------------------------------|---------------------------|-----|
//! | the client                   | at or before the order                 | client and temporary      | "placed after the user logged in" |
//! | the client                   | after it, within the clock's tolerance | client and temporary      | the Brand's clock is not ours |
//! | the client                   | later                                  | the client                | he had not signed in yet |
//! | the client                   | any time, Brand counts links retroactively | client and temporary  | the Brand's choice |
//! | the temporary                | in time                                | the whole star            | they are one person by then |
//! | the temporary                | later                                  | the temporary alone       | nobody knew the client yet |
//! | either                       | and was revoked, at any time           | as if there were no link  | SPEC 16 |
//!
//! Source: SPEC 10, 16, 19, 21, 37, 42, 51; product document, case 3.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    id::{AccountId, LinkId},
    instant,
    label::labels,
};

/// What a link serves (SPEC 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkScope {
    /// Attribution alone: the temporary chatrooms stay invisible to the client.
    Tracking,
    /// Attribution, and the history: the client reads and writes the temporary chatrooms.
    History,
}

labels!(LinkScope { Tracking => "TRACKING", History => "HISTORY" });

/// The whole state of a link: a fact, with its revision.
///
/// The order of the fields makes the derived order the one in which facts supersede each other: the
/// greater revision, and, were two equal, the revoked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Counts the states of this link: 1 when made, 2 when revoked.
    pub revision: u64,
    /// When it was revoked; `None` while it is active.
    pub revoke_time: Option<DateTime<Utc>>,
    /// Its id.
    pub id: LinkId,
    /// The temporary account.
    pub temporary: AccountId,
    /// The client account, the centre of the star.
    pub client: AccountId,
    /// What it serves.
    pub scope: LinkScope,
    /// When it was made: the instant of the sign-in.
    pub link_time: DateTime<Utc>,
}

impl Link {
    /// Returns whether it was not revoked.
    pub fn is_active(&self) -> bool {
        self.revoke_time.is_none()
    }
}

/// Link facts, each link in its greatest revision. Equal sets of facts give equal `Links`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    by_id: BTreeMap<LinkId, Link>,
}

/// The accounts of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The account that stands for the person: the client, or the one account there is.
    pub root: AccountId,
    /// All accounts, the root included.
    pub accounts: BTreeSet<AccountId>,
}

/// Up to when a fact serves an order (SPEC 42).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Horizon {
    /// Facts of this instant and before.
    Until(DateTime<Utc>),
    /// Facts of any time: the Brand counts links retroactively.
    Unbounded,
}

impl Horizon {
    /// Returns the horizon of an order: `clock_tolerance` after it was placed.
    pub fn of_order(order_time: DateTime<Utc>, clock_tolerance: TimeDelta) -> Self {
        Self::Until(instant::after(order_time, clock_tolerance))
    }

    /// Returns whether a fact of `time` serves the order.
    pub fn reaches(self, time: DateTime<Utc>) -> bool {
        match self {
            Self::Until(latest) => time <= latest,
            Self::Unbounded => true,
        }
    }
}

/// The person of an order, and the accounts that would belong to it but for the state of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonAt {
    /// The account that stands for the person at the order's time.
    pub root: AccountId,
    /// Each account that a link connects with the person, and how it stands.
    pub accounts: BTreeMap<AccountId, Standing>,
}

/// How an account stands to the person of an order. A smaller one takes precedence where several
/// links connect the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It is the account that stands for the person.
    Root,
    /// It belongs to the person through this link.
    Linked(LinkId),
    /// It was linked too late for the order.
    LinkedAfterOrder(LinkId),
    /// Its link was revoked.
    LinkRevoked(LinkId),
}

impl PersonAt {
    /// Returns the link that connects `account` with the person, whether it serves the order or not.
    pub fn link_to(&self, account: AccountId) -> Option<LinkId> {
        match self.accounts.get(&account)? {
            Standing::Root => None,
            Standing::Linked(link)
            | Standing::LinkedAfterOrder(link)
            | Standing::LinkRevoked(link) => Some(*link),
        }
    }
}

impl Links {
    /// Adds a fact. Returns whether it changed anything, that is, was neither known nor superseded.
    ///
    /// Source: SPEC 51.
    pub fn record(&mut self, fact: Link) -> bool {
        match self.by_id.get_mut(&fact.id) {
            Some(known) if *known >= fact => false,
            Some(known) => {
                *known = fact;
                true
            }
            None => {
                self.by_id.insert(fact.id, fact);
                true
            }
        }
    }

    /// Returns the link of that id.
    pub fn get(&self, id: LinkId) -> Option<&Link> {
        self.by_id.get(&id)
    }

    /// Returns all links, revoked ones included, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.by_id.values()
    }

    /// Returns the same facts less one link.
    ///
    /// Source: SPEC 16, 47.
    pub fn without(&self, id: LinkId) -> Self {
        let mut links = self.clone();
        links.by_id.remove(&id);
        links
    }

    /// Returns the active link of a temporary account.
    ///
    /// There is at most one (SPEC 10); were there several, it is the one that was made first.
    pub fn active_of(&self, temporary: AccountId) -> Option<&Link> {
        self.iter()
            .filter(|link| link.temporary == temporary && link.is_active())
            .min_by_key(|link| (link.link_time, link.id))
    }

    /// Returns the person that `account` belongs to now.
    ///
    /// Source: SPEC 10, 19.
    pub fn person_of(&self, account: AccountId) -> Person {
        self.star_around(account, |_| true)
    }

    /// Returns the accounts whose chatrooms the person of `account` sees in chat; the root is the
    /// one whose name a new chatroom of theirs gets.
    ///
    /// Source: SPEC 21, 23.
    pub fn seen_by(&self, account: AccountId) -> Person {
        self.star_around(account, |link| link.scope == LinkScope::History)
    }

    /// Returns the person that `account` belonged to when an order with this `horizon` was placed,
    /// with every account that a link connects with it.
    ///
    /// Through a link that does not serve the order only the one account at its other end is
    /// reported: what lies behind that is another person's.
    ///
    /// Source: SPEC 37, 42, 47.
    pub fn person_at(&self, account: AccountId, horizon: Horizon) -> PersonAt {
        let serves = |link: &Link| horizon.reaches(link.link_time);
        let root = self.root_of(account, serves);
        let mut accounts = BTreeMap::from([(root, Standing::Root)]);
        let mut note = |other: AccountId, standing: Standing| {
            let known = accounts.entry(other).or_insert(standing);
            *known = standing.min(*known);
        };
        for link in self.iter() {
            let far_end = match root {
                _ if link.client == root => link.temporary,
                _ if link.temporary == root => link.client,
                _ => continue,
            };
            if !link.is_active() {
                note(far_end, Standing::LinkRevoked(link.id));
            } else if !serves(link) {
                note(far_end, Standing::LinkedAfterOrder(link.id));
            } else if self.root_of(far_end, serves) == root {
                note(far_end, Standing::Linked(link.id));
            }
        }
        PersonAt { root, accounts }
    }

    /// The centre of the star that `account` is in, or the account itself.
    fn root_of(&self, account: AccountId, counts: impl Fn(&Link) -> bool) -> AccountId {
        self.active_of(account)
            .filter(|link| counts(link))
            .map_or(account, |link| link.client)
    }

    fn star_around(&self, account: AccountId, counts: impl Fn(&Link) -> bool) -> Person {
        let root = self.root_of(account, &counts);
        let mut accounts: BTreeSet<AccountId> = self
            .iter()
            .filter(|link| link.client == root && self.root_of(link.temporary, &counts) == root)
            .map(|link| link.temporary)
            .collect();
        accounts.insert(root);
        Person { root, accounts }
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<Facts: IntoIterator<Item = Link>>(facts: Facts) -> Self {
        let mut links = Self::default();
        for fact in facts {
            links.record(fact);
        }
        links
    }
}

#[cfg(test)]
mod tests;
