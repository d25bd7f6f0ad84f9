//! The payloads of identity's events: the whole state of a thing, without anything personal
//! (SPEC 51, 53).

use chrono::{DateTime, Utc};
use domain::{
    email::Provenance,
    id::{AccountId, KeyId, MemberId, SessionId},
    merge_policy::{OnExistingClient, OnNewClient},
    person::LinkScope,
};
use kit::convert::timestamp;
use rapport_proto::event::v1 as event;

use super::{duration, optional_timestamp};
use crate::model::{
    Account, AccountEmail, AssertionKey, Brand, Erasure, Link, Member, MemberCustomer,
    MergePolicyRevision,
};

/// Names the installation's one digest key.
const DIGEST_KEY_ID: &str = "1";

/// Returns the state of an account with every e-mail that it has or had.
pub(crate) fn account_changed(account: &Account, emails: &[AccountEmail]) -> event::AccountChanged {
    event::AccountChanged {
        account_id: account.account_id.to_string(),
        revision: account.revision,
        kind: event::AccountKind::from(account.kind).into(),
        state: event::AccountState::from(account.state).into(),
        customer_id: account
            .customer_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        create_time: Some(timestamp(account.create_time)),
        upgrade_time: optional_timestamp(account.upgrade_time),
        email_digests: emails.iter().map(email_digest).collect(),
        link_revision: account.link_revision,
    }
}

/// Returns what is told of an account that was erased: what later orders of its person are known by.
pub(crate) fn account_erased(
    account: &Account,
    emails: &[AccountEmail],
    erasure: &Erasure,
    link_revision: i64,
) -> event::AccountErased {
    event::AccountErased {
        account_id: account.account_id.to_string(),
        revision: account.revision,
        erasure_id: erasure.erasure_id.to_string(),
        erase_time: Some(timestamp(erasure.create_time)),
        customer_id: account
            .customer_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        email_digests: emails.iter().map(email_digest).collect(),
        person_id: erasure.person_id.to_string(),
        link_revision,
    }
}

fn email_digest(email: &AccountEmail) -> event::EmailDigest {
    event::EmailDigest {
        digest: email.digest.clone(),
        digest_key_id: DIGEST_KEY_ID.to_owned(),
        provenance: provenance(email.provenance).into(),
        from_time: Some(timestamp(email.from_time)),
        until_time: optional_timestamp(email.until_time),
    }
}

/// Returns the wire form of a provenance.
pub(crate) fn provenance(provenance: Provenance) -> event::EmailProvenance {
    match provenance {
        Provenance::Typed => event::EmailProvenance::Typed,
        Provenance::Attested => event::EmailProvenance::Attested,
    }
}

/// Returns the state of a link.
pub(crate) fn link_changed(link: &Link) -> event::LinkChanged {
    event::LinkChanged {
        link_id: link.link_id.to_string(),
        revision: link.revision,
        client_account_id: link.client_account_id.to_string(),
        temporary_account_id: link.temporary_account_id.to_string(),
        scope: link_scope(link.scope).into(),
        link_time: Some(timestamp(link.link_time)),
        revoke_time: optional_timestamp(link.revoke_time),
        merge_policy_revision: link.policy_revision,
        link_revision: link.link_revision,
    }
}

/// Returns the wire form of a scope.
pub(crate) fn link_scope(scope: LinkScope) -> event::LinkScope {
    match scope {
        LinkScope::Tracking => event::LinkScope::Tracking,
        LinkScope::History => event::LinkScope::History,
    }
}

/// Whose sessions were revoked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RevokedSubject {
    /// A visitor's.
    Account(AccountId),
    /// A Member's.
    Member(MemberId),
    /// The tokens of an API key.
    ApiKey(KeyId),
}

/// Returns what must not be believed any more: tokens of the subject with a smaller epoch, and
/// those of the sessions.
pub(crate) fn sessions_revoked(
    subject: RevokedSubject,
    revision: i64,
    minimum_epoch: i64,
    sessions: &[SessionId],
    revoke_time: DateTime<Utc>,
) -> event::SessionsRevoked {
    use event::sessions_revoked::Subject;
    event::SessionsRevoked {
        subject: Some(match subject {
            RevokedSubject::Account(id) => Subject::AccountId(id.to_string()),
            RevokedSubject::Member(id) => Subject::MemberId(id.to_string()),
            RevokedSubject::ApiKey(id) => Subject::ApiKeyId(id.to_string()),
        }),
        revision,
        minimum_epoch,
        session_ids: sessions.iter().map(ToString::to_string).collect(),
        revoke_time: Some(timestamp(revoke_time)),
    }
}

/// Returns the state of a Member with the customer ids of his own.
pub(crate) fn member_changed(
    member: &Member,
    customers: &[MemberCustomer],
) -> event::MemberChanged {
    event::MemberChanged {
        member_id: member.member_id.to_string(),
        revision: member.revision,
        state: event::MemberState::from(member.state).into(),
        create_time: Some(timestamp(member.create_time)),
        deactivate_time: optional_timestamp(member.deactivate_time),
        own_customer_ids: customers.iter().map(own_customer_id).collect(),
    }
}

/// Returns the wire form of a Member's own customer id.
pub(crate) fn own_customer_id(customer: &MemberCustomer) -> event::OwnCustomerId {
    event::OwnCustomerId {
        customer_id: customer.customer_id.to_string(),
        from_time: Some(timestamp(customer.from_time)),
    }
}

/// Returns what of a Brand concerns the other services.
pub(crate) fn brand_changed(
    brand: &Brand,
    policy: &MergePolicyRevision,
    keys_in_force: &[AssertionKey],
) -> event::BrandChanged {
    event::BrandChanged {
        revision: brand.revision,
        state: event::BrandState::from(brand.state).into(),
        merge_policy_revision: policy.revision,
        on_new_client: on_new_client(policy.on_new_client).into(),
        on_existing_client: on_existing_client(policy.on_existing_client).into(),
        temporary_account_ttl: Some(duration(brand.temporary_account_ttl_seconds)),
        attribution_window_limit: Some(duration(brand.attribution_window_limit_seconds)),
        create_time: Some(timestamp(brand.create_time)),
        assertion_key_ids: keys_in_force
            .iter()
            .map(|key| key.assertion_key_id.to_string())
            .collect(),
    }
}

/// Returns the wire form of the first axis.
pub(crate) fn on_new_client(value: OnNewClient) -> event::OnNewClient {
    match value {
        OnNewClient::UpgradeUnlessEmailDiffers => event::OnNewClient::UpgradeUnlessEmailDiffers,
        OnNewClient::Upgrade => event::OnNewClient::Upgrade,
        OnNewClient::Link => event::OnNewClient::Link,
    }
}

/// Returns the wire form of the second axis.
pub(crate) fn on_existing_client(value: OnExistingClient) -> event::OnExistingClient {
    match value {
        OnExistingClient::Abandon => event::OnExistingClient::Abandon,
        OnExistingClient::LinkForTracking => event::OnExistingClient::LinkForTracking,
        OnExistingClient::LinkWithHistory => event::OnExistingClient::LinkWithHistory,
    }
}
