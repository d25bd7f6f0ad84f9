//! A chatroom as one side sees it, with what identity says of its two participants.

use std::collections::BTreeSet;

use domain::{
    block,
    id::{AccountId, BrandId, MemberId},
    message::Side,
};
use kit::{
    db::Connection,
    directory::{accounts, links, members},
};
use rapport_proto::event::v1::AccountState;

use crate::{
    error::ChatError,
    model::{Chatroom, Message},
    store::{chatrooms::WithLast, member_blocks},
};

/// A chatroom as one side sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatroomView {
    /// The chatroom.
    pub chatroom: Chatroom,
    /// Its newest message.
    pub last_message: Option<Message>,
    /// The visitor as a person: chatrooms with the same one are shown as one person's (SPEC 26).
    pub person_id: AccountId,
    /// The side that asks.
    pub side: Side,
    /// Whether that side has blocked the other (SPEC 30).
    pub blocked: bool,
    /// Whether that side may write now.
    pub writable: bool,
}

/// Returns what `side` sees of chatrooms; a page of them costs as many queries as one.
pub(super) async fn views(
    connection: &mut Connection,
    brand_id: &BrandId,
    side: Side,
    rows: Vec<WithLast>,
) -> Result<Vec<ChatroomView>, ChatError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let visitors: Vec<AccountId> = rows.iter().map(|row| row.chatroom.account_id).collect();
    let answering: Vec<MemberId> = rows.iter().map(|row| row.chatroom.member_id).collect();
    let links = links::list_by_temporaries(connection, brand_id, &visitors).await?;
    let erased: BTreeSet<AccountId> = accounts::list(connection, brand_id, &visitors)
        .await?
        .into_iter()
        .filter(|account| account.state == AccountState::Erased)
        .map(|account| account.id)
        .collect();
    let deactivated = members::list_deactivated(connection, brand_id, &answering).await?;
    let pairs: Vec<_> = rows.iter().map(|row| (brand_id, &row.chatroom)).collect();
    let blocks = member_blocks::list(connection, &pairs).await?;
    let view = |row: WithLast| {
        let said = blocks.get(&(brand_id.clone(), row.chatroom.id));
        let visitor_blocked = row.chatroom.visitor_blocked;
        let member_blocked = said.is_some_and(|said| block::is_blocked(said));
        ChatroomView {
            person_id: links.seen_by(row.chatroom.account_id).root,
            side,
            blocked: match side {
                Side::Visitor => visitor_blocked,
                Side::Member => member_blocked,
                Side::Service => false,
            },
            writable: !erased.contains(&row.chatroom.account_id)
                && !deactivated.contains(&row.chatroom.member_id)
                && !visitor_blocked
                && !member_blocked,
            chatroom: row.chatroom,
            last_message: row.last_message,
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// Returns what `side` sees of one chatroom.
pub(super) async fn view(
    connection: &mut Connection,
    brand_id: &BrandId,
    side: Side,
    row: WithLast,
) -> Result<ChatroomView, ChatError> {
    let chatroom_id = row.chatroom.id;
    let mut views = views(connection, brand_id, side, vec![row]).await?;
    views
        .pop()
        .ok_or(ChatError::ChatroomNotFound { chatroom_id })
}
