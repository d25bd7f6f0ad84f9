//! Any order of arrival, any number of repetitions and any batching of the same facts gives the same
//! attributions and balances, and those that the pure domain gives (SPEC 42).
//!
//! Each world is made from a number, which a failure names. All worlds of a run are Brands of one
//! database and use the same ids, so that nothing may leak from one into another (SPEC 1).

mod made;
mod random;
mod told;

use std::{collections::BTreeMap, time::Duration};

use diesel_async::RunQueryDsl;
use domain::{
    attribution::{Attribution, OrderFacts, attribute},
    id::{BrandId, ChatroomId, MemberId},
    ledger::{Targets, decide_targets},
    person::Link,
};
use futures_util::{StreamExt, stream};
use kit::{
    db::{Connection, StoreError},
    query,
    testing::{TestEngine, wait_until},
};

use self::{
    made::{Fact, Made},
    random::Random,
};
use super::{World, day};
use crate::{
    app::{
        attributions, digest,
        explanations::{Explanation, explain},
        simulations::simulate,
    },
    evaluate::order::finding,
    store::{
        first_instant, last_instant, ledger_entries, orders,
        recomputations::{self, Cause},
    },
};

/// How many worlds are told at once.
const AT_ONCE: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells facts as they are, evaluating now and then.
async fn tell(world: &World, facts: Vec<Fact>, random: &mut Random) {
    let mut facts = facts.into_iter().peekable();
    while let Some(fact) = facts.next() {
        match fact {
            Fact::Identity(event) => {
                let mut batch = vec![*event];
                while let Some(Fact::Identity(next)) =
                    facts.next_if(|next| matches!(next, Fact::Identity(_)) && !random.is(4))
                {
                    batch.push(*next);
                }
                world.hear_identity(batch).await;
            }
            Fact::Chat(event) => {
                let mut batch = vec![*event];
                while let Some(Fact::Chat(next)) =
                    facts.next_if(|next| matches!(next, Fact::Chat(_)) && !random.is(4))
                {
                    batch.push(*next);
                }
                world.hear_chat(batch).await;
            }
            // One that is imported is one that is recorded (SPEC 48).
            Fact::Order(report) if random.is(2) => {
                let mut batch = vec![*report];
                while let Some(Fact::Order(next)) =
                    facts.next_if(|next| matches!(next, Fact::Order(_)) && random.is(2))
                {
                    batch.push(*next);
                }
                world.import(batch).await;
            }
            Fact::Order(report) => {
                world.record(*report).await.unwrap();
            }
            Fact::Status(order, status) => {
                let label = status.label.as_str();
                world.status(&order, label, status.status_time).await;
            }
            Fact::Refund(order, refund) => {
                world.refund_at(&order, refund).await.unwrap();
            }
            Fact::Checkout(checkout) => {
                let cart = checkout.cart.as_str();
                let (account, time) = (checkout.account, checkout.checkout_time);
                world.checkout(cart, account, time).await.unwrap();
            }
            Fact::Policy(set) => {
                let policy = crate::convert::policy::policy_to_wire(&set.policy);
                let then = world.at(set.create_time);
                let set = then.policy(set.effective_time, |wire| *wire = policy);
                set.await.unwrap();
            }
        }
        if random.is(6) {
            settle(world).await;
        }
    }
    settle(world).await;
}

/// Evaluates what there is to evaluate, and waits for what another world has taken up of it.
async fn settle(world: &World) {
    wait_until(PATIENCE, async || {
        world.settle().await;
        let mut connection = world.app.db.read().await.unwrap();
        let running = recomputations::is_any_running(&mut connection, &world.brand, Cause::ALL);
        !running.await.unwrap()
    })
    .await;
    check_conservation(world).await;
}

/// Of each order that is there, the Members' shares and what the house keeps are the net amount, what is
/// booked for each Member is what his part comes to, and the last of his entries says so (SPEC 40, 43).
async fn check_conservation(world: &World) {
    let (from, until) = (first_instant(), last_instant());
    let orders = {
        let mut connection = world.app.db.read().await.unwrap();
        let orders = orders::list_from(&mut connection, &world.brand, from, until, None, 9);
        orders.await.unwrap()
    };
    for (_, id) in orders {
        let explained = explain(&world.app, &world.brand, &id, None, None);
        let Explanation { view, targets, .. } = explained.await.unwrap();
        let shares = targets.targets.iter().map(|one| one.share.minor_units());
        let whole = shares.sum::<i64>() + targets.remainder.minor_units();
        assert_eq!(whole, targets.net.minor_units(), "{} {id}", world.brand);
        let due: BTreeMap<MemberId, i64> = targets
            .targets
            .iter()
            .map(|one| (one.member, one.amount.minor_units()))
            .filter(|(_, minor_units)| *minor_units != 0)
            .collect();
        let booked = view.booked.iter().map(|one| (one.member, one.minor_units));
        let booked: BTreeMap<MemberId, i64> = booked.filter(|(_, sum)| *sum != 0).collect();
        assert_eq!(booked, due, "{} {id}", world.brand);
    }
}

