//! `rapport bench attribution`: how many orders and message facts there can be, how soon a credit follows
//! its link, and whether it matters how many there are already.
//!
//! The customers are copies of one who talked to a Member and bought (`seed`). So each order of theirs
//! must be credited when it is recorded, and every answer is checked for that.

mod commits;
mod growth;
mod links;
mod rates;
mod seed;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kit::db::Db;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rapport_proto::attribution::v1::{
    Attribution, AttributionOutcome, AttributionPolicy, Money, SetAttributionPolicyRequest,
};

use super::{
    AttributionArgs,
    report::{Report, progress},
    stage::{Running, Stage},
};
use crate::client::{
    request_id,
    shop::{COMMISSION_RATE_PPM, Shop, ShopMember},
    wait_until,
};

const BRAND_ID: &str = "bench";
/// What all callers share: one connection would be the limit by itself.
const CONNECTIONS: usize = 4;
/// How many orders a database has that has few.
const SMALL: u32 = 1_000;

/// A Brand with a Member and customers.
struct World {
    /// The Brand's services, a connection each.
    shops: Arc<[Shop]>,
    member: ShopMember,
    identity_db: Db,
    chat_db: Db,
    attribution_db: Db,
    /// The order of the customer whom the others are copies of.
    pattern: String,
    /// How many copies there are.
    customers: u32,
    /// The last order that the shop has numbered.
    last_order: Arc<AtomicU64>,
    seed: u64,
}

/// Measures, and reports.
///
/// # Errors
///
/// When a call is refused or answers what it must not.
pub(super) async fn measure(
    stage: &Stage,
    args: &AttributionArgs,
    report: &Report,
) -> anyhow::Result<()> {
    stage.describe(report).await?;
    let running = stage.start_suite().await?;
    let mut world = World::open(&running, stage, args.seed).await?;
    rates::measure(&world, stage, args, report).await?;
    growth::measure(&mut world, stage, args, report).await?;
    running.suite.stop().await
}

impl World {
    /// Opens a Brand with as many orders as there are where there are few.
    async fn open(running: &Running, stage: &Stage, seed: u64) -> anyhow::Result<Self> {
        let shop = Shop::open(&running.channels, &running.operator_token, BRAND_ID).await?;
        serve_earlier_orders(&shop).await?;
        let suite = &running.suite;
        let mut shops = Vec::new();
        for _ in 0..CONNECTIONS {
            let channels = suite.channels()?;
            let secret = shop.assertion_secret.clone();
            shops.push(Shop::reopen(&channels, BRAND_ID, &shop.api_key, secret).await?);
        }
        let member = shop.hire("Mia").await?;
        let mut world = Self {
            shops: shops.into(),
            pattern: buy(&shop, &member).await?,
            member,
            identity_db: stage.identity_db().await?,
            chat_db: stage.chat_db().await?,
            attribution_db: stage.attribution_db().await?,
            customers: 0,
            last_order: Arc::default(),
            seed,
        };
        world.fill(SMALL).await?;
        Ok(world)
    }

    /// Adds customers until they have so many orders.
    async fn fill(&mut self, orders: u32) -> anyhow::Result<()> {
        progress(&format!("writing {orders} orders and their messages"));
        let customers = orders / seed::ORDERS;
        let new = self.customers + 1..=customers;
        seed::copy_customers(&self.attribution_db, BRAND_ID, &self.pattern, new).await?;
        self.customers = customers;
        // By now their tokens may have expired.
        let renewing = self.shops.iter().map(Shop::renew);
        self.shops = futures_util::future::try_join_all(renewing).await?.into();
        Ok(())
    }

    /// Returns `count` customers at random, the same for the same seed and `turn`.
    fn choose(&self, count: usize, turn: u64) -> Vec<u32> {
        let mut random = SmallRng::seed_from_u64(self.seed ^ turn);
        (0..count)
            .map(|_| random.random_range(1..=self.customers))
            .collect()
    }
}

/// Numbers the next order, as shops do: upwards.
fn next_order_id(last: &AtomicU64) -> String {
    format!("order-{:012}", last.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Lets a link serve orders placed before it, which wait for it here.
async fn serve_earlier_orders(shop: &Shop) -> anyhow::Result<()> {
    let policy = AttributionPolicy {
        commission_rate_ppm: COMMISSION_RATE_PPM,
        retroactive_links: true,
        ..Default::default()
    };
    let request = SetAttributionPolicyRequest {
        policy: Some(policy),
        effective_time: None,
        request_id: request_id(),
    };
    let mut service = shop.service.clone();
    service.attributions.set_attribution_policy(request).await?;
    Ok(())
}

/// Has a customer talk and buy, and returns his order once it is credited: whatever was said before is
/// known to attribution by then.
async fn buy(shop: &Shop, member: &ShopMember) -> anyhow::Result<String> {
    let (customer_id, order_id) = (request_id(), request_id());
    let visitor = shop.sign_in(&customer_id, None, None).await?.visitor;
    let chatroom = visitor.open_direct(member).await?;
    visitor
        .caller
        .say(&chatroom, "Does it come in blue?")
        .await?;
    let answer = "It does, and in green.";
    member.caller.say(&chatroom, answer).await?;
    shop.order(&order_id, &customer_id, total()).await?;
    let credited = wait_until("the order is credited", async || {
        let attribution = shop.attribution(&order_id).await?;
        Ok(is_credited(&attribution).then_some(()))
    });
    credited.await?;
    Ok(order_id)
}

/// What every order comes to.
fn total() -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units: 12_990,
    }
}

fn is_credited(attribution: &Attribution) -> bool {
    attribution.outcome() == AttributionOutcome::Conversation
}
