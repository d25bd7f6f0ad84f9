//! Links and persons on the wire.

use kit::convert::timestamp;
use rapport_proto::identity::v1 as proto;

use super::{
    event::{account_changed, account_erased, link_changed, link_scope},
    optional_timestamp,
};
use crate::{app::Person, model::Link};

/// Shows a link.
pub(crate) fn show(link: &Link) -> proto::Link {
    proto::Link {
        link_id: link.link_id.to_string(),
        brand_id: link.brand_id.to_string(),
        client_account_id: link.client_account_id.to_string(),
        temporary_account_id: link.temporary_account_id.to_string(),
        scope: link_scope(link.scope).into(),
        policy_revision: link.policy_revision,
        revision: link.revision,
        link_time: Some(timestamp(link.link_time)),
        revoke_time: optional_timestamp(link.revoke_time),
        revoke_reason: link.revoke_reason.clone().unwrap_or_default(),
    }
}

/// Shows a person, in the shape that events have.
pub(crate) fn show_person(person: &Person) -> proto::Person {
    proto::Person {
        person_id: person.person_id.to_string(),
        accounts: person
            .accounts
            .iter()
            .map(|(account, emails)| account_changed(account, emails))
            .collect(),
        links: person.links.iter().map(link_changed).collect(),
        link_revision: person.link_revision,
        erasure: person.accounts.first().zip(person.erasure.as_ref()).map(
            |((account, emails), erasure)| {
                account_erased(account, emails, erasure, person.link_revision)
            },
        ),
    }
}
