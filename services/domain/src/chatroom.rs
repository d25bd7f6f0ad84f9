//! Which chatroom opens, and in which order chatrooms are listed.
//!
//! One order decides everything, [`Recency`]:
//!
//! | compared, in this order | greater, so more recent            | why |
//! |-------------------------|------------------------------------|-----|
//! | last message            | the later one; any before none     | "the chatroom with the most recent message" |
//! | creation                | the later one                      | two empty ones, or two messages of one microsecond |
//! | id                      | the greater one                    | an order must be total to be paged |
//!
//! | the visitor …                         | gets                                                    | else           |
//! |---------------------------------------|---------------------------------------------------------|----------------|
//! | opens a direct chatroom with a Member | the most recent one of the two that he sees (SPEC 23)   | a new one      |
//! | resumes after sign-in                 | the most recent one of the temporary account, if he sees them | ↓        |
//! |                                       | the most recent one of his client account (SPEC 24)     | none: `NOT_FOUND` |
//! | lists his chatrooms                   | all that he sees, most recent first (SPEC 25)           | an empty list  |
//!
//! Where rule 24 is silent: a temporary account that is visible but has no chatroom falls through to
//! the client's own, since the visitor comes to continue a conversation and has one there.
//!
//! Source: SPEC 20 to 25; product document, case 3, "the chatroom with the most recent message".

use chrono::{DateTime, Utc};

use crate::{
    id::{AccountId, ChatroomId, MemberId},
    person::Person,
};

/// What the choice of a chatroom depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChatroomSummary {
    /// The visitor's account; exactly one, never rewritten (SPEC 20).
    pub visitor: AccountId,
    /// The Member; exactly one.
    pub member: MemberId,
    /// How recent it is.
    pub recency: Recency,
}

/// The place of a chatroom among others: greater is more recent, and the order is total.
///
/// Only messages move a chatroom. The derived order compares the fields from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recency {
    /// The time of its last message, of any kind; `None` while it is empty.
    pub last_message_time: Option<DateTime<Utc>>,
    /// When it was opened.
    pub create_time: DateTime<Utc>,
    /// Its id.
    pub chatroom: ChatroomId,
}

/// What opening a direct chatroom does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DirectChatroom {
    /// Opens this one.
    Open(ChatroomId),
    /// Creates one with this visitor account.
    Create(AccountId),
}

/// Returns the chatroom that opens between the person who sees `seen` and `member`.
///
/// `chatrooms` may hold others than theirs; those are passed over. Source: SPEC 23.
pub fn decide_direct_chatroom(
    seen: &Person,
    member: MemberId,
    chatrooms: &[ChatroomSummary],
) -> DirectChatroom {
    let of_the_pair = |chatroom: &ChatroomSummary| {
        chatroom.member == member && seen.accounts.contains(&chatroom.visitor)
    };
    most_recent(chatrooms, of_the_pair)
        .map_or(DirectChatroom::Create(seen.root), DirectChatroom::Open)
}

/// Returns the chatroom in which the person who sees `seen` continues after the sign-in that settled
/// `temporary`; `None` where there is none to continue in.
///
/// `chatrooms` may hold others than theirs; those are passed over. Source: SPEC 24.
pub fn decide_resumed_chatroom(
    seen: &Person,
    temporary: AccountId,
    chatrooms: &[ChatroomSummary],
) -> Option<ChatroomId> {
    let of = |account: AccountId| {
        most_recent(chatrooms, |chatroom| {
            chatroom.visitor == account && seen.accounts.contains(&account)
        })
    };
    of(temporary).or_else(|| of(seen.root))
}

