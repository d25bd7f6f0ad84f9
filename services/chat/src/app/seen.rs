//! Who sees which chatroom (SPEC 21).
//!
//! | party               | sees                                                            |
//! |---------------------|-----------------------------------------------------------------|
//! | temporary visitor   | the chatrooms of his account                                    |
//! | person              | those of the client and of each temporary linked with history   |
//! | Member              | those that he is in                                             |
//! | service as itself   | all of its Brand; only to write into them                       |

use std::collections::BTreeSet;

use domain::{
    id::{AccountId, BrandId, ChatroomId, MemberId},
    person::{LinkScope, Links, Person},
};
use kit::{db::Connection, directory::links};

use super::Party;
use crate::{
    error::ChatError,
    model::Chatroom,
    store::chatrooms::{self, WithLast},
};

/// Returns the accounts whose chatrooms a visitor sees, or `None` for a party that is no visitor.
pub(super) async fn person(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
) -> Result<Option<Person>, ChatError> {
    match party {
        Party::Temporary(account_id) => Ok(Some(alone(account_id))),
        Party::Person(account_id) => {
            let links = links::around(connection, brand_id, account_id).await?;
            Ok(Some(links.seen_by(account_id)))
        }
        Party::Member(_) | Party::Service(_) => Ok(None),
    }
}

/// Returns the accounts whose chatrooms a visitor sees, and those whose chatrooms he may have seen
/// before a link was revoked; none for a party that is no visitor.
pub(super) async fn reach(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
) -> Result<(BTreeSet<AccountId>, BTreeSet<AccountId>), ChatError> {
    let Party::Person(account_id) = party else {
        let person = person(connection, brand_id, party).await?;
        return Ok((
            person.map(|one| one.accounts).unwrap_or_default(),
            BTreeSet::new(),
        ));
    };
    let links = links::around(connection, brand_id, account_id).await?;
    let seen = links.seen_by(account_id).accounts;
    let lost = links
        .iter()
        .filter(|link| link.scope == LinkScope::History && !link.is_active())
        .flat_map(|link| [link.client, link.temporary])
        .filter(|account| !seen.contains(account))
        .collect();
    Ok((seen, lost))
}

/// Returns whether the party sees the chatroom.
pub(super) async fn sees(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
    chatroom: &Chatroom,
) -> Result<bool, ChatError> {
    let links = match foreign_ends(party, chatroom.account_id) {
        Some(ends) => links::list_by_temporaries(connection, brand_id, &ends).await?,
        None => Links::default(),
    };
    Ok(sees_through(&links, party, chatroom))
}

/// Returns the two accounts between which a link decides whether the party sees a chatroom of
/// `account_id`; none
/// in the common case, since what is his own he always sees.
pub(super) fn foreign_ends(party: Party, account_id: AccountId) -> Option<[AccountId; 2]> {
    match party {
        Party::Person(own) if own != account_id => Some([own, account_id]),
        Party::Temporary(_) | Party::Person(_) | Party::Member(_) | Party::Service(_) => None,
    }
}

/// As [`sees`], where `links` are those of which one of [`foreign_ends`] is the temporary account.
pub(super) fn sees_through(links: &Links, party: Party, chatroom: &Chatroom) -> bool {
    sees_between(links, party, (chatroom.account_id, chatroom.member_id))
}

/// As [`sees_through`], of the chatroom of that account and Member.
pub(super) fn sees_between(
    links: &Links,
    party: Party,
    (account_id, member_id): (AccountId, MemberId),
) -> bool {
    match party {
        Party::Member(own) => member_id == own,
        Party::Service(_) => true,
        Party::Temporary(own) => account_id == own,
        Party::Person(own) => links.seen_by(own).accounts.contains(&account_id),
    }
}

/// Returns a chatroom that the party sees.
///
/// # Errors
///
/// [`ChatError::ChatroomNotFound`] when there is none, or he does not see it.
pub(super) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
    id: ChatroomId,
) -> Result<WithLast, ChatError> {
    let missing = ChatError::ChatroomNotFound { chatroom_id: id };
    let Some(found) = chatrooms::find(connection, brand_id, id).await? else {
        return Err(missing);
    };
    if sees(connection, brand_id, party, &found.chatroom).await? {
        Ok(found)
    } else {
        Err(missing)
    }
}

/// As [`find`], and keeps others from changing the chatroom until the transaction ends.
pub(super) async fn lock(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
    id: ChatroomId,
) -> Result<Chatroom, ChatError> {
    let missing = ChatError::ChatroomNotFound { chatroom_id: id };
    let Some(chatroom) = chatrooms::lock(connection, brand_id, id).await? else {
        return Err(missing);
    };
    if sees(connection, brand_id, party, &chatroom).await? {
        Ok(chatroom)
    } else {
        Err(missing)
    }
}

fn alone(account_id: AccountId) -> Person {
    Person {
        root: account_id,
        accounts: BTreeSet::from([account_id]),
    }
}
