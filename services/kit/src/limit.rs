//! How often nobody in particular may call (SPEC 59).
//!
//! The anonymous methods are open to the whole network, and each costs a signature or a transaction.
//! Three limits hold them, each a number of calls a minute:
//!
//! | limit   | counts the calls                                            | is asked                        |
//! |---------|-------------------------------------------------------------|---------------------------------|
//! | address | of one method, from one IPv4 address or IPv6 network of /64 | before the request is read      |
//! | Brand   | of one method, about one Brand, by strangers                | before anything is looked up    |
//! | account | with one session, session token or API key, of one customer | before the transaction          |
//!
//! The last also holds those who have a credential, where a call makes or takes a code, or uploads an
//! image for a participant.
//!
//! A minute's calls may come at once; after that each waits for its turn (GCRA). A call that is refused
//! counts for nothing, and one that the address is refused for does not count for the Brand.
//!
//! A Brand's own backend calls for all its visitors from one address. Where it shows the token of a
//! service of that Brand, neither address nor Brand is counted, so that no flood by strangers keeps it
//! out; what it does for one account is counted still.
//!
//! Health and reflection are not counted: they cost no signature and no database, and a flood from
//! behind a proxy must not make an orchestrator believe that the service is dead.
//!
//! Memory is bounded: each limit remembers the [`CAPACITY`] keys used last or often, as digests of one
//! size. Who makes more keys than that, with a million addresses, has the rest forgotten, and begins
//! anew with each; the Brand's limit then still holds, because its one key is used by every call.

mod address;
mod states;

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Args;
use domain::id::BrandId;
use governor::{Quota, RateLimiter, middleware::NoOpMiddleware};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tonic::codegen::http;

use self::states::{Key, States};
use crate::{clock::Clock, error::CallError, server::Connection};

pub use states::CAPACITY;

const ADDRESS_PER_MINUTE: u32 = 6_000;
const BRAND_PER_MINUTE: u32 = 60_000;
const ACCOUNT_PER_MINUTE: u32 = 120;
const CALLS_AT_ONCE: usize = 2_048;
/// When a caller who came at a moment of too many calls may try again.
const MOMENT: Duration = Duration::from_secs(1);

/// The limits, as flags of every service. Each is a number of calls a minute, and as many may come at
/// once.
#[derive(Args, Clone, Debug)]
pub struct LimitConfig {
    /// Calls a minute of one anonymous method from one address (IPv6: /64); 0 for no limit.
    #[arg(
        long = "limit-address-per-minute",
        global = true,
        env = "RAPPORT_LIMIT_ADDRESS_PER_MINUTE",
        default_value_t = ADDRESS_PER_MINUTE
    )]
    pub address_per_minute: u32,
    /// Calls a minute of one anonymous method about one Brand, by others than its own services; 0 for
    /// no limit.
    #[arg(
        long = "limit-brand-per-minute",
        global = true,
        env = "RAPPORT_LIMIT_BRAND_PER_MINUTE",
        default_value_t = BRAND_PER_MINUTE
    )]
    pub brand_per_minute: u32,
    /// Anonymous calls a minute with one session token or API key, or for one customer, calls of one
    /// caller that make or take a phygital code, and uploads of one participant; 0 for no limit.
    #[arg(
        long = "limit-account-per-minute",
        global = true,
        env = "RAPPORT_LIMIT_ACCOUNT_PER_MINUTE",
        default_value_t = ACCOUNT_PER_MINUTE
    )]
    pub account_per_minute: u32,
    /// Calls of all callers that a service carries out at once, streams that have begun apart; 0 for no
    /// limit. Those beyond are refused at once, and wait in no queue.
    #[arg(
        long = "limit-calls-at-once",
        global = true,
        env = "RAPPORT_LIMIT_CALLS_AT_ONCE",
        default_value_t = CALLS_AT_ONCE
    )]
    pub calls_at_once: usize,
    /// Networks of proxies whose `x-forwarded-for` is believed, as 10.0.0.0/8,fd00::/8; none by default.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            address_per_minute: ADDRESS_PER_MINUTE,
            brand_per_minute: BRAND_PER_MINUTE,
            account_per_minute: ACCOUNT_PER_MINUTE,
            calls_at_once: CALLS_AT_ONCE,
            trusted_proxies: Vec::new(),
        }
    }
}

impl LimitConfig {
    /// Returns no limits at all.
    pub fn off() -> Self {
        Self {
            address_per_minute: 0,
            brand_per_minute: 0,
            account_per_minute: 0,
            calls_at_once: 0,
            trusted_proxies: Vec::new(),
        }
    }
}

/// One of the limits, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// Calls from one address.
    Address,
    /// Calls about one Brand.
    Brand,
    /// Calls about one account.
    Account,
    /// Calls that one process carries out at once.
    Service,
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "address",
            Self::Brand => "brand",
            Self::Account => "account",
            Self::Service => "service",
        })
    }
}

/// Whose calls with one account are counted together.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Of the customer whom the Brand has vouched for.
    Customer(&'a str),
    /// Of the session.
    Session(uuid::Uuid),
    /// With the session token or API key of this digest.
    Secret(&'a [u8; 32]),
    /// Of the caller of that name, as kind and id.
    Caller(&'a str),
    /// Of this participant of chatrooms.
    Participant(uuid::Uuid),
}

/// Where an anonymous call comes from, as the access layer found out.
#[derive(Clone, Debug)]
pub struct Origin {
    method: String,
    address: IpAddr,
    /// The Brand whose service calls.
    backend_of: Option<BrandId>,
}

/// Returns where an anonymous call comes from.
///
/// # Errors
///
/// [`CallError::Unauthenticated`] when no access layer has looked.
pub fn origin<T>(request: &tonic::Request<T>) -> Result<Origin, CallError> {
    let origin = request.extensions().get();
    origin.cloned().ok_or(CallError::Unauthenticated)
}

/// The limits of one service; clones count together.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    calls_at_once: usize,
    calls: AtomicUsize,
    address: Limit,
    brand: Limit,
    account: Limit,
    trusted_proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(&LimitConfig::default(), &Clock::system())
    }
}

