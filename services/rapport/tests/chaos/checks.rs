//! What must be true once a fault is over: all that was acknowledged is there, nothing is there twice.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use anyhow::{Context, ensure};
use rapport::client::{Caller, request_id, shop::Shop, wait_until};
use rapport_proto::{
    attribution::v1::{
        GetDigestRequest, GetDigestResponse, ListLedgerEntriesRequest, RecomputeAttributionsRequest,
    },
    chat::v1 as chat,
    chat::v1::{ListMessagesRequest, Message, MessageOrder, message_content::Content},
    event::v1::{Event, event::Payload},
    identity::v1 as identity,
};

use crate::{
    load::Load,
    model::{self, Credits},
    stack::Stack,
    story::{Room, Story},
};

/// What all rounds of a run have acknowledged, and how far their logs were read.
#[derive(Default)]
pub(crate) struct Ledger {
    message_count: usize,
    link_count: usize,
    order_count: usize,
    messages: Told,
    links: Told,
}

/// How often a log has told of each subject.
#[derive(Default)]
struct Told {
    position: String,
    times: HashMap<String, usize>,
}

/// Checks the stories of a round, and that what was there before is there once.
pub(crate) async fn check(
    stack: &Stack,
    load: &Load,
    stories: &[Story],
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let shop = &load.shop;
    let rooms = || stories.iter().flat_map(|story| &story.chatrooms);
    for room in rooms() {
        check_messages(&load.members[room.member].caller, room).await?;
    }
    ledger.message_count += rooms().map(|room| room.messages.len()).sum::<usize>();
    ledger.link_count += stories.len();
    ledger.order_count += stories
        .iter()
        .map(|story| story.orders.len())
        .sum::<usize>();
    ledger.read_logs(shop).await?;
    for room in rooms() {
        for sent in &room.messages {
            let times = ledger.messages.times.get(&sent.id);
            ensure!(times == Some(&1), "message {} has no event", sent.id);
        }
    }
    let expected = model::credits(stories, &load.members)?;
    check_credits(load, &expected).await?;
    let digest = settled_digest(shop).await?;
    recompute(shop).await?;
    let again = settled_digest(shop).await?;
    ensure!(digest == again, "a fresh evaluation finds something else");
    check_credits(load, &expected).await?;
    let order_count = usize::try_from(digest.order_count)?;
    ensure!(
        order_count == ledger.order_count,
        "{order_count} orders, and {} were acknowledged",
        ledger.order_count
    );
    for (service, table, count) in [
        ("chat", "message", ledger.message_count),
        ("attribution", "message", ledger.message_count),
        ("chat", "link", ledger.link_count),
        ("attribution", "link", ledger.link_count),
    ] {
        let rows = stack.count(service, table)?;
        ensure!(rows == count, "{service} has {rows} of {count} in {table}");
    }
    let set_aside = stack.dead_letters()?;
    ensure!(set_aside.is_empty(), "events were set aside: {set_aside}");
    let errors = stack.errors()?;
    ensure!(errors.is_empty(), "a person must look: {errors:#?}");
    Ok(())
}

/// The messages of a chatroom are those that were acknowledged, from 1 and without a gap (SPEC 29).
async fn check_messages(caller: &Caller, room: &Room) -> anyhow::Result<()> {
    let request = ListMessagesRequest {
        chatroom_id: room.id.clone(),
        order: MessageOrder::OldestFirst.into(),
        ..Default::default()
    };
    let listed = caller.chat.clone().list_messages(request).await?;
    let listed = listed.into_inner().messages;
    let found: Vec<(i64, &str, &str)> = listed
        .iter()
        .map(|message| {
            (
                message.sequence,
                message.message_id.as_str(),
                text_of(message),
            )
        })
        .collect();
    let acknowledged: Vec<(i64, &str, &str)> = room
        .messages
        .iter()
        .map(|sent| (sent.sequence, sent.id.as_str(), sent.text.as_str()))
        .collect();
    ensure!(
        found == acknowledged,
        "found {found:?}, and acknowledged were {acknowledged:?}"
    );
    let sequences = found.iter().map(|(sequence, ..)| *sequence);
    ensure!(sequences.eq((1..).take(found.len())), "a gap in {found:?}");
    Ok(())
}

fn text_of(message: &Message) -> &str {
    let content = message.content.as_ref();
    match content.and_then(|content| content.content.as_ref()) {
        Some(Content::Text(text)) => &text.text,
        _ => "",
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, links, orders) = (self.message_count, self.link_count, self.order_count);
        write!(
            f,
            "{messages} messages, {links} links and {orders} orders, each once"
        )
    }
}

