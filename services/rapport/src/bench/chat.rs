//! `rapport bench chat`: how many messages there can be, how fast one is, and whether it matters how many
//! there are already.
//!
//! Visitors write into chatrooms of their own, at random, by a few connections that all of them share.
//! The same connections carry the empty call beside it, and pgbench keeps the same payload.

mod lists;
mod seed;
mod sending;
pub(super) mod watchers;

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rapport_proto::chat::v1::Chatroom;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

use super::{
    ChatArgs,
    load::closed_loop,
    report::{Report, progress},
    stage::{Running, Stage},
};
use crate::client::shop::{Shop, ShopMember, Visitor};

const BRAND_ID: &str = "bench";
const WATCHED_BRAND_ID: &str = "bench-watched";
/// What all callers share: one connection would be the limit by itself, and of many each has less to send
/// at once.
const CONNECTIONS: usize = 4;
/// Enough that those who write at once seldom write into the same chatroom.
const CHATROOMS: usize = 1_024;
/// What is said: 64 characters.
const TEXT: &str = "Does this one come in blue as well, and when could I have it? Ann";

/// Visitors with their chatrooms.
#[derive(Clone)]
struct World {
    shop: Shop,
    rooms: Arc<[Room]>,
    /// Asks the same server nothing, over the same connections.
    empty: Arc<[HealthClient<Channel>]>,
    seed: u64,
}

/// A chatroom, and who writes into it.
struct Room {
    visitor: Visitor,
    chatroom: Chatroom,
}

/// Measures, and reports.
///
/// # Errors
///
/// When a call is refused or answers what it must not.
pub(super) async fn measure(stage: &Stage, args: &ChatArgs, report: &Report) -> anyhow::Result<()> {
    stage.describe(report).await?;
    let mut running = stage.start_suite().await?;
    let world = World::open(&running, BRAND_ID, CHATROOMS, args.seed).await?;
    let watching = World::open(&running, WATCHED_BRAND_ID, args.streams.into(), args.seed).await?;
    // It reads what chat logs at its own pace, and would share the two's cores.
    running.suite.stop_attribution().await?;
    sending::measure(&world, stage, args, report).await?;
    let chat = format!("http://{}", running.suite.chat);
    watchers::measure(&watching, &chat, args, report).await?;
    drop(watching);
    lists::measure(&world, stage, args, report).await?;
    running.suite.stop().await
}

impl World {
    async fn open(
        running: &Running,
        brand_id: &str,
        chatrooms: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        progress(&format!("opening {chatrooms} chatrooms"));
        let shop = Shop::open(&running.channels, &running.operator_token, brand_id).await?;
        let member = shop.hire("Mia").await?;
        let (mut shops, mut empty) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            let suite = &running.suite;
            let channels = suite.channels()?;
            empty.push(channels.chat_health());
            let secret = shop.assertion_secret.clone();
            shops.push(Shop::reopen(&channels, brand_id, &shop.api_key, secret).await?);
        }
        Ok(Self {
            rooms: open_rooms(&shops, &member, chatrooms).await?.into(),
            shop,
            empty: empty.into(),
            seed,
        })
    }

    /// Returns `count` chatrooms at random, the same for the same seed and `turn`.
    fn choose(&self, count: usize, turn: u64) -> Vec<usize> {
        let mut random = SmallRng::seed_from_u64(self.seed ^ turn);
        (0..count)
            .map(|_| random.random_range(0..self.rooms.len()))
            .collect()
    }
}

/// Opens the chatrooms, a visitor's each, their connections in turn.
async fn open_rooms(
    shops: &[Shop],
    member: &ShopMember,
    count: usize,
) -> anyhow::Result<Vec<Room>> {
    let (sender, mut opened) = tokio::sync::mpsc::unbounded_channel();
    let work = (0..count)
        .map(|number| shops[number % shops.len()].clone())
        .collect();
    let member = member.clone();
    let call = move |shop: Shop| {
        let (sender, member) = (sender.clone(), member.clone());
        async move {
            let visitor = shop.welcome("Ann", None).await?;
            let chatroom = visitor.open_direct(&member).await?;
            sender.send(Room { visitor, chatroom })?;
            Ok(())
        }
    };
    closed_loop(work, CONNECTIONS, Duration::MAX, call).await?;
    let mut rooms = Vec::new();
    while let Some(room) = opened.recv().await {
        rooms.push(room);
    }
    Ok(rooms)
}
