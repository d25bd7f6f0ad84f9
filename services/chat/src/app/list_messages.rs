//! Listing the messages of a chatroom.

use domain::id::ChatroomId;
use kit::{error::CallError, page};
use serde::{Deserialize, Serialize};

use super::{App, Caller, seen};
use crate::{
    error::ChatError,
    model::Message,
    store::messages::{self, Range},
};

/// In which order messages are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum MessageOrder {
    /// The greatest sequence first.
    NewestFirst,
    /// The smallest sequence first.
    OldestFirst,
}

/// Somebody reads a chatroom.
#[derive(Clone, Debug)]
pub(crate) struct ListMessages {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// The order.
    pub order: MessageOrder,
    /// How many at most.
    pub page_size: i64,
    /// Where to go on; empty for the first page.
    pub page_token: String,
}

/// Where a page begins. Sequences never change, so nothing that is written meanwhile can move a
/// message from one page to another.
#[derive(Deserialize, Serialize)]
struct Cursor {
    messages_of: uuid::Uuid,
    order: MessageOrder,
    /// The last sequence of the page before.
    sequence: u64,
}

impl App {
    /// Returns messages of a chatroom that the caller sees, and the token of the next page.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`]; [`CallError::PageTokenInvalid`] for a token of another
    /// chatroom or order; [`ChatError::ConsistencyUnavailable`].
    pub(crate) async fn list_messages(
        &self,
        caller: &Caller,
        query: ListMessages,
    ) -> Result<(Vec<Message>, String), ChatError> {
        let range = query.range()?;
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let (brand_id, id) = (&caller.brand_id, query.chatroom_id);
        seen::find(&mut connection, brand_id, caller.party, id).await?;
        // One more than is shown tells whether there is another page.
        let limit = query.page_size.saturating_add(1);
        let mut listed = messages::list(&mut connection, brand_id, id, range, limit).await?;
        let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
        let more = listed.len() > size;
        listed.truncate(size);
        let token = match listed.last() {
            Some(last) if more => query.token_after(last),
            Some(_) | None => String::new(),
        };
        Ok((listed, token))
    }
}

impl ListMessages {
    fn range(&self) -> Result<Range, CallError> {
        let sequence = match page::cursor::<Cursor>(&self.page_token)? {
            None => None,
            Some(cursor)
                if cursor.messages_of == self.chatroom_id.uuid() && cursor.order == self.order =>
            {
                Some(cursor.sequence)
            }
            Some(_) => return Err(CallError::PageTokenInvalid),
        };
        Ok(match self.order {
            MessageOrder::NewestFirst => Range::NewestBelow(sequence.unwrap_or(u64::MAX)),
            MessageOrder::OldestFirst => Range::OldestAbove(sequence.unwrap_or(0)),
        })
    }

    fn token_after(&self, last: &Message) -> String {
        page::token(&Cursor {
            messages_of: self.chatroom_id.uuid(),
            order: self.order,
            sequence: last.place.sequence,
        })
    }
}