impl Ledger {
    /// Reads both logs on until they have told of all messages and links, and then to their ends.
    async fn read_logs(&mut self, shop: &Shop) -> anyhow::Result<()> {
        let mut service = shop.service.clone();
        let request = chat::WatchEventsRequest {
            brand_id: shop.brand_id.clone(),
            resume_position: self.messages.position.clone(),
        };
        let mut stream = service
            .message_events
            .watch_events(request)
            .await?
            .into_inner();
        while let Some(response) = stream.message().await? {
            use chat::watch_events_response::Content;
            let events = match response.content {
                Some(Content::Batch(batch)) => batch.events,
                _ if self.messages.is_complete(self.message_count)? => break,
                _ => continue,
            };
            self.messages.take(response.position, events)?;
        }
        let request = identity::WatchEventsRequest {
            brand_id: shop.brand_id.clone(),
            resume_position: self.links.position.clone(),
        };
        let mut stream = service.links.watch_events(request).await?.into_inner();
        while let Some(response) = stream.message().await? {
            use identity::watch_events_response::Content;
            let events = match response.content {
                Some(Content::Batch(batch)) => batch.events,
                _ if self.links.is_complete(self.link_count)? => break,
                _ => continue,
            };
            self.links.take(response.position, events)?;
        }
        Ok(())
    }
}

impl Told {
    fn take(&mut self, position: String, events: Vec<Event>) -> anyhow::Result<()> {
        self.position = position;
        for event in events {
            let subject = match event.payload {
                Some(Payload::MessageSent(message)) => message.message_id,
                Some(Payload::LinkChanged(link)) => link.link_id,
                _ => continue,
            };
            let times = self.times.entry(subject.clone()).or_default();
            *times += 1;
            ensure!(*times == 1, "the log tells of {subject} {times} times");
        }
        Ok(())
    }

    /// Tells whether it has told of `count`; of more it must not.
    fn is_complete(&self, count: usize) -> anyhow::Result<bool> {
        let told = self.times.len();
        ensure!(told <= count, "the log tells of {told} of {count}");
        Ok(told == count)
    }
}

/// Waits until what is booked for the round's Members is what must be, order by order; and so are their
/// balances.
async fn check_credits(load: &Load, expected: &Credits) -> anyhow::Result<()> {
    let differing = wait_until("credits are the model's", async || {
        let mut booked = Credits::new();
        for member in &load.members {
            booked.extend(booked_for(&load.shop, &member.id).await?);
        }
        Ok((booked == *expected).then_some(()))
    });
    differing.await?;
    for member in &load.members {
        let own = expected.iter().filter(|((_, id), _)| *id == member.id);
        let sum: i64 = own.map(|(_, minor_units)| minor_units).sum();
        let balance = load.shop.balance(&member.id, "EUR").await?;
        ensure!(
            balance == sum,
            "balance {balance}, and the model's is {sum}"
        );
    }
    Ok(())
}

/// Returns the sums of a Member's entries by order, where they are not zero.
async fn booked_for(shop: &Shop, member_id: &str) -> anyhow::Result<Credits> {
    let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListLedgerEntriesRequest {
            member_id: member_id.to_owned(),
            page_token,
            ..Default::default()
        };
        let attributions = &mut shop.service.clone().attributions;
        let page = attributions.list_ledger_entries(request).await?;
        let page = page.into_inner();
        for entry in page.ledger_entries {
            let key = (entry.order_id, entry.member_id);
            *sums.entry(key).or_default() += entry.amount.unwrap_or_default().minor_units;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    sums.retain(|_, minor_units| *minor_units != 0);
    Ok(sums)
}

async fn settled_digest(shop: &Shop) -> anyhow::Result<GetDigestResponse> {
    wait_until("all is evaluated", async || {
        let attributions = &mut shop.service.clone().attributions;
        let digest = attributions.get_digest(GetDigestRequest {}).await?;
        let digest = digest.into_inner();
        Ok(digest.settled.then_some(digest))
    })
    .await
}

/// Has every order evaluated again from its facts.
async fn recompute(shop: &Shop) -> anyhow::Result<()> {
    let request = RecomputeAttributionsRequest {
        request_id: request_id(),
        ..Default::default()
    };
    let done = wait_until("all orders are evaluated again", async || {
        let attributions = &mut shop.service.clone().attributions;
        let answer = attributions.recompute_attributions(request.clone()).await?;
        let answer = answer.into_inner();
        Ok(answer.complete_time.is_some().then_some(answer))
    });
    let done = done.await.context("recomputation")?;
    ensure!(
        done.changed_count == 0,
        "{} orders change",
        done.changed_count
    );
    Ok(())
}
