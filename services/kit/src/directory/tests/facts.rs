//! Facts about a small world, such as identity could tell: four accounts to be linked, two of them
//! clients, and two Members.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    id::{AccountId, LinkId},
    person::{Link, LinkScope},
};
use proptest::prelude::*;
use rapport_proto::event::v1::{
    self as event, AccountChanged, AccountErased, AccountKind, AccountState, EmailProvenance,
    Event, LinkChanged, MemberChanged, MemberState, OwnCustomerId, event::Payload,
};
use uuid::Uuid;

use crate::{convert, testing};

/// Accounts 0 and 1 are clients, the others temporary.
const CLIENTS: u8 = 2;
const ACCOUNTS: u8 = 5;
pub(super) const ERASED_LINK_REVISION: i64 = 90;

/// What is told; all else about it follows from these numbers.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Account {
        number: u8,
        revision: i64,
    },
    Erased {
        number: u8,
    },
    Link {
        number: u8,
        client: u8,
        temporary: u8,
        made: i64,
        revoked: Option<i64>,
    },
    Member {
        number: u8,
        revision: i64,
    },
}

pub(super) fn time(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + second)
}

fn wire(second: i64) -> Option<prost_types::Timestamp> {
    Some(convert::timestamp(time(second)))
}

pub(super) fn account(number: u8) -> AccountId {
    AccountId::new(Uuid::from_u128(u128::from(number) + 1))
}

pub(super) fn accounts() -> Vec<AccountId> {
    (0..ACCOUNTS).map(account).collect()
}

fn scope(number: u8) -> LinkScope {
    if number.is_multiple_of(2) {
        LinkScope::History
    } else {
        LinkScope::Tracking
    }
}

/// E-mails of an account up to a revision: each revision but the first replaces one by another.
fn emails(number: u8, revision: i64) -> Vec<event::EmailDigest> {
    (1..revision)
        .map(|n| event::EmailDigest {
            digest: vec![number + u8::try_from(n).unwrap(); 32],
            digest_key_id: "1".to_owned(),
            provenance: EmailProvenance::Attested.into(),
            from_time: wire(n),
            until_time: (n + 1 < revision).then(|| wire(n + 1)).flatten(),
        })
        .collect()
}

pub(super) fn changed(number: u8, revision: i64) -> AccountChanged {
    let is_client = number < CLIENTS;
    // Account 1 began as a temporary one and was upgraded in its second revision.
    let is_upgraded = number == 1 && revision >= 2;
    let kind = if is_client && (number == 0 || is_upgraded) {
        AccountKind::Client
    } else {
        AccountKind::Temporary
    };
    let customer_id = match kind {
        AccountKind::Client => format!("customer-{number}"),
        _ => String::new(),
    };
    let state = if revision >= 3 {
        AccountState::Settled
    } else {
        AccountState::Active
    };
    AccountChanged {
        account_id: account(number).to_string(),
        revision,
        kind: kind.into(),
        state: state.into(),
        customer_id,
        create_time: wire(0),
        upgrade_time: is_upgraded.then(|| wire(2)).flatten(),
        email_digests: emails(number, revision),
        link_revision: if is_client { revision } else { 0 },
    }
}

fn erased(number: u8) -> AccountErased {
    let is_client = number < CLIENTS;
    AccountErased {
        account_id: account(number).to_string(),
        revision: 9,
        erasure_id: Uuid::from_u128(7).to_string(),
        erase_time: wire(7),
        customer_id: if is_client {
            format!("customer-{number}")
        } else {
            String::new()
        },
        email_digests: emails(number, 4),
        person_id: account(number).to_string(),
        link_revision: if is_client { ERASED_LINK_REVISION } else { 0 },
    }
}

fn member(number: u8, revision: i64) -> MemberChanged {
    let own = (0..revision).map(|n| OwnCustomerId {
        customer_id: format!("own-{n}"),
        from_time: wire(n),
    });
    let state = if revision >= 3 {
        MemberState::Deactivated
    } else {
        MemberState::Active
    };
    MemberChanged {
        member_id: Uuid::from_u128(u128::from(number) + 500).to_string(),
        revision,
        state: state.into(),
        create_time: wire(0),
        deactivate_time: None,
        own_customer_ids: own.skip(usize::from(revision >= 3)).collect(),
    }
}

impl Fact {
    pub(super) fn event(&self, brand: &str) -> Event {
        let payload = match *self {
            Self::Account { number, revision } => {
                Payload::AccountChanged(changed(number, revision))
            }
            Self::Erased { number } => Payload::AccountErased(erased(number)),
            Self::Member { number, revision } => Payload::MemberChanged(member(number, revision)),
            Self::Link {
                client,
                made,
                revoked,
                ..
            } => {
                let link = self.link().unwrap();
                Payload::LinkChanged(LinkChanged {
                    link_id: link.id.to_string(),
                    revision: i64::try_from(link.revision).unwrap(),
                    client_account_id: account(client).to_string(),
                    temporary_account_id: link.temporary.to_string(),
                    scope: match link.scope {
                        LinkScope::History => event::LinkScope::History.into(),
                        LinkScope::Tracking => event::LinkScope::Tracking.into(),
                    },
                    link_time: wire(made),
                    revoke_time: revoked.and_then(wire),
                    merge_policy_revision: 1,
                    link_revision: revoked.unwrap_or(made),
                })
            }
        };
        Event {
            payload: Some(payload),
            ..testing::event(brand, "")
        }
    }

    /// Returns the link as the domain knows it.
    pub(super) fn link(&self) -> Option<Link> {
        let Self::Link {
            number,
            client,
            temporary,
            made,
            revoked,
        } = *self
        else {
            return None;
        };
        Some(Link {
            revision: if revoked.is_some() { 2 } else { 1 },
            revoke_time: revoked.map(time),
            id: LinkId::new(Uuid::from_u128(u128::from(number) + 1_000)),
            temporary: account(temporary),
            client: account(client),
            scope: scope(number),
            link_time: time(made),
        })
    }
}

/// All facts about some accounts, links and Members: each in its revisions from the first to the last.
///
/// A temporary account has a link that may be revoked, and only then perhaps another (SPEC 10).
pub(super) fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let accounts = proptest::collection::vec((1_i64..4, any::<bool>()), usize::from(ACCOUNTS));
    let per_temporary = (0_u8..CLIENTS, 0_u8..CLIENTS, 0_u8..4, 1_i64..5);
    let links = proptest::collection::vec(per_temporary, usize::from(ACCOUNTS - CLIENTS));
    let members = proptest::collection::vec(1_i64..4, 2);
    (accounts, links, members).prop_map(|(accounts, links, members)| {
        let mut facts = Vec::new();
        for (number, (revisions, is_erased)) in (0..).zip(accounts) {
            facts.extend((1..=revisions).map(|revision| Fact::Account { number, revision }));
            if is_erased {
                facts.push(Fact::Erased { number });
            }
        }
        for (temporary, (first, second, fate, made)) in (CLIENTS..).zip(links) {
            let link = |number, client, made, revoked| Fact::Link {
                number,
                client,
                temporary,
                made,
                revoked,
            };
            let number = 2 * temporary;
            if fate >= 1 {
                facts.push(link(number, first, made, None));
            }
            if fate >= 2 {
                facts.push(link(number, first, made, Some(made + 1)));
            }
            if fate >= 3 {
                facts.push(link(number + 1, second, made + 2, None));
            }
        }
        for (number, revisions) in (0..).zip(members) {
            facts.extend((1..=revisions).map(|revision| Fact::Member { number, revision }));
        }
        facts
    })
}
