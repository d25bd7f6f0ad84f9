//! The things that identity keeps, as plain values: one struct per table, and the words in it.
//!
//! `store` reads and writes them, `app` changes them, `convert` shows them. No rules are here.

mod words;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    email::{Email, Provenance},
    id::{
        AccountId, BrandId, CustomerId, ErasureId, KeyId, LinkId, MemberId, RequestId, SessionId,
    },
    merge_policy::{MergePolicy, OnExistingClient, OnNewClient},
    person::LinkScope,
    session::SessionEnd,
    sign_in::{MergeCase, OutcomeKind},
};
use uuid::Uuid;

pub(crate) use words::{
    AccountKind, AccountState, AssertionKeyKind, BrandState, List, MemberState, SessionKind,
    TokenAlgorithm,
};

/// A shop, and tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brand {
    pub(crate) brand_id: BrandId,
    pub(crate) display_name: String,
    pub(crate) state: BrandState,
    pub(crate) merge_policy_revision: i64,
    pub(crate) nonce_required: bool,
    pub(crate) token_algorithms: List<TokenAlgorithm>,
    pub(crate) issuer: String,
    pub(crate) audiences: List<String>,
    pub(crate) customer_id_claim: String,
    pub(crate) widget_policy_version: String,
    pub(crate) temporary_account_ttl_seconds: i64,
    pub(crate) attribution_window_limit_seconds: i64,
    pub(crate) client_session_ttl_seconds: i64,
    pub(crate) time_zone: String,
    pub(crate) revision: i64,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

impl Brand {
    /// Returns how long a temporary account lives after its last use.
    pub(crate) fn temporary_account_ttl(&self) -> TimeDelta {
        TimeDelta::seconds(self.temporary_account_ttl_seconds)
    }

    /// Returns how long a client's session lives after its last refresh.
    pub(crate) fn client_session_ttl(&self) -> TimeDelta {
        TimeDelta::seconds(self.client_session_ttl_seconds)
    }
}

/// A merge policy from the moment it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MergePolicyRevision {
    pub(crate) brand_id: BrandId,
    pub(crate) revision: i64,
    pub(crate) on_new_client: OnNewClient,
    pub(crate) on_existing_client: OnExistingClient,
    pub(crate) actor_caller: String,
    pub(crate) actor_id: String,
    pub(crate) create_time: DateTime<Utc>,
}

impl MergePolicyRevision {
    /// Returns both axes.
    pub(crate) fn policy(&self) -> MergePolicy {
        MergePolicy {
            on_new_client: self.on_new_client,
            on_existing_client: self.on_existing_client,
        }
    }
}

/// A key, or set of keys, with which a Brand proves who its visitors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssertionKey {
    pub(crate) brand_id: BrandId,
    pub(crate) assertion_key_id: KeyId,
    pub(crate) kind: AssertionKeyKind,
    pub(crate) sealed_secret: Option<Vec<u8>>,
    pub(crate) key_set: Option<String>,
    pub(crate) jwks_uri: Option<String>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) expire_time: Option<DateTime<Utc>>,
    pub(crate) revoke_time: Option<DateTime<Utc>>,
}

impl AssertionKey {
    /// Returns whether it proves anything at `now`.
    pub(crate) fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        in_force(self.expire_time, self.revoke_time, now)
    }
}

/// A key with which a program of the Brand gets its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) brand_id: BrandId,
    pub(crate) api_key_id: KeyId,
    pub(crate) display_name: String,
    pub(crate) scopes: List<String>,
    pub(crate) secret_digest: Vec<u8>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) expire_time: Option<DateTime<Utc>>,
    pub(crate) revoke_time: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Returns whether it gives tokens at `now`.
    pub(crate) fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        in_force(self.expire_time, self.revoke_time, now)
    }
}

fn in_force(
    expire_time: Option<DateTime<Utc>>,
    revoke_time: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    revoke_time.is_none() && expire_time.is_none_or(|expire_time| now < expire_time)
}

/// A visitor's account.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) brand_id: BrandId,
    pub(crate) account_id: AccountId,
    pub(crate) kind: AccountKind,
    pub(crate) state: AccountState,
    pub(crate) customer_id: Option<CustomerId>,
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) email_provenance: Option<Provenance>,
    pub(crate) given_name: Option<String>,
    pub(crate) family_name: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) picture_uri: Option<String>,
    pub(crate) nonce_digest: Option<Vec<u8>>,
    pub(crate) link_revision: i64,
    pub(crate) session_epoch: i64,
    pub(crate) session_revocations: i64,
    pub(crate) revision: i64,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
    pub(crate) upgrade_time: Option<DateTime<Utc>>,
    pub(crate) expire_time: Option<DateTime<Utc>>,
}

impl Account {
    /// Returns an account of which nothing is known yet but what it is.
    pub(crate) fn empty(
        brand_id: BrandId,
        account_id: AccountId,
        kind: AccountKind,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            brand_id,
            account_id,
            kind,
            state: AccountState::Active,
            customer_id: None,
            username: None,
            email: None,
            email_provenance: None,
            given_name: None,
            family_name: None,
            locale: None,
            picture_uri: None,
            nonce_digest: None,
            link_revision: 0,
            session_epoch: 0,
            session_revocations: 0,
            revision: 1,
            create_time: now,
            update_time: now,
            upgrade_time: None,
            expire_time: None,
        }
    }

    /// Returns the e-mail in the form in which addresses are compared.
    pub(crate) fn normalized_email(&self) -> Option<Email> {
        Email::parse(self.email.as_deref()?).ok()
    }
}

