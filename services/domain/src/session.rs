//! Who may begin as a temporary account, and whether a session token still says whose it is.
//!
//! The session token, never an e-mail, is the proof that a temporary account is the visitor's
//! (SPEC 5). At sign-in it is taken at its word in two situations, and in no other:
//!
//! | the session …                        | before it expires     | from then on |
//! |--------------------------------------|-----------------------|--------------|
//! | is open                              | identifies            | unusable     |
//! | was revoked by the merge itself      | identifies (SPEC 11)  | unusable     |
//! | was ended by its visitor             | unusable              | unusable     |
//! | was revoked for any other reason     | unusable              | unusable     |
//!
//! The second row is what makes a repeated sign-in repeat its outcome. It opens nothing: the session
//! stays revoked for every other call.
//!
//! Source: SPEC 2, 5, 11, 12.

use chrono::{DateTime, Utc};

use crate::label::labels;

/// Where a visitor acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Widget {
    /// The conversational one.
    Community,
    /// Shows publications.
    Publication,
    /// Shows a Member's profile.
    Profile,
}

labels!(Widget {
    Community => "COMMUNITY",
    Publication => "PUBLICATION",
    Profile => "PROFILE",
});

impl Widget {
    /// Returns whether a visitor may act in it without a client account.
    ///
    /// Source: SPEC 2; product document, "which scenarios are concerned".
    pub const fn admits_temporary(self) -> bool {
        match self {
            Self::Community => true,
            Self::Publication | Self::Profile => false,
        }
    }
}

/// How a session came to its end before it expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionEnd {
    /// Its visitor ended it.
    Ended,
    /// The sign-in that settled its account revoked it (SPEC 12).
    Merged,
    /// It was revoked otherwise: an erasure, an operator.
    Revoked,
}

labels!(SessionEnd { Ended => "ENDED", Merged => "MERGED", Revoked => "REVOKED" });

/// The state of a temporary session whose token was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// From when on it is expired, this instant included (SPEC 57).
    pub expire_time: DateTime<Utc>,
    /// How it ended, if it did. The first end counts: what has ended is not ended again.
    pub end: Option<SessionEnd>,
}

impl SessionState {
    /// Returns whether its token tells at `now`, to a sign-in, whose temporary account it is.
    ///
    /// Source: SPEC 5, 11.
    pub fn identifies_account(&self, now: DateTime<Utc>) -> bool {
        let is_expired = self.expire_time <= now;
        match self.end {
            None | Some(SessionEnd::Merged) => !is_expired,
            Some(SessionEnd::Ended | SessionEnd::Revoked) => false,
        }
    }

    /// Returns whether its token is good at `now` for anything else than a sign-in.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.end.is_none() && now < self.expire_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn check(end: Option<SessionEnd>, now: i64, identifies: bool, is_open: bool) {
        let state = SessionState {
            expire_time: at(100),
            end,
        };
        let found = (state.identifies_account(at(now)), state.is_open(at(now)));
        assert_eq!(found, (identifies, is_open), "{end:?} at {now}");
    }

    #[test]
    fn only_a_session_that_is_open_or_merged_identifies_its_account() {
        check(None, 99, true, true); // SPEC 5
        check(None, 100, false, false);
        check(Some(SessionEnd::Merged), 99, true, false); // SPEC 11
        check(Some(SessionEnd::Merged), 100, false, false);
        check(Some(SessionEnd::Ended), 99, false, false);
        check(Some(SessionEnd::Revoked), 99, false, false);
    }

    #[test]
    fn only_the_conversational_widget_admits_a_temporary_account() {
        let admitting: Vec<_> = Widget::ALL
            .iter()
            .filter(|w| w.admits_temporary())
            .collect();
        assert_eq!(admitting, [&Widget::Community]); // SPEC 2
    }
}
