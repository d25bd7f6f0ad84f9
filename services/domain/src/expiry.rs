//! When an unused temporary account ends.
//!
//! | the account …                          | then                                        |
//! |----------------------------------------|---------------------------------------------|
//! | has an active link                     | it lives as long as its client: look again a lifetime later |
//! | was used less than a lifetime ago      | look again when a lifetime has passed since |
//! | else                                   | erase it                                    |
//!
//! Counted is from the last use and with the lifetime that the Brand has now: what was expected at the
//! last use does not bind a Brand that has raised it since, as it must with its attribution window.
//!
//! Source: SPEC 57.

use chrono::{DateTime, TimeDelta, Utc};

/// What becomes of a temporary account that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It is erased.
    Erase,
    /// It stays, and is looked at again then, which is later than now.
    LookAgain(DateTime<Utc>),
}

/// Decides whether a temporary account, last used at `last_use`, is erased at `now`.
///
/// Source: SPEC 57.
pub fn decide_expiry(
    last_use: DateTime<Utc>,
    lifetime: TimeDelta,
    is_linked: bool,
    now: DateTime<Utc>,
) -> Expiry {
    if is_linked {
        return Expiry::LookAgain(now + lifetime);
    }
    let expire_time = last_use + lifetime;
    if now < expire_time {
        Expiry::LookAgain(expire_time)
    } else {
        Expiry::Erase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(day)
    }

    fn check(last_use: i64, lifetime: i64, is_linked: bool, now: i64, expected: Expiry) {
        let lifetime = TimeDelta::days(lifetime);
        let decided = decide_expiry(day(last_use), lifetime, is_linked, day(now));
        assert_eq!(decided, expected, "{last_use} {is_linked} {now}");
    }

    #[test]
    fn an_account_ends_a_lifetime_after_its_last_use() {
        check(0, 30, false, 30, Expiry::Erase); // SPEC 57
        check(0, 30, false, 29, Expiry::LookAgain(day(30)));
        check(0, 60, false, 30, Expiry::LookAgain(day(60)));
        check(5, 30, false, 30, Expiry::LookAgain(day(35)));
    }

    #[test]
    fn a_linked_account_never_ends_by_itself() {
        check(0, 30, true, 400, Expiry::LookAgain(day(430))); // SPEC 57
    }
}