/// Compares what was kept with what the domain says of all facts together.
async fn check_against_domain(world: &World, made: &Made, number: u64) {
    let mut expected: BTreeMap<MemberId, i64> = BTreeMap::new();
    for report in &made.orders {
        let facts = made.facts_of(report);
        let attribution = attribute(&facts);
        let targets = decide_targets(&facts, &attribution);
        for target in &targets.targets {
            *expected.entry(target.member).or_default() += target.amount.minor_units();
        }
        let view = attributions::get_attribution(&world.app, &world.brand, &report.id, None);
        let kept = view.await.unwrap().stored.unwrap().finding;
        let mut told = finding(&attribution, &targets, kept.link_revision);
        // Revisions are numbered as they come; which policy it is shows in what it does.
        told.policy_revision = kept.policy_revision;
        assert_eq!(kept, told, "world {number}, order {}", report.id);
    }
    expected.retain(|_, minor_units| *minor_units != 0);
    assert_eq!(balances(world).await, expected, "world {number}");
}

/// What each Member has who has something.
async fn balances(world: &World) -> BTreeMap<MemberId, i64> {
    let mut connection = world.app.db.read().await.unwrap();
    let sums = ledger_entries::balances(&mut connection, &world.brand, None, last_instant());
    sums.await
        .unwrap()
        .into_iter()
        .map(|(member, amount)| (member, amount.minor_units()))
        .filter(|(_, minor_units)| *minor_units != 0)
        .collect()
}

