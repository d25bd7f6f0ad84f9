//! The position of a stream as its watcher keeps it: a place in the log, and whose stream it is.
//!
//! Another participant's position would leave out what only the one who resumes sees. An upgrade
//! keeps the account, and so the position.

use kit::{error::CallError, event_log};

use crate::{app::Party, store::chatroom_changes::RowKey};

/// Where to resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Of which database.
    pub incarnation: String,
    /// Behind which row.
    pub key: RowKey,
}

impl Position {
    /// Returns the position that `party` was given; `None` for an empty text.
    pub(super) fn parse(text: &str, party: Party) -> Result<Option<Self>, CallError> {
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = CallError::ResumePositionInvalid;
        let Some((place, whose)) = text.rsplit_once(':') else {
            return Err(invalid);
        };
        if whose != party.author().id().to_string() {
            return Err(invalid);
        }
        let Ok(place) = place.parse::<event_log::Position>() else {
            return Err(invalid);
        };
        Ok(Some(Self {
            incarnation: place.incarnation,
            key: RowKey {
                transaction: place.transaction,
                row: place.row,
            },
        }))
    }
}

/// Returns the text of a place in the log of `incarnation`, as `party` is given it.
pub(super) fn text(incarnation: &str, key: RowKey, party: Party) -> String {
    let place = event_log::Position {
        incarnation: incarnation.to_owned(),
        transaction: key.transaction,
        row: key.row,
    };
    format!("{place}:{}", party.author().id())
}

#[cfg(test)]
mod tests {
    use domain::id::AccountId;
    use uuid::Uuid;

    use super::*;

    const KEY: RowKey = RowKey {
        transaction: 7,
        row: 9,
    };

    fn id(number: u128) -> AccountId {
        Uuid::from_u128(number).into()
    }

    #[test]
    fn a_position_is_good_for_its_participant_alone() {
        let temporary = Party::Temporary(id(1));
        let text = text("7423.00000001.16384", KEY, temporary);
        assert!(text.len() <= 256);
        let read = |party| Position::parse(&text, party);
        let expected = Position {
            incarnation: "7423.00000001.16384".to_owned(),
            key: KEY,
        };
        assert_eq!(read(temporary).unwrap(), Some(expected.clone()));
        // An upgrade keeps the account.
        assert_eq!(read(Party::Person(id(1))).unwrap(), Some(expected));
        assert!(read(Party::Person(id(2))).is_err());
        assert!(read(Party::Member(Uuid::from_u128(3).into())).is_err());
    }

    #[test]
    fn what_no_stream_gave_is_no_position() {
        let party = Party::Person(id(1));
        assert_eq!(Position::parse("", party).unwrap(), None);
        let own = id(1);
        for text in ["x", "x:7:9", &format!("x:7:{own}"), &format!("x:a:9:{own}")] {
            assert!(Position::parse(text, party).is_err(), "{text}");
        }
    }
}
