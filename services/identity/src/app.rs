//! What identity does: one function per use case.
//!
//! Each loads facts, lets `domain` decide, applies the decision and writes what happened, in one
//! transaction. What a transaction must not make by itself is made before: instants, ids, tokens,
//! digests, and the verification of proofs.

mod accounts;
mod api_keys;
mod assertion_keys;
mod audit_entries;
mod brands;
mod erasures;
mod export_account;
mod journal;
mod lanes;
mod links;
mod members;
mod merge_policies;
mod peers;
mod persons;
mod sessions;
mod sign_in;
mod temporary_sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::id::{BrandId, KeyId, RequestId};
use kit::{
    access::Principal,
    clock::Clock,
    db::{Connection, Db},
    error::CallError,
    event_log::EventFeed,
    ids::Ids,
    limit::Limits,
    request::{RequestKey, RequestKeys},
    secret::{EmailDigestKey, SealingKey},
    server::Lifetime,
};
use prost::Message;
use rapport_proto::access::v1::Caller;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    assertion::{PublishedKeys, Reach},
    error::{DOMAIN, IdentityError},
    model::{Brand, BrandState},
    store::brands as brand_store,
    token::TokenSigner,
};

pub(crate) use accounts::{AccountChange, AccountFilter, EmailChange, ShownAccount};
pub(crate) use api_keys::{MadeApiKey, NewApiKey};
pub(crate) use assertion_keys::{KeyMaterial, MadeAssertionKey, NewAssertionKey};
pub(crate) use brands::{BrandChange, BrandWithPolicy};
pub(crate) use erasures::{DoneBy, ErasedPerson};
pub(crate) use export_account::Exported;
pub(crate) use members::{MemberChange, MemberWithCustomers, NewMember, OwnCustomer};
pub(crate) use peers::{Outward, Peers};
pub(crate) use persons::{Person, PersonKey};
pub(crate) use sessions::{ApiKeyProof, OpenedSession};
pub(crate) use sign_in::{SignInCommand, SignInOutcome, SignInResult};
pub(crate) use temporary_sessions::NewTemporarySession;

/// All that the use cases work with.
pub(crate) struct App {
    db: Db,
    clock: Clock,
    ids: Ids,
    sealing_key: SealingKey,
    email_digest_key: EmailDigestKey,
    /// Makes the keys of repeatable calls.
    pub(crate) request_keys: RequestKeys,
    signer: Arc<TokenSigner>,
    published_keys: PublishedKeys,
    lanes: lanes::Lanes,
    limits: Limits,
    /// Told when an erasure is begun.
    erasing: Notify,
    peers: Peers,
}

/// Who does something, for audit entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// What kind of caller.
    pub(crate) caller: Caller,
    /// Which one, where there is one to name.
    pub(crate) id: Option<Uuid>,
}

impl Actor {
    /// Returns the suite itself, which finishes what somebody or the passing of time has begun.
    pub(crate) fn suite() -> Self {
        Self::from(&Principal::Suite)
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        Self {
            caller: principal.caller(),
            id: principal.id(),
        }
    }
}

impl Actor {
    /// Returns the kind of caller as rows keep it: its name without the enum's prefix.
    fn caller_name(&self) -> String {
        let name = self.caller.as_str_name();
        name.strip_prefix("CALLER_").unwrap_or(name).to_owned()
    }

    /// Returns the id as rows keep it: empty where there is none.
    fn id_text(&self) -> String {
        self.id.map(|id| id.to_string()).unwrap_or_default()
    }
}

/// A write that may be repeated (SPEC 61), and who asks for it.
pub(crate) struct Write {
    /// The Brand that it is about.
    pub(crate) brand_id: BrandId,
    /// Who asks.
    pub(crate) actor: Actor,
    /// What makes two calls the same.
    pub(crate) key: RequestKey,
}

/// What a transaction needs from outside: who, when, and ids for what it will write down.
pub(crate) struct Stamp {
    brand_id: BrandId,
    actor: Actor,
    request_id: Option<RequestId>,
    now: DateTime<Utc>,
    /// The first of them; the others follow it.
    first_id: Uuid,
}

