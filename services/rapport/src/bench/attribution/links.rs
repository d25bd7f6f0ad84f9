//! How soon a credit follows the link that earns it.
//!
//! A visitor talked to a Member as a temporary account, and his order names him as the customer that he is
//! at the shop. When he signs in the two are linked, and the order is credited. That is counted from the
//! commit of the link at identity ([`commits`]) until one who watches attributions is told of the entry,
//! which is after that is committed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use kit::{clock::Clock, convert::instant};
use rapport_proto::attribution::v1::{
    WatchAttributionsRequest, WatchAttributionsResponse, watch_attributions_response::Update,
};
use tonic::Streaming;

use super::{World, buy, commits, is_credited, total};
use crate::{
    bench::{
        comer::Comer,
        latencies::Latencies,
        load::{closed_loop, open_loop},
        report::progress,
    },
    client::{
        request_id,
        shop::{Shop, ShopMember},
    },
};

/// Links a second.
const RATE: f64 = 50.0;
/// Few: on PostgreSQL those who come at once make each other try again.
const WELCOMERS: usize = 4;
/// How long an entry may take when all links are made.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who will sign in, and his order.
struct Customer {
    comer: Comer,
    order_id: String,
}

/// Instants of orders, each with the link that has earned it.
type Times = Vec<(String, String, DateTime<Utc>)>;

/// Makes `count` links at a fixed rate, and returns how long after each its order was credited.
pub(super) async fn measure(world: &World, count: usize) -> anyhow::Result<Latencies> {
    progress(&format!("making {count} links, {RATE:.0} a second"));
    let shop = &world.shops[0];
    let member = shop.hire("Mia").await?;
    let customers = welcome_all(shop, &member, count).await?;
    buy(shop, &member).await?;
    let mut attributions = shop.service.attributions.clone();
    let request = WatchAttributionsRequest::default();
    let mut told = attributions.watch_attributions(request).await?.into_inner();
    // It is watched from the first heartbeat on.
    told.message().await?;
    let booking = tokio::spawn(book_times(told, count));
    let linked = link_all(shop, customers).await?;
    let booked = tokio::time::timeout(PATIENCE, booking);
    let booked = booked.await.context("not every link earned a credit")???;
    let mut latencies = Latencies::default();
    let commit_times = commits::of_links(&world.identity_db).await?;
    for (order_id, link_id, link_time) in linked {
        // Where it is not kept, the link's own time, which identity reads before it commits.
        let commit_time = commit_times.get(&link_id).copied().unwrap_or(link_time);
        let book_time = booked
            .get(&order_id)
            .context("another order was credited")?;
        latencies.record((*book_time - commit_time).to_std()?);
    }
    Ok(latencies)
}

/// Has temporary visitors talk to the Member, and those they are at the shop place an order each.
async fn welcome_all(
    shop: &Shop,
    member: &ShopMember,
    count: usize,
) -> anyhow::Result<Vec<Customer>> {
    let customers = Arc::new(Mutex::new(Vec::with_capacity(count)));
    let (shop, member, welcomed) = (shop.clone(), member.clone(), Arc::clone(&customers));
    let call = move |()| {
        let (shop, member, welcomed) = (shop.clone(), member.clone(), Arc::clone(&welcomed));
        async move {
            let customer = welcome(&shop, &member).await?;
            locked(&welcomed).push(customer);
            Ok(())
        }
    };
    closed_loop(vec![(); count], WELCOMERS, Duration::MAX, call).await?;
    let customers = std::mem::take(&mut *locked(&customers));
    Ok(customers)
}

async fn welcome(shop: &Shop, member: &ShopMember) -> anyhow::Result<Customer> {
    let comer = Comer::welcome(shop).await?;
    let visitor = &comer.temporary;
    let chatroom = visitor.open_direct(member).await?;
    visitor
        .caller
        .say(&chatroom, "Does it come in blue?")
        .await?;
    let answer = "It does, and in green.";
    member.caller.say(&chatroom, answer).await?;
    let order_id = request_id();
    let attribution = shop.order(&order_id, &comer.customer_id, total()).await?;
    anyhow::ensure!(
        !is_credited(&attribution),
        "an order is credited before its link is made"
    );
    Ok(Customer { comer, order_id })
}

/// Signs them in at the rate, and returns each order's link, and its time.
async fn link_all(shop: &Shop, customers: Vec<Customer>) -> anyhow::Result<Times> {
    let times = Arc::new(Mutex::new(Times::new()));
    let (shop, linked) = (shop.clone(), Arc::clone(&times));
    let call = move |customer: Customer| {
        let (shop, linked) = (shop.clone(), Arc::clone(&linked));
        async move {
            let link = customer.comer.sign_in(&shop).await?.outcome.link;
            let link = link.context("who has talked is linked")?;
            let link_time = link.link_time.and_then(|time| instant(&time));
            let link_time = link_time.context("a link has a time")?;
            locked(&linked).push((customer.order_id, link.link_id, link_time));
            Ok(())
        }
    };
    open_loop(customers, RATE, Duration::MAX, call).await?;
    let times = std::mem::take(&mut *locked(&times));
    Ok(times)
}

/// Returns when the entry of each order was told, once there are `count`.
async fn book_times(
    mut told: Streaming<WatchAttributionsResponse>,
    count: usize,
) -> anyhow::Result<HashMap<String, DateTime<Utc>>> {
    let clock = Clock::system();
    let mut booked = HashMap::with_capacity(count);
    while booked.len() < count {
        let told = told.message().await?.context("the stream ended")?;
        if let Some(Update::LedgerEntry(entry)) = told.update {
            booked.insert(entry.order_id, clock.now());
        }
    }
    Ok(booked)
}

/// Nothing can panic while it holds the lock.
fn locked<T>(values: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