fn most_recent(
    chatrooms: &[ChatroomSummary],
    counts: impl Fn(&ChatroomSummary) -> bool,
) -> Option<ChatroomId> {
    chatrooms
        .iter()
        .filter(|chatroom| counts(chatroom))
        .map(|chatroom| chatroom.recency)
        .max()
        .map(|recency| recency.chatroom)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};
    use uuid::Uuid;

    use super::*;

    const CLIENT: AccountId = AccountId::new(Uuid::from_u128(1));
    const TEMPORARY: AccountId = AccountId::new(Uuid::from_u128(2));
    const STRANGER: AccountId = AccountId::new(Uuid::from_u128(3));
    const MEMBER: MemberId = MemberId::new(Uuid::from_u128(9));
    const OTHER_MEMBER: MemberId = MemberId::new(Uuid::from_u128(8));

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn id(number: u128) -> ChatroomId {
        ChatroomId::new(Uuid::from_u128(number))
    }

    fn chatroom(
        number: u128,
        visitor: AccountId,
        created: i64,
        last_message: Option<i64>,
    ) -> ChatroomSummary {
        ChatroomSummary {
            visitor,
            member: MEMBER,
            recency: Recency {
                last_message_time: last_message.map(at),
                create_time: at(created),
                chatroom: id(number),
            },
        }
    }

    fn seen(accounts: &[AccountId]) -> Person {
        Person {
            root: CLIENT,
            accounts: accounts.iter().copied().chain([CLIENT]).collect(),
        }
    }

    fn check_direct(chatrooms: &[ChatroomSummary], expected: DirectChatroom) {
        let seen = seen(&[TEMPORARY]);
        let mut backwards = chatrooms.to_vec();
        backwards.reverse();
        assert_eq!(decide_direct_chatroom(&seen, MEMBER, chatrooms), expected);
        assert_eq!(decide_direct_chatroom(&seen, MEMBER, &backwards), expected);
    }

    #[test]
    fn the_chatroom_with_the_most_recent_message_opens() {
        let own = chatroom(1, CLIENT, 0, Some(10));
        let linked = chatroom(2, TEMPORARY, 5, Some(20));
        check_direct(&[own, linked], DirectChatroom::Open(id(2))); // SPEC 23
        let own = chatroom(1, CLIENT, 0, Some(21));
        check_direct(&[own, linked], DirectChatroom::Open(id(1)));
    }

    #[test]
    fn a_message_counts_more_than_a_later_creation() {
        let written = chatroom(1, CLIENT, 0, Some(1));
        let empty = chatroom(2, TEMPORARY, 99, None);
        check_direct(&[written, empty], DirectChatroom::Open(id(1))); // SPEC 23
    }

    #[test]
    fn ties_go_to_the_later_created_then_to_the_greater_id() {
        let earlier = chatroom(9, CLIENT, 1, Some(5));
        let later = chatroom(1, TEMPORARY, 2, Some(5));
        check_direct(&[earlier, later], DirectChatroom::Open(id(1))); // SPEC 23
        let smaller = chatroom(1, CLIENT, 1, None);
        let greater = chatroom(2, TEMPORARY, 1, None);
        check_direct(&[smaller, greater], DirectChatroom::Open(id(2)));
    }

    #[test]
    fn a_chatroom_is_created_only_where_the_pair_has_none() {
        let create = DirectChatroom::Create(CLIENT);
        check_direct(&[], create); // SPEC 23
        check_direct(&[chatroom(1, STRANGER, 0, Some(1))], create);
        let with_another = ChatroomSummary {
            member: OTHER_MEMBER,
            ..chatroom(1, CLIENT, 0, Some(1))
        };
        check_direct(&[with_another], create);
    }

    #[test]
    fn resume_prefers_the_temporary_account_even_when_it_is_older() {
        let own = chatroom(1, CLIENT, 0, Some(50));
        let older = chatroom(2, TEMPORARY, 0, Some(10));
        let newer = chatroom(3, TEMPORARY, 0, Some(20));
        let all = [own, older, newer];
        let resumed = decide_resumed_chatroom(&seen(&[TEMPORARY]), TEMPORARY, &all);
        assert_eq!(resumed, Some(id(3))); // SPEC 24
    }

    #[test]
    fn resume_falls_back_to_the_clients_own() {
        let own = chatroom(1, CLIENT, 0, Some(5));
        let hidden = chatroom(2, TEMPORARY, 0, Some(10));
        let resumed = decide_resumed_chatroom(&seen(&[]), TEMPORARY, &[own, hidden]);
        assert_eq!(resumed, Some(id(1))); // SPEC 24: invisible to the client
        let resumed = decide_resumed_chatroom(&seen(&[TEMPORARY]), TEMPORARY, &[own]);
        assert_eq!(resumed, Some(id(1))); // visible, but there is none
        let resumed = decide_resumed_chatroom(&seen(&[]), TEMPORARY, &[hidden]);
        assert_eq!(resumed, None); // SPEC 24: NOT_FOUND
    }

    #[test]
    fn an_upgraded_account_resumes_under_its_own_id() {
        let own = chatroom(1, CLIENT, 0, Some(5));
        let resumed = decide_resumed_chatroom(&seen(&[]), CLIENT, &[own]);
        assert_eq!(resumed, Some(id(1))); // SPEC 24
    }

    proptest! {
        #[test]
        fn what_opens_is_the_first_of_the_list(
            rooms in vec((0_u128..6, 0_i64..4, proptest::option::of(0_i64..4)), 1..6),
        ) {
            let rooms: Vec<_> = rooms
                .into_iter()
                .map(|(number, created, last)| chatroom(number, CLIENT, created, last))
                .collect();
            let list: BTreeSet<Recency> = rooms.iter().map(|room| room.recency).collect();
            let first = list.last().map(|recency| recency.chatroom).unwrap();
            let opened = decide_direct_chatroom(&seen(&[]), MEMBER, &rooms);
            prop_assert_eq!(opened, DirectChatroom::Open(first)); // SPEC 23, 25
        }
    }
}
