//! Has a Member blocked a person?
//!
//! A Member blocks in a chatroom, and so an account; the block holds for the pair of person and Member,
//! so that no other chatroom of theirs evades it. A person is here whoever identity says is one, through
//! links of both scopes: a link that serves attribution alone hides the history, and would otherwise be
//! the way around a block.
//!
//! What is kept of an account is when the Member last blocked it, and when he last took a block back.
//! What follows is told from these facts and the links that are active, so that a revoked link leaves
//! what there would be without it (SPEC 16):
//!
//! | he blocked …        | and later took it back …                                   | the person is |
//! |---------------------|------------------------------------------------------------|---------------|
//! | any of its accounts | nowhere                                                    | blocked       |
//! | an account          | in a chatroom of that account                              | not blocked   |
//! | an account          | in one of another account, which was linked to it by then  | not blocked   |
//! | an account          | in one of another account, which was linked to it later    | blocked: he did not mean this one |
//!
//! Source: SPEC 16, 30.

use chrono::{DateTime, TimeDelta, Utc};

use crate::instant;

/// What a Member has said about one account of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountBlock {
    /// When the active link was made that ties it to the person; `None` for the person's root.
    pub link_time: Option<DateTime<Utc>>,
    /// When he last blocked it.
    pub block_time: Option<DateTime<Utc>>,
    /// When he last took a block back in a chatroom of it.
    pub unblock_time: Option<DateTime<Utc>>,
}

/// Returns whether a Member has blocked the person of whose accounts these are told; an account about
/// which he has said nothing may be left out.
///
/// Source: SPEC 30.
pub fn is_blocked(person: &[AccountBlock]) -> bool {
    person.iter().enumerate().any(|(blocked, account)| {
        let is_lifted_by = |(lifting, other): (usize, &AccountBlock)| {
            let later = other.unblock_time > account.block_time;
            later && (lifting == blocked || were_one(account, other, other.unblock_time))
        };
        account.block_time.is_some() && !person.iter().enumerate().any(is_lifted_by)
    })
}

fn were_one(one: &AccountBlock, other: &AccountBlock, at: Option<DateTime<Utc>>) -> bool {
    let joined = |account: &AccountBlock| account.link_time <= at;
    joined(one) && joined(other)
}

/// Returns the time of what a Member says now: later than all that he has said of the person before,
/// and than the links that make it one, whatever the clocks say.
pub fn fact_time(
    now: DateTime<Utc>,
    person: &[AccountBlock],
    link_times: impl IntoIterator<Item = DateTime<Utc>>,
) -> DateTime<Utc> {
    let said = person
        .iter()
        .flat_map(|account| [account.block_time, account.unblock_time]);
    let latest = said.flatten().chain(link_times).max();
    latest.map_or(now, |latest| {
        now.max(instant::after(latest, TimeDelta::microseconds(1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    /// An account by the microseconds of its link, block and taking back; 0 for none.
    fn account(link: i64, block: i64, unblock: i64) -> AccountBlock {
        let time = |micros| (micros != 0).then(|| at(micros));
        AccountBlock {
            link_time: time(link),
            block_time: time(block),
            unblock_time: time(unblock),
        }
    }

    /// One row of the module's table; the order of the accounts never matters.
    fn check(person: &[AccountBlock], expected: bool) {
        assert_eq!(is_blocked(person), expected, "{person:?}");
        let reversed: Vec<_> = person.iter().copied().rev().collect();
        assert_eq!(is_blocked(&reversed), expected, "{reversed:?}");
    }

    #[test]
    fn a_block_holds_for_the_person_until_it_is_taken_back() {
        check(&[], false);
        check(&[account(0, 5, 0)], true); // SPEC 30
        check(&[account(0, 5, 6)], false);
        check(&[account(0, 7, 6)], true);
        check(&[account(0, 0, 6)], false);
        check(&[account(0, 0, 0), account(3, 5, 0)], true);
        check(&[account(0, 0, 0), account(9, 5, 0)], true); // outlives the link
    }

    #[test]
    fn taking_back_counts_for_the_accounts_that_were_one_person_by_then() {
        check(&[account(0, 0, 8), account(3, 5, 0)], false);
        check(&[account(0, 0, 8), account(8, 5, 0)], false);
        check(&[account(0, 0, 8), account(9, 5, 0)], true); // he did not mean this one
        check(&[account(3, 0, 8), account(4, 5, 0)], false);
        check(&[account(9, 0, 8), account(4, 5, 0)], true);
        check(&[account(3, 5, 0), account(4, 6, 7)], false);
        check(&[account(3, 5, 0), account(4, 9, 7)], true);
    }

    #[test]
    fn without_a_link_each_account_keeps_its_own() {
        let (client, temporary) = (account(0, 0, 8), account(3, 5, 0));
        check(&[client, temporary], false);
        check(&[client], false); // SPEC 16
        check(
            &[AccountBlock {
                link_time: None,
                ..temporary
            }],
            true,
        );
    }

    #[test]
    fn what_is_said_later_has_a_later_time() {
        let person = [account(0, 5, 9), account(3, 7, 0)];
        assert_eq!(fact_time(at(20), &person, []), at(20));
        assert_eq!(fact_time(at(4), &person, []), at(10));
        assert_eq!(fact_time(at(4), &person, [at(30)]), at(31));
        assert_eq!(fact_time(at(4), &[], []), at(4));
    }
}
