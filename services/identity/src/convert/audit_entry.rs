//! Audit entries on the wire.

use domain::id::BrandId;
use kit::{
    convert::{optional_instant, timestamp},
    error::CallError,
    page::Page,
};
use rapport_proto::{
    access::v1::Caller,
    identity::v1::{self as proto, AuditAction},
};

use super::{WirePlace, bound};
use crate::{error::IdentityError, model::AuditEntry, store::audit_entries::Filter};

/// Every action begins so in the contract, and none in the rows.
const PREFIX: &str = "AUDIT_ACTION_";
/// More than the longest id.
const MAX_SUBJECT_BYTES: usize = 200;

/// Returns an action as rows keep it: its name without the enum's prefix.
pub(crate) fn action_name(action: AuditAction) -> String {
    let name = action.as_str_name();
    name.strip_prefix(PREFIX).unwrap_or(name).to_owned()
}

/// Returns which entries a request asks for.
pub(crate) fn filter(request: &proto::ListAuditEntriesRequest) -> Result<Filter, IdentityError> {
    let action = match AuditAction::try_from(request.action) {
        Ok(AuditAction::Unspecified) => None,
        Ok(action) => Some(action_name(action)),
        Err(_) => return Err(IdentityError::field("action", "is none of its values")),
    };
    if request.subject_id.len() > MAX_SUBJECT_BYTES {
        let problem = format!("must have at most {MAX_SUBJECT_BYTES} bytes");
        return Err(IdentityError::field("subject_id", problem));
    }
    Ok(Filter {
        action,
        subject_id: Some(request.subject_id.clone()).filter(|id| !id.is_empty()),
        from_time: optional_instant("from_time", request.from_time.as_ref())?,
        until_time: optional_instant("until_time", request.until_time.as_ref())?,
    })
}

/// Returns the page that a request asks for.
pub(crate) fn page(
    request: &proto::ListAuditEntriesRequest,
    brand_id: &BrandId,
) -> Result<Page<WirePlace>, CallError> {
    let list = (
        "ListAuditEntries",
        brand_id.as_str(),
        request.action,
        &request.subject_id,
        bound(request.from_time.as_ref()),
        bound(request.until_time.as_ref()),
    );
    Page::open(request.page_size, &request.page_token, &list)
}

/// Shows an entry.
pub(crate) fn show(entry: &AuditEntry) -> proto::AuditEntry {
    let action = AuditAction::from_str_name(&format!("{PREFIX}{}", entry.action));
    proto::AuditEntry {
        audit_entry_id: entry.audit_entry_id.to_string(),
        brand_id: entry.brand_id.to_string(),
        action: action.unwrap_or_default().into(),
        actor: Some(show_actor(&entry.actor_caller, &entry.actor_id)),
        subject_id: entry.subject_id.clone(),
        reason: entry.reason.clone(),
        request_id: entry
            .request_id
            .map(|request_id| request_id.to_string())
            .unwrap_or_default(),
        create_time: Some(timestamp(entry.create_time)),
    }
}

/// Shows who did something, as rows keep him.
pub(crate) fn show_actor(caller: &str, id: &str) -> proto::Actor {
    let caller = Caller::from_str_name(&format!("CALLER_{caller}"));
    proto::Actor {
        caller: caller.unwrap_or_default().into(),
        actor_id: id.to_owned(),
    }
}