impl App {
    /// Returns a write, with what makes it repeatable.
    pub(crate) fn write(
        &self,
        principal: &Principal,
        brand_id: BrandId,
        method: &'static str,
        request_id: &str,
        body: &impl Message,
    ) -> Result<Write, IdentityError> {
        let name = principal.name();
        let key = self
            .request_keys
            .key(brand_id.clone(), name, method, request_id, body)?;
        Ok(Write {
            brand_id,
            actor: Actor::from(principal),
            key,
        })
    }

    pub(crate) fn new(
        db: Db,
        clock: Clock,
        sealing_key: SealingKey,
        email_digest_key: EmailDigestKey,
        signer: Arc<TokenSigner>,
        limits: Limits,
        outward: Outward,
    ) -> Self {
        Self {
            db,
            ids: Ids::new(clock.clone()),
            clock,
            sealing_key,
            request_keys: RequestKeys::new(&email_digest_key),
            email_digest_key,
            signer,
            published_keys: PublishedKeys::new(outward.key_reach),
            lanes: lanes::Lanes::default(),
            limits,
            erasing: Notify::new(),
            peers: outward.peers,
        }
    }

    /// Returns the keys that sign access tokens.
    pub(crate) fn signer(&self) -> &TokenSigner {
        &self.signer
    }

    /// Returns what anonymous callers are held to.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns where key sets may be fetched from.
    pub(crate) fn key_reach(&self) -> Reach {
        self.published_keys.reach()
    }

    /// Returns the other services.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Returns the present.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns the log, for streams over it.
    pub(crate) fn event_feed(&self, lifetime: &Lifetime) -> EventFeed {
        EventFeed {
            domain: DOMAIN,
            db: self.db.clone(),
            clock: self.clock.clone(),
            shutdown: lifetime.shutdown.clone(),
        }
    }

    fn stamp(&self, brand_id: &BrandId, actor: Actor, request_id: Option<RequestId>) -> Stamp {
        Stamp {
            brand_id: brand_id.clone(),
            actor,
            request_id,
            now: self.clock.now(),
            first_id: self.ids.next(),
        }
    }

    fn write_stamp(&self, write: &Write) -> Stamp {
        self.stamp(
            &write.brand_id,
            write.actor.clone(),
            Some(write.key.request_id()),
        )
    }
}

/// Returns where a key of a Brand is sealed for.
pub(crate) fn sealing_place(brand_id: &BrandId, key_id: KeyId) -> String {
    format!("{brand_id}/{key_id}")
}

/// Returns the Brand.
async fn find_brand(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Brand, IdentityError> {
    let brand = brand_store::find(connection, brand_id).await?;
    brand.ok_or(IdentityError::BrandNotFound)
}

/// Returns the Brand, if its visitors, Members and services are served.
async fn find_serving_brand(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Brand, IdentityError> {
    let brand = find_brand(connection, brand_id).await?;
    match brand.state {
        BrandState::Active => Ok(brand),
        BrandState::Suspended => Err(CallError::BrandSuspended.into()),
    }
}

/// Keeps an answer that is known before the call is carried out, or returns that of the first call.
async fn claim_answer<T: prost::Message + Default>(
    connection: &mut Connection,
    key: &RequestKey,
    answer: &T,
    now: DateTime<Utc>,
) -> Result<Option<T>, IdentityError> {
    let kept = kit::request::claim(connection, key, answer.encode_to_vec(), now).await?;
    decode_answer(kept)
}

/// Returns the stored answer of a repeated call, decoded.
async fn find_answer<T: prost::Message + Default>(
    connection: &mut Connection,
    key: &RequestKey,
) -> Result<Option<T>, IdentityError> {
    decode_answer(kit::request::find(connection, key).await?)
}

fn decode_answer<T: prost::Message + Default>(
    kept: Option<Vec<u8>>,
) -> Result<Option<T>, IdentityError> {
    kept.map(|bytes| T::decode(bytes.as_slice()))
        .transpose()
        .map_err(|_| {
            kit::db::StoreError::Corrupt {
                what: "request.response",
            }
            .into()
        })
}

/// Keeps an answer for the repeated call.
async fn keep_answer(
    connection: &mut Connection,
    key: &RequestKey,
    answer: &impl prost::Message,
    now: DateTime<Utc>,
) -> Result<(), IdentityError> {
    Ok(kit::request::keep(connection, key, answer.encode_to_vec(), now).await?)
}
