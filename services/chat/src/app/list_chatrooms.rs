//! Listing the chatrooms that somebody sees, as they stood when paging began (SPEC 25).

use std::collections::BTreeMap;

use domain::{chatroom::Recency, id::BrandId};
use kit::{
    db::Connection,
    error::CallError,
    page::{self, Page},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{App, Caller, ChatroomView, Party, seen, view};
use crate::{
    error::ChatError,
    store::{
        chatrooms::{self, List, Listed, Owner, WithLast},
        moments::{self, Moment},
    },
};

/// Which chatrooms are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum ArchivedFilter {
    /// All.
    All,
    /// Those that the side has not archived.
    NotArchived,
    /// Those that it has.
    Archived,
}

/// Somebody asks for his list.
#[derive(Clone, Debug)]
pub(crate) struct ListChatrooms {
    /// Which ones.
    pub archived: ArchivedFilter,
    /// How many at most.
    pub page_size: i32,
    /// Where to go on; empty for the first page.
    pub page_token: String,
}

/// Where a page begins, and of which moment the list is.
#[derive(Deserialize, Serialize)]
struct Cursor {
    moment: Moment,
    after: Place,
}

/// A [`Recency`] in a token; instants in microseconds since 1970.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Place {
    message_micros: Option<i64>,
    create_micros: i64,
    chatroom: Uuid,
}

impl App {
    /// Returns chatrooms that the caller sees, most recent first, and the token of the next page.
    ///
    /// The list is that of the moment when paging began: what has moved since is shown in its
    /// present state where it stood then, and what has been opened since is not shown. The archive is
    /// filtered by the present state, too.
    ///
    /// # Errors
    ///
    /// [`CallError::FieldInvalid`] for a negative size; [`CallError::PageTokenInvalid`] for a token
    /// of another caller or filter; [`CallError::ConsistencyUnavailable`].
    ///
    /// Source: SPEC 21, 25.
    pub(crate) async fn list_chatrooms(
        &self,
        caller: &Caller,
        query: ListChatrooms,
    ) -> Result<(Vec<ChatroomView>, String), ChatError> {
        let list_of = caller.party.author().id();
        let list = ("ListChatrooms", list_of, query.archived);
        let page = Page::<Cursor>::open(query.page_size, &query.page_token, &list)?;
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let (brand_id, party) = (&caller.brand_id, caller.party);
        let list = List {
            owner: owner(&mut connection, brand_id, party).await?,
            archived: query.archived.values(),
        };
        let (moment, after) = match page.after() {
            Some(Cursor { moment, after }) => (moment.clone(), Some(after.read()?)),
            None => (
                moments::take(&mut connection, self.clock.now()).await?,
                None,
            ),
        };
        let limit = page.limit();
        let listed = list_as_of(&mut connection, brand_id, &list, &moment, after, limit).await?;
        let (listed, token) = page.close(listed, |(place, _)| Cursor {
            moment,
            after: Place::of(*place),
        });
        let rows = listed.into_iter().map(|(_, row)| row).collect();
        let views = view::views(&mut connection, brand_id, party.side(), rows).await?;
        Ok((views, token))
    }
}

async fn owner(
    connection: &mut Connection,
    brand_id: &BrandId,
    party: Party,
) -> Result<Owner, ChatError> {
    if let Party::Member(member_id) = party {
        return Ok(Owner::Member(member_id));
    }
    let person = seen::person(connection, brand_id, party).await?;
    let accounts = person.map(|person| person.accounts).unwrap_or_default();
    Ok(Owner::Accounts(accounts.into_iter().collect()))
}

/// Returns the first `limit` chatrooms after `after` in the order of the moment, with their places.
///
/// The order of the three queries matters: see [`chatrooms::list_moved`]'s module.
async fn list_as_of(
    connection: &mut Connection,
    brand_id: &BrandId,
    list: &List,
    moment: &Moment,
    after: Option<Recency>,
    limit: i64,
) -> Result<Vec<(Recency, WithLast)>, ChatError> {
    let mut listed =
        chatrooms::list_written(connection, brand_id, list, moment, after, limit).await?;
    let rest = limit.saturating_sub(i64::try_from(listed.len()).unwrap_or(limit));
    if rest > 0 {
        let empty = chatrooms::list_empty(connection, brand_id, list, moment, after, rest).await?;
        listed.extend(empty);
    }
    let moved = chatrooms::list_moved(connection, brand_id, list, moment).await?;
    let behind = |listed: &Listed| after.is_none_or(|after| listed.place < after);
    listed.extend(moved.into_iter().filter(behind));
    // A chatroom that moved between two of the queries is in both, at the same place.
    let in_order: BTreeMap<Recency, WithLast> = listed
        .into_iter()
        .map(|Listed { place, row }| (place, row))
        .collect();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(in_order.into_iter().rev().take(limit).collect())
}

impl ArchivedFilter {
    /// Returns what is told of the chatrooms that it lets through.
    fn values(self) -> &'static [bool] {
        match self {
            Self::All => &[false, true],
            Self::NotArchived => &[false],
            Self::Archived => &[true],
        }
    }
}

impl Place {
    fn of(place: Recency) -> Self {
        Self {
            message_micros: place.last_message_time.map(|time| time.timestamp_micros()),
            create_micros: place.create_time.timestamp_micros(),
            chatroom: place.chatroom.uuid(),
        }
    }

    fn read(self) -> Result<Recency, CallError> {
        Ok(Recency {
            last_message_time: self.message_micros.map(page::instant).transpose()?,
            create_time: page::instant(self.create_micros)?,
            chatroom: self.chatroom.into(),
        })
    }
}
