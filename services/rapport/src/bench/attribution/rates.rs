//! Orders and message facts a second, beside pgbench's transactions.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Context;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::{future::BoxFuture, stream};
use kit::{
    clock::Clock,
    convert::timestamp,
    db::{DbUuid, Sql},
    event_log, query,
};
use rapport_proto::{
    attribution::v1::{ImportOrdersRequest, import_orders_response::Result as Told},
    event::v1::{Event, MessageKind, MessageOrigin, MessageSent, Side, event::Payload},
};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use super::{BRAND_ID, World, is_credited, next_order_id, seed, total};
use crate::{
    bench::{
        AttributionArgs,
        load::{Slice, closed_loop},
        report::{Report, median, progress},
        stage::Stage,
    },
    client::{
        request_id,
        shop::{Shop, paid_order},
    },
};

/// Of which the best is taken: who records orders one by one, streams that import, pgbench's clients.
const CALLERS: [usize; 4] = [8, 16, 32, 64];
const STREAMS: [usize; 4] = [1, 2, 4, 8];
/// How many times each is measured, in alternation.
const TURNS: u64 = 3;
/// What an order weighs.
const PAYLOAD_BYTES: usize = 256;
/// What no run reaches, so that work never runs out.
const FASTEST: usize = 50_000;
/// How many messages are told of for each second that a slice lasts.
const FACTS: usize = 5_000;
/// How many messages chat is taken to write at once.
const WRITTEN_AT_ONCE: usize = 1_000;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Finds the best number of callers of each, measures all in alternation, and reports the medians.
pub(super) async fn measure(
    world: &World,
    stage: &Stage,
    args: &AttributionArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let floor = stage.floor(PAYLOAD_BYTES).await?;
    let (callers, streams, clients) = match args.callers {
        Some(callers) => (callers.into(), callers.into(), callers.into()),
        None => (
            best("callers", CALLERS, async |callers| {
                Ok(world.record_all(callers, 1, TURNS).await?.rate())
            })
            .await?,
            best("streams", STREAMS, async |streams| {
                world.import_all(streams, 1, TURNS).await
            })
            .await?,
            floor.best_clients(&CALLERS).await?,
        ),
    };
    let seconds = args.common.seconds;
    progress(&format!(
        "measuring {TURNS} times: orders by {callers} callers and {streams} streams, message facts, \
         pgbench with {clients} clients"
    ));
    let (mut recorded, mut imported, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut floors = Vec::new();
    for turn in 0..TURNS {
        recorded.push(world.record_all(callers, seconds, turn).await?.rate());
        imported.push(world.import_all(streams, seconds, turn).await?);
        kept.push(world.tell(FACTS * seconds as usize, turn).await?);
        floors.push(floor.rate(clients, seconds).await?);
    }
    let floor = median(floors);
    report.count("record_order.callers", callers)?;
    report.count("import_orders.streams", streams)?;
    report.count("pgbench.clients", clients)?;
    report.figure("pgbench.rate", floor, "1/s")?;
    for (name, rates) in [
        ("record_order", recorded),
        ("import_orders", imported),
        ("message_facts", kept),
    ] {
        let rate = median(rates);
        report.figure(&format!("{name}.rate"), rate, "1/s")?;
        report.figure(&format!("{name}.ratio_to_pgbench"), rate / floor, "ratio")?;
    }
    Ok(())
}

/// Returns how many of them there are when there are most a second.
async fn best(
    what: &str,
    among: [usize; 4],
    measure: impl AsyncFn(usize) -> anyhow::Result<f64>,
) -> anyhow::Result<usize> {
    let mut best = (among[0], 0.0);
    for count in among {
        let rate = measure(count).await?;
        progress(&format!("{count} {what}: {rate:.0} orders a second"));
        if rate > best.1 {
            best = (count, rate);
        }
    }
    Ok(best.0)
}

impl World {
    /// Has callers record one order after another.
    async fn record_all(&self, callers: usize, seconds: u32, turn: u64) -> anyhow::Result<Slice> {
        let limit = Duration::from_secs(seconds.into());
        let customers = self.choose(FASTEST * seconds as usize, turn);
        closed_loop(customers, callers, limit, self.recording()).await
    }

    /// Returns what records an order of a customer, and checks that it is credited.
    pub(super) fn recording(
        &self,
    ) -> impl Fn(u32) -> BoxFuture<'static, anyhow::Result<()>> + Clone + Send + use<> {
        let (shops, last_order) = (Arc::clone(&self.shops), Arc::clone(&self.last_order));
        move |customer| {
            let shop = shops[customer as usize % shops.len()].clone();
            let order_id = next_order_id(&last_order);
            Box::pin(async move {
                let customer_id = seed::customer_id(customer);
                let attribution = shop.order(&order_id, &customer_id, total()).await?;
                anyhow::ensure!(
                    is_credited(&attribution),
                    "an order is recorded and not credited"
                );
                Ok(())
            })
        }
    }

    /// Has so many streams import orders, and returns how many a second were answered.
    async fn import_all(&self, streams: usize, seconds: u32, turn: u64) -> anyhow::Result<f64> {
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds.into());
        let mut tasks = JoinSet::new();
        for number in 0..streams {
            let shop = self.shops[number % self.shops.len()].clone();
            let customers = self.choose(FASTEST * seconds as usize, turn);
            let last_order = Arc::clone(&self.last_order);
            tasks.spawn(import(shop, customers, last_order, end));
        }
        let mut count = 0;
        while let Some(answered) = tasks.join_next().await {
            count += answered??;
        }
        Ok(f64::from(u32::try_from(count)?) / start.elapsed().as_secs_f64())
    }

    /// Writes so many messages into chat's log, as chat does, and returns how many a second attribution
    /// keeps and has looked for orders of.
    async fn tell(&self, count: usize, turn: u64) -> anyhow::Result<f64> {
        let customers = self.choose(count, turn);
        let messages: Vec<MessageSent> = customers.iter().map(|one| self.message(*one)).collect();
        let last = messages.last().context("there are messages to tell of")?;
        let before = self.message_count().await?;
        let start = Instant::now();
        for messages in messages.chunks(WRITTEN_AT_ONCE) {
            let events: Vec<Event> = messages.iter().map(event).collect();
            self.chat_db
                .run_locked_tx("tell_messages", events, |connection, events| {
                    Box::pin(event_log::append(connection, events))
                })
                .await?;
        }
        while !self.is_dealt_with(last).await? {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let elapsed = start.elapsed();
        let kept = self.message_count().await? - before;
        anyhow::ensure!(
            usize::try_from(kept)? == count,
            "of {count} messages {kept} were kept"
        );
        Ok(f64::from(u32::try_from(count)?) / elapsed.as_secs_f64())
    }

    /// Returns a message between a customer and the Member, written now.
    fn message(&self, customer: u32) -> MessageSent {
        MessageSent {
            message_id: request_id(),
            chatroom_id: seed::id(customer).to_string(),
            account_id: seed::id(customer).to_string(),
            member_id: self.member.id.clone(),
            side: Side::Visitor.into(),
            kind: MessageKind::Text.into(),
            origin: MessageOrigin::Written.into(),
            message_time: Some(timestamp(Clock::system().now())),
            revision: 1,
            ..Default::default()
        }
    }

    async fn message_count(&self) -> anyhow::Result<i64> {
        let mut connection = self.attribution_db.read().await?;
        let text = "SELECT count(*) AS value FROM message";
        let count: Count = query!(&mut *connection, |c| diesel::sql_query(text)
            .get_result(c)
            .await)?;
        Ok(count.value)
    }

    /// Whether a message is kept, and what it and those before it have touched was looked at.
    async fn is_dealt_with(&self, message: &MessageSent) -> anyhow::Result<bool> {
        let id: Uuid = message.message_id.parse()?;
        let chatroom_id: Uuid = message.chatroom_id.parse()?;
        let mut connection = self.attribution_db.read().await?;
        let text = "SELECT EXISTS (SELECT 1 FROM message WHERE brand_id = $1 \
                    AND chatroom_id = $2 AND message_id = $3) \
                    AND NOT EXISTS (SELECT 1 FROM dirty_mark) AS value";
        let answer: Answer = query!(&mut *connection, |c| diesel::sql_query(text)
            .bind::<Text, _>(BRAND_ID)
            .bind::<DbUuid, _>(Sql(chatroom_id))
            .bind::<DbUuid, _>(Sql(id))
            .get_result(c)
            .await)?;
        Ok(answer.value)
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    value: bool,
}

/// Returns what chat says of a message that it has just written.
fn event(message: &MessageSent) -> Event {
    Event {
        event_id: request_id(),
        brand_id: BRAND_ID.to_owned(),
        event_time: message.message_time,
        cause_id: message.message_id.clone(),
        payload: Some(Payload::MessageSent(message.clone())),
        ..Default::default()
    }
}

/// Imports an order of each customer until `end`, checks that each is credited, and returns how many
/// were.
async fn import(
    shop: Shop,
    customers: Vec<u32>,
    last_order: Arc<AtomicU64>,
    end: Instant,
) -> anyhow::Result<usize> {
    let lines = customers
        .into_iter()
        .zip(1..)
        .take_while(move |_| Instant::now() < end)
        .map(move |(customer, line_number)| ImportOrdersRequest {
            line_number,
            order: Some(paid_order(
                &next_order_id(&last_order),
                &seed::customer_id(customer),
                total(),
            )),
            ..Default::default()
        });
    let mut orders = shop.service.orders.clone();
    let mut answers = orders
        .import_orders(stream::iter(lines))
        .await?
        .into_inner();
    let mut count = 0;
    while let Some(answer) = answers.message().await? {
        count += 1;
        let is_next = answer.line_number == i64::try_from(count)?;
        let is_credited = match &answer.result {
            Some(Told::Attribution(attribution)) => is_credited(attribution),
            _ => false,
        };
        anyhow::ensure!(
            is_next && is_credited,
            "line {count} of an import is not answered by a credit"
        );
    }
    Ok(count)
}
