//! The limits in a time that the test moves.

use chrono::TimeDelta;
use tonic_types::StatusExt;

use super::*;

const METHOD: &str = "/rapport.identity.v1.SessionService/SignIn";

struct World {
    clock: Clock,
    limits: Limits,
}

impl World {
    fn new(address_per_minute: u32, brand_per_minute: u32, account_per_minute: u32) -> Self {
        let clock = Clock::manual(Default::default());
        let config = LimitConfig {
            address_per_minute,
            brand_per_minute,
            account_per_minute,
            ..LimitConfig::off()
        };
        let limits = Limits::new(&config, &clock);
        Self { clock, limits }
    }

    /// Makes a call as a service admits it: address, Brand, customer.
    fn call(&self, origin: &Origin, brand: &str, customer: &str) -> Result<(), CallError> {
        self.limits.check_origin(origin)?;
        self.limits.check_brand(origin, &self::brand(brand))?;
        let customer = Subject::Customer(customer);
        self.limits.check_account(&self::brand(brand), customer)
    }
}

fn brand(text: &str) -> BrandId {
    BrandId::parse(text).unwrap()
}

fn from(address: &str) -> Origin {
    Origin {
        method: METHOD.to_owned(),
        address: address.parse().unwrap(),
        backend_of: None,
    }
}

/// Fails unless the answer names the limit; returns when to try again.
#[track_caller]
fn refused(answer: Result<(), CallError>, limit: &str) -> TimeDelta {
    let status = answer.unwrap_err().refusal().into_status("stub.rapport");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "RATE_LIMITED");
    assert_eq!(info.metadata["limit"], limit);
    let retry = status.get_details_retry_info().unwrap();
    TimeDelta::from_std(retry.retry_delay.unwrap()).unwrap()
}

#[test]
fn each_limit_refuses_what_is_too_much_and_serves_again_when_it_said() {
    // SPEC 59
    let cases = [
        (World::new(3, 0, 0), "address"),
        (World::new(0, 3, 0), "brand"),
        (World::new(0, 0, 3), "account"),
    ];
    for (world, limit) in cases {
        let call = || world.call(&from("192.0.2.1"), "shop", "ann");
        for _ in 0..3 {
            call().unwrap();
        }
        let wait = refused(call(), limit);
        assert_eq!(wait, TimeDelta::seconds(20), "three a minute");
        world.clock.advance(wait - TimeDelta::microseconds(1));
        refused(call(), limit);
        world.clock.advance(TimeDelta::microseconds(1));
        call().unwrap();
        refused(call(), limit);
    }
}

#[test]
fn a_flood_stops_nobody_else() {
    let world = World::new(3, 3, 3);
    let flood = from("192.0.2.1");
    for _ in 0..3 {
        world.call(&flood, "shop", "ann").unwrap();
    }
    refused(world.call(&flood, "shop", "ann"), "address");
    // Another method, another address with another Brand, another network of the same size.
    let method = "another".to_owned();
    let other_method = Origin { method, ..flood };
    world.limits.check_origin(&other_method).unwrap();
    world.call(&from("192.0.2.2"), "other", "ann").unwrap();
    world.call(&from("2001:db8:0:1::"), "other", "bob").unwrap();
    refused(world.call(&from("192.0.2.3"), "shop", "bob"), "brand");
}

#[test]
fn a_flood_from_one_address_is_not_the_brands() {
    let world = World::new(3, 10, 0);
    for _ in 0..100 {
        let _ = world.call(&from("192.0.2.1"), "shop", "ann");
    }
    for host in 2..9 {
        let address = format!("192.0.2.{host}");
        world.call(&from(&address), "shop", "ann").unwrap();
    }
}

#[test]
fn one_account_is_counted_by_what_it_shows() {
    let world = World::new(0, 0, 1);
    let digest = [1; 32];
    let id = uuid::Uuid::from_u128(1);
    let subjects = [
        Subject::Customer("ann"),
        Subject::Customer("bob"),
        Subject::Session(id),
        Subject::Secret(&digest),
    ];
    for subject in subjects {
        for brand_id in [brand("shop"), brand("other")] {
            world.limits.check_account(&brand_id, subject).unwrap();
            let again = world.limits.check_account(&brand_id, subject);
            refused(again, "account");
        }
    }
}

#[test]
fn a_brands_own_service_is_not_held_to_address_and_brand() {
    let world = World::new(2, 2, 5);
    let backend = Origin {
        backend_of: Some(brand("shop")),
        ..from("192.0.2.1")
    };
    for _ in 0..5 {
        world.call(&backend, "shop", "ann").unwrap();
    }
    refused(world.call(&backend, "shop", "ann"), "account");
    // Elsewhere it is a stranger.
    world.call(&backend, "other", "ann").unwrap();
    world.call(&backend, "other", "bob").unwrap();
    refused(world.call(&backend, "other", "eve"), "address");
    world.call(&from("192.0.2.2"), "shop", "bob").unwrap();
}

#[test]
fn zero_switches_a_limit_off() {
    let world = World::new(0, 0, 0);
    for _ in 0..1_000 {
        world.call(&from("192.0.2.1"), "shop", "ann").unwrap();
    }
}

#[test]
fn more_addresses_than_are_remembered_do_not_evade_the_brands_limit() {
    let world = World::new(1, 1_000, 0);
    let mut served = 0;
    for address in 0..4 * CAPACITY as u32 {
        let address = std::net::Ipv4Addr::from_bits(address).to_string();
        served += u32::from(world.call(&from(&address), "shop", "ann").is_ok());
    }
    assert_eq!(served, 1_000, "the Brand's limit, not the address's");
}

#[test]
fn a_limit_remembers_no_more_keys_than_its_capacity() {
    let limit = Limit::new(LimitName::Address, 1, &Clock::manual(Default::default()));
    for number in 0..1_000_000_u32 {
        limit.check(&[&number.to_le_bytes()]).unwrap();
    }
    assert!(limit.limiter.unwrap().into_state_store().len() <= CAPACITY);
}

#[test]
fn what_begins_while_too_many_calls_are_under_way_is_refused_at_once() {
    let config = LimitConfig {
        calls_at_once: 2,
        ..LimitConfig::off()
    };
    let limits = Limits::new(&config, &Clock::system());
    let first = limits.begin_call().unwrap();
    let _second = limits.begin_call().unwrap();
    for _ in 0..3 {
        let retry = refused(limits.begin_call().map(|_| ()), "service");
        assert_eq!(retry, TimeDelta::seconds(1));
    }
    drop(first);
    limits.begin_call().unwrap();
    let unlimited = Limits::new(&LimitConfig::off(), &Clock::system());
    let calls: Vec<_> = (0..10_000)
        .map(|_| unlimited.begin_call().unwrap())
        .collect();
    drop(calls);
}
