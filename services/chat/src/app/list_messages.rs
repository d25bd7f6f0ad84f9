//! Listing the messages of a chatroom.

use domain::id::ChatroomId;
use kit::page::Page;
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
    pub page_size: i32,
    /// Where to go on; empty for the first page.
    pub page_token: String,
}

impl App {
    /// Returns messages of a chatroom that the caller sees, and the token of the next page.
    ///
    /// # Errors
    ///
    /// [`ChatError::ChatroomNotFound`]; [`CallError::FieldInvalid`] for a negative size;
    /// [`CallError::PageTokenInvalid`] for a token of another chatroom or order;
    /// [`CallError::ConsistencyUnavailable`].
    ///
    /// [`CallError::FieldInvalid`]: kit::error::CallError::FieldInvalid
    /// [`CallError::PageTokenInvalid`]: kit::error::CallError::PageTokenInvalid
    /// [`CallError::ConsistencyUnavailable`]: kit::error::CallError::ConsistencyUnavailable
    pub(crate) async fn list_messages(
        &self,
        caller: &Caller,
        query: ListMessages,
    ) -> Result<(Vec<Message>, String), ChatError> {
        // Sequences never change, so nothing that is written meanwhile can move a message from one
        // page to another.
        let list = ("ListMessages", query.chatroom_id.uuid(), query.order);
        let page = Page::open(query.page_size, &query.page_token, &list)?;
        let range = query.order.range(page.after().copied());
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let (brand_id, id) = (&caller.brand_id, query.chatroom_id);
        seen::find(&mut connection, brand_id, caller.party, id).await?;
        let listed = messages::list(&mut connection, brand_id, id, range, page.limit()).await?;
        Ok(page.close(listed, |last| last.place.sequence))
    }
}

impl MessageOrder {
    /// Returns the messages behind the one with the sequence `after`.
    fn range(self, after: Option<u64>) -> Range {
        match self {
            Self::NewestFirst => Range::NewestBelow(after.unwrap_or(u64::MAX)),
            Self::OldestFirst => Range::OldestAbove(after.unwrap_or(0)),
        }
    }
}