impl fmt::Debug for Account {
    /// Shows no more than events do (SPEC 58).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Account")
            .field("brand_id", &self.brand_id)
            .field("account_id", &self.account_id)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// An e-mail that an account has or had, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountEmail {
    pub(crate) brand_id: BrandId,
    pub(crate) account_id: AccountId,
    pub(crate) number: i64,
    pub(crate) digest: Vec<u8>,
    pub(crate) provenance: Provenance,
    pub(crate) from_time: DateTime<Utc>,
    pub(crate) until_time: Option<DateTime<Utc>>,
}

/// A person who answers visitors.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) brand_id: BrandId,
    pub(crate) member_id: MemberId,
    pub(crate) display_name: String,
    pub(crate) state: MemberState,
    pub(crate) session_epoch: i64,
    pub(crate) session_revocations: i64,
    pub(crate) revision: i64,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
    pub(crate) deactivate_time: Option<DateTime<Utc>>,
}

impl fmt::Debug for Member {
    /// Leaves out the name (SPEC 58).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Member")
            .field("brand_id", &self.brand_id)
            .field("member_id", &self.member_id)
            .field("state", &self.state)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// A customer id by which a Member himself buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberCustomer {
    pub(crate) brand_id: BrandId,
    pub(crate) member_id: MemberId,
    pub(crate) customer_id: CustomerId,
    pub(crate) from_time: DateTime<Utc>,
}

/// A session of a visitor or Member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) brand_id: BrandId,
    pub(crate) session_id: SessionId,
    pub(crate) kind: SessionKind,
    pub(crate) account_id: Option<AccountId>,
    pub(crate) member_id: Option<MemberId>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) expire_time: DateTime<Utc>,
    pub(crate) end_kind: Option<SessionEnd>,
    pub(crate) end_time: Option<DateTime<Utc>>,
}

impl Session {
    /// Returns what decides over its token.
    pub(crate) fn state(&self) -> domain::session::SessionState {
        domain::session::SessionState {
            expire_time: self.expire_time,
            end: self.end_kind,
        }
    }
}

/// An opaque token that stands, or stood, for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionToken {
    pub(crate) brand_id: BrandId,
    pub(crate) token_digest: Vec<u8>,
    pub(crate) session_id: SessionId,
    pub(crate) previous_digest: Option<Vec<u8>>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) spend_time: Option<DateTime<Utc>>,
    pub(crate) spend_request_id: Option<RequestId>,
}

/// A temporary account and a client account, recorded as one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) brand_id: BrandId,
    pub(crate) link_id: LinkId,
    pub(crate) client_account_id: AccountId,
    pub(crate) temporary_account_id: AccountId,
    pub(crate) scope: LinkScope,
    pub(crate) policy_revision: i64,
    pub(crate) revision: i64,
    pub(crate) link_revision: i64,
    pub(crate) link_time: DateTime<Utc>,
    pub(crate) revoke_time: Option<DateTime<Utc>>,
    pub(crate) revoke_reason: Option<String>,
}

/// How a sign-in settled a temporary account, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) brand_id: BrandId,
    pub(crate) temporary_account_id: AccountId,
    pub(crate) outcome: OutcomeKind,
    pub(crate) merge_case: MergeCase,
    pub(crate) client_account_id: AccountId,
    pub(crate) link_id: Option<LinkId>,
    pub(crate) policy_revision: i64,
    pub(crate) settle_time: DateTime<Utc>,
}

/// What a sign-in was decided to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignIn {
    pub(crate) brand_id: BrandId,
    pub(crate) session_id: SessionId,
    pub(crate) account_id: AccountId,
    pub(crate) outcome: OutcomeKind,
    pub(crate) merge_case: MergeCase,
    pub(crate) policy_revision: i64,
    pub(crate) temporary_account_id: Option<AccountId>,
    pub(crate) link_id: Option<LinkId>,
    pub(crate) email_replaced: bool,
    pub(crate) account_created: bool,
    pub(crate) sign_in_time: DateTime<Utc>,
}

/// The erasure of a person, and how far the other services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Erasure {
    pub(crate) brand_id: BrandId,
    pub(crate) erasure_id: ErasureId,
    pub(crate) person_id: AccountId,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) chat_complete_time: Option<DateTime<Utc>>,
    pub(crate) attribution_complete_time: Option<DateTime<Utc>>,
    pub(crate) complete_time: Option<DateTime<Utc>>,
}

/// One thing that somebody will be asked about later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    pub(crate) brand_id: BrandId,
    pub(crate) audit_entry_id: Uuid,
    pub(crate) action: String,
    pub(crate) actor_caller: String,
    pub(crate) actor_id: String,
    pub(crate) subject_id: String,
    pub(crate) reason: String,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) create_time: DateTime<Utc>,
}

/// A key that signs access tokens, of the installation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningKey {
    pub(crate) signing_key_id: String,
    pub(crate) sealed_private_key: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) create_time: DateTime<Utc>,
}
