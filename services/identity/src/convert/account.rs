//! Accounts and Members on the wire.

use domain::id::CustomerId;
use kit::convert::{field, optional_instant, timestamp};
use prost_types::FieldMask;
use rapport_proto::{event::v1 as event, identity::v1 as proto};

use super::{
    MAX_DISPLAY_NAME, etag,
    event::{own_customer_id, provenance},
    optional_timestamp, text,
};
use crate::{
    app::{MemberChange, MemberWithCustomers, NewMember, OwnCustomer, ShownAccount},
    error::IdentityError,
    model::{AccountKind, MemberState},
};

const MAX_OWN_CUSTOMER_IDS: usize = 16;

/// Shows an account.
pub(crate) fn show(shown: &ShownAccount) -> proto::Account {
    let ShownAccount { account, person_id } = shown;
    let is_linked = *person_id != account.account_id;
    proto::Account {
        account_id: account.account_id.to_string(),
        brand_id: account.brand_id.to_string(),
        kind: event::AccountKind::from(account.kind).into(),
        state: event::AccountState::from(account.state).into(),
        username: account.username.clone().unwrap_or_default(),
        customer_id: account
            .customer_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        email: account.email.clone().unwrap_or_default(),
        email_provenance: account
            .email_provenance
            .map_or(event::EmailProvenance::Unspecified, provenance)
            .into(),
        given_name: account.given_name.clone().unwrap_or_default(),
        family_name: account.family_name.clone().unwrap_or_default(),
        locale: account.locale.clone().unwrap_or_default(),
        picture_uri: account.picture_uri.clone().unwrap_or_default(),
        person_id: person_id.to_string(),
        link_revision: account.link_revision,
        revision: account.revision,
        create_time: Some(timestamp(account.create_time)),
        update_time: Some(timestamp(account.update_time)),
        upgrade_time: optional_timestamp(account.upgrade_time),
        // A linked account lives as long as its client (SPEC 57).
        expire_time: optional_timestamp(account.expire_time)
            .filter(|_| account.kind == AccountKind::Temporary && !is_linked),
        etag: etag(account.revision),
    }
}

/// Returns the Member that a request asks for.
pub(crate) fn create_member(
    request: &proto::CreateMemberRequest,
) -> Result<NewMember, IdentityError> {
    Ok(NewMember {
        display_name: text("display_name", &request.display_name, MAX_DISPLAY_NAME)?,
        customers: own_customers("own_customer_ids", &request.own_customer_ids)?,
    })
}

/// Returns the fields that a request changes.
pub(crate) fn change_member(
    member: &proto::Member,
    mask: Option<&FieldMask>,
) -> Result<MemberChange, IdentityError> {
    let mut change = MemberChange {
        etag: (!member.etag.is_empty()).then(|| member.etag.clone()),
        ..MemberChange::default()
    };
    for path in mask.iter().flat_map(|mask| &mask.paths) {
        match path.as_str() {
            "display_name" => {
                let name = &member.display_name;
                change.display_name = Some(text("member.display_name", name, MAX_DISPLAY_NAME)?);
            }
            "state" => {
                let state = MemberState::try_from(member.state());
                change.state = Some(field("member.state", state)?);
            }
            "own_customer_ids" => {
                let name = "member.own_customer_ids";
                change.customers = Some(own_customers(name, &member.own_customer_ids)?);
            }
            _ => {
                let problem = "names a field that is unknown or cannot be changed";
                return Err(IdentityError::field("update_mask", problem));
            }
        }
    }
    Ok(change)
}

fn own_customers(
    name: &'static str,
    ids: &[event::OwnCustomerId],
) -> Result<Vec<OwnCustomer>, IdentityError> {
    if ids.len() > MAX_OWN_CUSTOMER_IDS {
        let problem = format!("must be at most {MAX_OWN_CUSTOMER_IDS}");
        return Err(IdentityError::field(name, problem));
    }
    let mut customers: Vec<OwnCustomer> = Vec::with_capacity(ids.len());
    for own in ids {
        let customer_id = field(name, CustomerId::parse(&own.customer_id))?;
        if customers.iter().any(|(known, _)| *known == customer_id) {
            return Err(IdentityError::field(name, "must name each one once"));
        }
        customers.push((customer_id, optional_instant(name, own.from_time.as_ref())?));
    }
    Ok(customers)
}

/// Shows a Member.
pub(crate) fn show_member(shown: &MemberWithCustomers) -> proto::Member {
    let MemberWithCustomers { member, customers } = shown;
    proto::Member {
        member_id: member.member_id.to_string(),
        brand_id: member.brand_id.to_string(),
        display_name: member.display_name.clone(),
        state: event::MemberState::from(member.state).into(),
        own_customer_ids: customers.iter().map(own_customer_id).collect(),
        revision: member.revision,
        create_time: Some(timestamp(member.create_time)),
        update_time: Some(timestamp(member.update_time)),
        deactivate_time: optional_timestamp(member.deactivate_time),
        etag: etag(member.revision),
    }
}