impl Limits {
    /// Returns the limits, with nothing counted yet.
    pub fn new(config: &LimitConfig, clock: &Clock) -> Self {
        Self(Arc::new(Inner {
            calls_at_once: match config.calls_at_once {
                0 => usize::MAX,
                count => count,
            },
            calls: AtomicUsize::new(0),
            address: Limit::new(LimitName::Address, config.address_per_minute, clock),
            brand: Limit::new(LimitName::Brand, config.brand_per_minute, clock),
            account: Limit::new(LimitName::Account, config.account_per_minute, clock),
            trusted_proxies: config.trusted_proxies.clone(),
        }))
    }

    /// Counts a call that begins, whoever makes it, until what this returns is dropped.
    ///
    /// # Errors
    ///
    /// [`CallError::RateLimited`] when too many are under way.
    pub(crate) fn begin_call(&self) -> Result<CallUnderWay<'_>, CallError> {
        let call = CallUnderWay(&self.0.calls);
        // No other memory depends on the count.
        if call.0.fetch_add(1, Ordering::Relaxed) < self.0.calls_at_once {
            return Ok(call);
        }
        Err(CallError::RateLimited {
            limit: LimitName::Service,
            retry_delay: MOMENT,
        })
    }

    /// Returns where a call comes from: `backend_of` is the Brand whose service's token it shows.
    pub(crate) fn origin<B>(
        &self,
        request: &http::Request<B>,
        backend_of: Option<BrandId>,
    ) -> Origin {
        let connection = request.extensions().get::<Arc<Connection>>();
        // Calls that come over no network are counted together.
        let peer = connection.map_or(Ipv6Addr::UNSPECIFIED.into(), |connection| {
            connection.peer.ip()
        });
        Origin {
            method: request.uri().path().to_owned(),
            address: address::of_caller(peer, request.headers(), &self.0.trusted_proxies),
            backend_of,
        }
    }

    /// Counts a call for its address, unless a Brand's service makes it.
    pub(crate) fn check_origin(&self, origin: &Origin) -> Result<(), CallError> {
        match origin.backend_of {
            None => self.check_address(origin),
            Some(_) => Ok(()),
        }
    }

    /// Counts a call for the Brand that it names, unless that Brand's own service makes it. The
    /// service of another Brand is a stranger here, and is counted for its address too.
    ///
    /// # Errors
    ///
    /// [`CallError::RateLimited`] when there were too many.
    pub fn check_brand(&self, origin: &Origin, brand_id: &BrandId) -> Result<(), CallError> {
        match &origin.backend_of {
            Some(own) if own == brand_id => return Ok(()),
            Some(_) => self.check_address(origin)?,
            None => {}
        }
        let parts = [origin.method.as_bytes(), brand_id.as_str().as_bytes()];
        self.0.brand.check(&parts)
    }

    /// Counts a call for the account that it is about.
    ///
    /// # Errors
    ///
    /// [`CallError::RateLimited`] when there were too many.
    pub fn check_account(&self, brand_id: &BrandId, subject: Subject<'_>) -> Result<(), CallError> {
        let (kind, id) = match &subject {
            Subject::Customer(customer_id) => ("customer", customer_id.as_bytes()),
            Subject::Session(session_id) => ("session", session_id.as_bytes().as_slice()),
            Subject::Secret(digest) => ("secret", digest.as_slice()),
            Subject::Caller(name) => ("caller", name.as_bytes()),
            Subject::Participant(id) => ("participant", id.as_bytes().as_slice()),
        };
        let parts = [kind.as_bytes(), brand_id.as_str().as_bytes(), id];
        self.0.account.check(&parts)
    }

    fn check_address(&self, origin: &Origin) -> Result<(), CallError> {
        let address = match origin.address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let parts = [origin.method.as_bytes(), &address.octets()];
        self.0.address.check(&parts)
    }
}

/// One of the calls that a service carries out at once.
pub(crate) struct CallUnderWay<'a>(&'a AtomicUsize);

impl Drop for CallUnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So many calls a minute for each key.
struct Limit {
    name: LimitName,
    /// Absent where the limit is switched off.
    limiter: Option<RateLimiter<Key, States, Clock, NoOpMiddleware<Duration>>>,
}

impl Limit {
    fn new(name: LimitName, per_minute: u32, clock: &Clock) -> Self {
        let limiter = NonZeroU32::new(per_minute).map(|per_minute| {
            let quota = Quota::per_minute(per_minute);
            RateLimiter::new(quota, States::new(), clock.clone())
        });
        Self { name, limiter }
    }

    /// Counts a call under the key that `parts` make, or says when its turn comes.
    fn check(&self, parts: &[&[u8]]) -> Result<(), CallError> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let refused = match limiter.check_key(&key(parts)) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        Err(CallError::RateLimited {
            limit: self.name,
            retry_delay: refused.wait_time_from(limiter.clock().monotonic()),
        })
    }
}

/// Returns the key of what `parts` name. A digest has one size, however long a name a caller invents.
fn key(parts: &[&[u8]]) -> Key {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    std::array::from_fn(|index| digest[index])
}

/// Waits are measured in the monotonic time of the process.
impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.monotonic()
    }
}

#[cfg(test)]
mod tests;
