//! Every fact that bears on one order, gathered for `domain`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    attribution::OrderFacts,
    buyer::{AccountFact, KnownEmail},
    evidence::ChatroomEvidence,
    id::{AccountId, BrandId, ChatroomId, CustomerId},
    order::{Checkout, Order},
};
use kit::{
    db::{Connection, StoreError},
    directory::{accounts, links, members},
};

use crate::store::{
    attribution_policies, chatrooms, checkouts, messages, order_statuses, orders::RecordedOrder,
    refunds,
};

/// Returns the facts of an order: from its keys to the accounts that they meet, from those to their
/// persons, and on to the chatrooms and what they prove before the order.
pub(crate) async fn load(
    connection: &mut Connection,
    brand_id: &BrandId,
    recorded: &RecordedOrder,
) -> Result<OrderFacts, StoreError> {
    let order = recorded.to_domain();
    let checkouts = match &order.keys.cart {
        Some(cart) => checkouts::find_latest(connection, brand_id, cart, order.order_time)
            .await?
            .into_iter()
            .collect(),
        None => Vec::new(),
    };
    let met = accounts_met(connection, brand_id, &order, &checkouts).await?;
    let links = links::connected(connection, brand_id, &met).await?;
    let connected: BTreeSet<AccountId> = links
        .iter()
        .flat_map(|link| [link.client, link.temporary])
        .chain(met)
        .collect();
    let connected: Vec<AccountId> = connected.into_iter().collect();
    let accounts = account_facts(connection, brand_id, &connected).await?;
    let customers: BTreeSet<&CustomerId> = accounts
        .iter()
        .filter_map(|account| account.customer.as_ref())
        .chain(&order.keys.customer)
        .collect();
    let customers: Vec<CustomerId> = customers.into_iter().cloned().collect();
    let policy =
        attribution_policies::find_in_force(connection, brand_id, order.order_time).await?;
    let ids = std::slice::from_ref(&order.id);
    let statuses = order_statuses::list(connection, brand_id, ids).await?;
    let refunds = refunds::list(connection, brand_id, ids).await?;
    Ok(OrderFacts {
        chatrooms: chatrooms(connection, brand_id, &connected, &order).await?,
        own_customers: members::list_owners(connection, brand_id, &customers).await?,
        policies: policy.into_iter().collect(),
        statuses: statuses.into_iter().map(|(_, status)| status).collect(),
        refunds: refunds.into_iter().map(|(_, one)| one.refund).collect(),
        order,
        accounts,
        links,
        checkouts,
    })
}

/// Returns the accounts that the keys of an order name. Whether they resolve is not decided here.
async fn accounts_met(
    connection: &mut Connection,
    brand_id: &BrandId,
    order: &Order,
    checkouts: &[Checkout],
) -> Result<Vec<AccountId>, StoreError> {
    let mut met: BTreeSet<AccountId> = order.keys.account.into_iter().collect();
    met.extend(checkouts.iter().map(|checkout| checkout.account));
    if let Some(customer) = &order.keys.customer {
        let known = accounts::list_by_customer(connection, brand_id, customer).await?;
        met.extend(known.into_iter().map(|account| account.id));
    }
    if let Some(digest) = &order.keys.email {
        let known = accounts::list_by_email(connection, brand_id, digest).await?;
        met.extend(known.into_iter().map(|email| email.account_id));
    }
    Ok(met.into_iter().collect())
}

async fn account_facts(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[AccountId],
) -> Result<Vec<AccountFact>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut emails: BTreeMap<AccountId, Vec<KnownEmail>> = BTreeMap::new();
    for email in accounts::list_emails(connection, brand_id, ids).await? {
        emails
            .entry(email.account_id)
            .or_default()
            .push(KnownEmail {
                digest: email.digest,
                provenance: email.provenance,
                from_time: email.from_time,
                until_time: email.until_time,
            });
    }
    let known = accounts::list(connection, brand_id, ids).await?;
    Ok(known
        .into_iter()
        .map(|account| AccountFact {
            emails: emails.remove(&account.id).unwrap_or_default(),
            account: account.id,
            customer: account.customer_id,
            upgrade_time: account.upgrade_time,
            erase_time: account.erase_time,
        })
        .collect())
}

async fn chatrooms(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
    order: &Order,
) -> Result<Vec<ChatroomEvidence>, StoreError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let rooms = chatrooms::list_by_accounts(connection, brand_id, accounts).await?;
    let ids: Vec<ChatroomId> = rooms.iter().map(|room| room.chatroom_id).collect();
    let mut evidence =
        messages::evidence_before(connection, brand_id, &ids, order.order_time).await?;
    Ok(rooms
        .into_iter()
        .map(|room| ChatroomEvidence {
            chatroom: room.chatroom_id,
            member: room.member_id,
            visitor: room.account_id,
            evidence: evidence.remove(&room.chatroom_id).unwrap_or_default(),
        })
        .collect())
}