#[derive(diesel::QueryableByName)]
struct Name {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// How many rows each table has.
async fn row_counts(world: &World) -> BTreeMap<String, i64> {
    let mut connection = world.app.db.read().await.unwrap();
    let tables = match &*connection {
        Connection::Postgres(_) => {
            "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'"
        }
        Connection::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
    };
    let connection = &mut *connection;
    let names: Result<Vec<Name>, StoreError> =
        query!(&mut *connection, |c| diesel::sql_query(tables)
            .load(c)
            .await);
    let mut counts = BTreeMap::new();
    for Name { name } in names.unwrap() {
        let text = format!("SELECT count(*) AS count FROM \"{name}\"");
        let count: Result<Count, StoreError> =
            query!(&mut *connection, |c| diesel::sql_query(text)
                .get_result(c)
                .await);
        counts.insert(name, count.unwrap().count);
    }
    assert!(counts.len() > 10, "{counts:?}");
    counts
}

/// Tells a world in two ways, each to a Brand of its own.
async fn check_world(mut world: World, number: u64) {
    let mut digests = Vec::new();
    for telling in ["a", "b"] {
        world.brand = BrandId::parse(&format!("world-{number}{telling}")).unwrap();
        let made = Made::new(&mut Random::new(number));
        let mut random = Random::new(number.wrapping_add(1 << 32));
        let mut facts = made.events_and_reports(&world.brand);
        if telling == "b" {
            random.repeat_some(&mut facts);
            random.shuffle(&mut facts);
            // What comes last must be enough of a reason to look again, each kind in its worlds.
            facts.sort_by_key(|fact| fact.kind() == number % Fact::KINDS);
        }
        tell(&world, facts, &mut random).await;
        check_against_domain(&world, &made, number).await;
        digests.push(digest::digest(&world.app, &world.brand).await.unwrap());
    }
    assert_eq!(digests[0], digests[1], "world {number}"); // SPEC 42
    assert!(digests[0].is_settled);
}

/// Some at once, so that they share commits.
async fn check_worlds(engine: TestEngine, numbers: std::ops::Range<u64>) {
    let world = World::create(engine).await;
    stream::iter(numbers)
        .map(|number| check_world(world.at(day(0)), number))
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

/// Tries a policy, sets it for the same orders, and compares what was told with what is booked.
async fn check_simulation(world: &World, made: &Made, random: &mut Random, number: u64) {
    let tried = made::policy(random);
    let (brand, until_time) = (&world.brand, Some(last_instant()));
    let before = balances(world).await;
    let credited = credited(world, made).await;
    let (digest, rows) = (
        digest::digest(&world.app, brand).await,
        row_counts(world).await,
    );
    let simulation = simulate(&world.app, brand, tried, first_instant(), until_time);
    let simulation = simulation.await.unwrap();
    let after = digest::digest(&world.app, brand).await;
    assert_eq!(after.unwrap(), digest.unwrap(), "world {number}");
    assert_eq!(row_counts(world).await, rows, "world {number}");
    // From each instant on at which another would count.
    let wire = crate::convert::policy::policy_to_wire(&tried);
    for effective_time in made.policy_times().chain([first_instant()]) {
        let set = world.policy(effective_time, |policy| *policy = wire);
        set.await.unwrap();
    }
    world.settle().await;
    let mut expected = before;
    for (member, _, sums) in simulation.differences() {
        let change = sums.simulated - sums.present;
        *expected.entry(member).or_default() += change;
    }
    expected.retain(|_, minor_units| *minor_units != 0);
    assert_eq!(balances(world).await, expected, "world {number}"); // SPEC 44
    let now = self::credited(world, made).await;
    let changed = credited
        .iter()
        .zip(&now)
        .filter(|(one, other)| one != other);
    let changed = i64::try_from(changed.count()).unwrap();
    let order_count = i64::try_from(made.orders.len()).unwrap();
    assert_eq!(simulation.changed_count, changed, "world {number}");
    assert_eq!(simulation.order_count, order_count, "world {number}");
}

/// Who is credited with each order, through what, and with how much.
async fn credited(world: &World, made: &Made) -> Vec<Vec<(MemberId, ChatroomId, i64)>> {
    let mut all = Vec::new();
    for report in &made.orders {
        let view = attributions::get_attribution(&world.app, &world.brand, &report.id, None);
        let credits = view.await.unwrap().stored.unwrap().finding.credits;
        let credits = credits
            .iter()
            .map(|one| (one.member, one.chatroom, one.target_minor_units));
        all.push(credits.collect());
    }
    all
}

async fn check_simulations(engine: TestEngine, numbers: std::ops::Range<u64>) {
    let mut world = World::create(engine).await;
    for number in numbers {
        world.brand = BrandId::parse(&format!("world-{number}")).unwrap();
        let made = Made::new(&mut Random::new(number));
        let mut random = Random::new(number.wrapping_add(1 << 33));
        tell(&world, made.events_and_reports(&world.brand), &mut random).await;
        check_simulation(&world, &made, &mut random, number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_simulation_tells_is_what_the_policy_books_and_it_writes_nothing() {
    check_simulations(TestEngine::Sqlite, 2_000..2_030).await;
    check_simulations(TestEngine::Postgres, 2_000..2_015).await;
}

/// What the domain makes of the facts of each order.
fn decided(facts: &[OrderFacts]) -> Vec<(Attribution, Targets)> {
    let decide = |facts: &OrderFacts| {
        let attribution = attribute(facts);
        let targets = decide_targets(facts, &attribution);
        (attribution, targets)
    };
    facts.iter().map(decide).collect()
}

#[test]
fn the_order_of_facts_does_not_matter_to_the_domain() {
    for number in 0..2_000 {
        let made = Made::new(&mut Random::new(number));
        let mut random = Random::new(number.wrapping_add(1 << 34));
        let orders = made.orders.iter().map(|report| made.facts_of(report));
        let mut facts: Vec<OrderFacts> = orders.collect();
        let expected = decided(&facts);
        for (_, targets) in &expected {
            let shares = targets.targets.iter().map(|one| one.share.minor_units());
            let whole = shares.sum::<i64>() + targets.remainder.minor_units();
            assert_eq!(whole, targets.net.minor_units(), "world {number}"); // SPEC 40
        }
        for facts in &mut facts {
            random.repeat_some(&mut facts.statuses);
            random.repeat_some(&mut facts.refunds);
            random.repeat_some(&mut facts.policies);
            random.repeat_some(&mut facts.checkouts);
            random.repeat_some(&mut facts.own_customers);
            random.shuffle(&mut facts.statuses);
            random.shuffle(&mut facts.refunds);
            random.shuffle(&mut facts.policies);
            random.shuffle(&mut facts.checkouts);
            random.shuffle(&mut facts.own_customers);
            random.shuffle(&mut facts.accounts);
            random.shuffle(&mut facts.chatrooms);
            let mut links: Vec<Link> = made.links.clone();
            random.repeat_some(&mut links);
            random.shuffle(&mut links);
            facts.links = links.into_iter().collect();
        }
        assert_eq!(decided(&facts), expected, "world {number}"); // SPEC 42
    }
}

/// The worlds of a kind of database, a part in each test, so that none takes long.
macro_rules! check_worlds {
    ($($name:ident: $engine:ident $numbers:expr;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            check_worlds(TestEngine::$engine, $numbers).await;
        }
    )+};
}

check_worlds! {
    the_order_of_facts_does_not_matter_on_sqlite_1: Sqlite 0..500;
    the_order_of_facts_does_not_matter_on_sqlite_2: Sqlite 500..1_000;
    the_order_of_facts_does_not_matter_on_sqlite_3: Sqlite 1_000..1_500;
    the_order_of_facts_does_not_matter_on_sqlite_4: Sqlite 1_500..2_000;
    the_order_of_facts_does_not_matter_on_postgres: Postgres 3_000..3_200;
}
