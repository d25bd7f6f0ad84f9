//! Accounts and Members on the wire.

use domain::{
    email::Email,
    id::{BrandId, CustomerId},
    text::Username,
};
use kit::{
    convert::{field, optional_instant, timestamp},
    error::CallError,
    page::Page,
};
use prost_types::FieldMask;
use rapport_proto::{event::v1 as event, identity::v1 as proto};

use super::{
    MAX_DISPLAY_NAME, WirePlace, bound, etag,
    event::{own_customer_id, provenance},
    optional_timestamp, text,
};
use crate::{
    app::{
        AccountChange, AccountFilter, EmailChange, MemberChange, MemberWithCustomers, NewMember,
        OwnCustomer, ShownAccount,
    },
    error::IdentityError,
    model::{AccountKind, AccountState, MemberState},
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

/// Returns which accounts a request asks for.
pub(crate) fn filter(request: &proto::ListAccountsRequest) -> Result<AccountFilter, IdentityError> {
    use event::{AccountKind as WireKind, AccountState as WireState};
    let kind = match WireKind::try_from(request.kind) {
        Ok(WireKind::Unspecified) => None,
        Ok(kind) => Some(field("kind", AccountKind::try_from(kind))?),
        Err(_) => return Err(IdentityError::field("kind", "is none of its values")),
    };
    let state = match WireState::try_from(request.state) {
        Ok(WireState::Unspecified) => None,
        Ok(state) => Some(field("state", AccountState::try_from(state))?),
        Err(_) => return Err(IdentityError::field("state", "is none of its values")),
    };
    let customer_id = match request.customer_id.as_str() {
        "" => None,
        id => Some(field("customer_id", CustomerId::parse(id))?),
    };
    Ok(AccountFilter {
        kind,
        state,
        customer_id,
        from_time: optional_instant("from_time", request.from_time.as_ref())?,
        until_time: optional_instant("until_time", request.until_time.as_ref())?,
    })
}

/// Returns the page that a request asks for.
pub(crate) fn page(
    request: &proto::ListAccountsRequest,
    brand_id: &BrandId,
) -> Result<Page<WirePlace>, CallError> {
    let list = (
        "ListAccounts",
        brand_id.as_str(),
        (request.kind, request.state),
        &request.customer_id,
        bound(request.from_time.as_ref()),
        bound(request.until_time.as_ref()),
    );
    Page::open(request.page_size, &request.page_token, &list)
}

/// Returns the fields that a request changes, by the habits of field masks (AIP-134, AIP-161):
///
/// | mask                        | changes                                                     |
/// |-----------------------------|-------------------------------------------------------------|
/// | `username`, `email` or both | these, an empty e-mail being none                           |
/// | absent or of no paths       | those of the two that have a value                          |
/// | `*` alone                   | both                                                        |
/// | anything else               | refused                                                     |
pub(crate) fn change(
    account: &proto::Account,
    mask: Option<&FieldMask>,
) -> Result<AccountChange, IdentityError> {
    let paths: Vec<&str> = mask
        .iter()
        .flat_map(|mask| &mask.paths)
        .map(String::as_str)
        .collect();
    let (username, email, is_named) = match paths[..] {
        [] => (
            !account.username.is_empty(),
            !account.email.is_empty(),
            false,
        ),
        ["*"] => (true, true, false),
        _ if paths
            .iter()
            .all(|path| matches!(*path, "username" | "email")) =>
        {
            (paths.contains(&"username"), paths.contains(&"email"), true)
        }
        _ => {
            let problem = "names a field that is unknown or cannot be changed";
            return Err(IdentityError::field("update_mask", problem));
        }
    };
    let mut change = AccountChange {
        etag: (!account.etag.is_empty()).then(|| account.etag.clone()),
        ..AccountChange::default()
    };
    if username {
        change.username = Some(field(
            "account.username",
            Username::parse(&account.username),
        )?);
    }
    if email {
        let value = optional_email("account.email", &account.email)?;
        change.email = Some(EmailChange { value, is_named });
    }
    Ok(change)
}

/// Returns an e-mail as it is spelled and as it is compared, or `None` where there is none.
pub(crate) fn optional_email(
    name: &'static str,
    text: &str,
) -> Result<Option<(String, Email)>, IdentityError> {
    match text.trim() {
        "" => Ok(None),
        spelling => Ok(Some((
            spelling.to_owned(),
            field(name, Email::parse(spelling))?,
        ))),
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
