//! Any order of arrival, any number of repetitions and any batching of the same facts gives the same
//! attributions and balances, and those that the pure domain gives (SPEC 42).
//!
//! Each world is made from a number, which a failure names. All worlds of a run are Brands of one
//! database and use the same ids, so that nothing may leak from one into another (SPEC 1).

mod made;
mod random;

use std::collections::BTreeMap;

use domain::{
    attribution::attribute,
    id::{BrandId, MemberId},
    ledger::decide_targets,
};
use kit::testing::TestEngine;

use self::{
    made::{Fact, Made},
    random::Random,
};
use super::World;
use crate::{
    app::{attributions, digest},
    evaluate::order::finding,
    store::{last_instant, ledger_entries},
};

/// Tells facts as they are, evaluating now and then.
async fn tell(world: &World, facts: Vec<Fact>, random: &mut Random) {
    let mut facts = facts.into_iter().peekable();
    while let Some(fact) = facts.next() {
        match fact {
            Fact::Identity(event) => {
                let mut batch = vec![*event];
                while let Some(Fact::Identity(next)) =
                    facts.next_if(|next| matches!(next, Fact::Identity(_)) && random.is(2))
                {
                    batch.push(*next);
                }
                world.hear_identity(batch).await;
            }
            Fact::Chat(event) => {
                let mut batch = vec![*event];
                while let Some(Fact::Chat(next)) =
                    facts.next_if(|next| matches!(next, Fact::Chat(_)) && random.is(2))
                {
                    batch.push(*next);
                }
                world.hear_chat(batch).await;
            }
            Fact::Order(report) => {
                world.record(*report).await.unwrap();
            }
            Fact::Status(order, status) => {
                let label = status.label.as_str();
                world.status(&order, label, status.status_time).await;
            }
            Fact::Refund(order, refund) => {
                let id = refund.id.as_str();
                world.refund(&order, id, refund.amount).await.unwrap();
            }
            Fact::Checkout(checkout) => {
                let cart = checkout.cart.as_str();
                let (account, time) = (checkout.account, checkout.checkout_time);
                world.checkout(cart, account, time).await.unwrap();
            }
            Fact::Policy(set) => {
                let policy = crate::convert::policy::policy_to_wire(&set.policy);
                let set = world.policy(set.effective_time, |wire| *wire = policy);
                set.await.unwrap();
            }
        }
        if random.is(6) {
            world.settle().await;
        }
    }
    world.settle().await;
}

/// Compares what was kept with what the domain says of all facts together.
async fn check_against_domain(world: &World, made: &Made, number: u64) {
    let mut expected: BTreeMap<MemberId, i64> = BTreeMap::new();
    for report in &made.orders {
        let facts = made.facts_of(report);
        let attribution = attribute(&facts);
        let targets = decide_targets(&facts, &attribution);
        let whole = targets
            .targets
            .iter()
            .fold(targets.remainder.minor_units(), |sum, target| {
                sum + target.share.minor_units()
            });
        assert_eq!(whole, targets.net.minor_units(), "world {number}"); // SPEC 40
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
    let mut connection = world.app.db.read().await.unwrap();
    let sums = ledger_entries::balances(&mut connection, &world.brand, None, last_instant());
    let booked: BTreeMap<MemberId, i64> = sums
        .await
        .unwrap()
        .into_iter()
        .map(|(member, amount)| (member, amount.minor_units()))
        .filter(|(_, minor_units)| *minor_units != 0)
        .collect();
    expected.retain(|_, minor_units| *minor_units != 0);
    assert_eq!(booked, expected, "world {number}");
}

async fn check_worlds(engine: TestEngine, numbers: std::ops::Range<u64>) {
    let mut world = World::create(engine).await;
    for number in numbers {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_facts_does_not_matter_on_sqlite() {
    check_worlds(TestEngine::Sqlite, 0..120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_facts_does_not_matter_on_postgres() {
    check_worlds(TestEngine::Postgres, 1_000..1_025).await;
}
