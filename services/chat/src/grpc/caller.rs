//! From the credential, and the participant that a service names, to the party of a call.
//!
//! | credential | `acting_for`, `account_id`  | party                                   |
//! |------------|-----------------------------|-----------------------------------------|
//! | temporary  | unset; or his own account   | his account alone                       |
//! | client     | unset; or his own account   | the person of his account               |
//! | Member     | unset                       | the Member                              |
//! | service    | an account                  | the person of that account              |
//! | service    | a Member                    | that Member                             |
//! | service    | unset                       | itself, where it may write as itself    |

use domain::id::AccountId;
use kit::{access::Principal, consistency::ConsistencyToken, convert::field, error::CallError};
use rapport_proto::chat::v1::{Participant, participant::Participant as Named};

use crate::{
    app::{Caller, Party},
    error::ChatError,
};

/// Returns the participant for whom a method is called.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] when a service names none, or somebody else does.
pub(super) fn participant(
    principal: &Principal,
    acting_for: Option<Participant>,
    consistency_token: &str,
) -> Result<Caller, ChatError> {
    match (principal, acting_for) {
        (Principal::Service { .. }, None) => Err(required("acting_for").into()),
        (_, acting_for) => sender(principal, acting_for, consistency_token),
    }
}

/// As [`participant`], where a service may also speak for itself.
pub(super) fn sender(
    principal: &Principal,
    acting_for: Option<Participant>,
    consistency_token: &str,
) -> Result<Caller, ChatError> {
    let party = match (principal, acting_for) {
        (Principal::Service { key_id, .. }, None) => Party::Service(*key_id),
        (Principal::Service { .. }, Some(participant)) => named(participant)?,
        (_, None) => own(principal)?,
        (_, Some(_)) => return Err(CallError::field("acting_for", "is for services only").into()),
    };
    caller(principal, party, consistency_token)
}

/// Returns the visitor for whom a method is called that names him by his account.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] when a service names none; [`ChatError::AccountNotFound`] when a
/// visitor names another than himself, who does not exist for him.
pub(super) fn visitor(
    principal: &Principal,
    account_id: &str,
    consistency_token: &str,
) -> Result<Caller, ChatError> {
    let party = match principal {
        Principal::Service { .. } if account_id.is_empty() => {
            return Err(required("account_id").into());
        }
        Principal::Service { .. } => Party::Person(field("account_id", account_id.parse())?),
        _ => own(principal)?,
    };
    if let Party::Temporary(own) | Party::Person(own) = party
        && !account_id.is_empty()
    {
        let named: AccountId = field("account_id", account_id.parse())?;
        if named != own {
            return Err(ChatError::AccountNotFound { account_id: named });
        }
    }
    caller(principal, party, consistency_token)
}

fn own(principal: &Principal) -> Result<Party, CallError> {
    match principal {
        Principal::Temporary(subject) => Ok(Party::Temporary(subject.id)),
        Principal::Client(subject) => Ok(Party::Person(subject.id)),
        Principal::Member(subject) => Ok(Party::Member(subject.id)),
        Principal::Anonymous
        | Principal::Service { .. }
        | Principal::Operator
        | Principal::Suite => Err(CallError::PermissionDenied),
    }
}

fn named(participant: Participant) -> Result<Party, CallError> {
    match participant.participant {
        Some(Named::AccountId(id)) => field("acting_for.account_id", id.parse()).map(Party::Person),
        Some(Named::MemberId(id)) => field("acting_for.member_id", id.parse()).map(Party::Member),
        None => Err(required("acting_for.participant")),
    }
}

fn caller(
    principal: &Principal,
    party: Party,
    consistency_token: &str,
) -> Result<Caller, ChatError> {
    let brand_id = principal.brand_id().ok_or(CallError::PermissionDenied)?;
    let is_service = matches!(principal, Principal::Service { .. });
    // A visitor's own token already says what he has seen.
    let token = if is_service {
        ConsistencyToken::parse(consistency_token)?
    } else {
        None
    };
    Ok(Caller {
        brand_id: brand_id.clone(),
        name: principal.name(),
        is_service,
        party,
        needed: token.or_else(|| needed(principal, party)),
    })
}

/// Returns what must be known of the party before anything is read: that his account exists, and,
/// of a client, the links that his last sign-in has seen.
fn needed(principal: &Principal, party: Party) -> Option<ConsistencyToken> {
    let (Party::Temporary(account_id) | Party::Person(account_id)) = party else {
        return None;
    };
    let link_revision = match principal {
        Principal::Client(subject) => subject.link_revision,
        _ => 0,
    };
    Some(ConsistencyToken {
        account_id,
        link_revision,
    })
}

fn required(name: &'static str) -> CallError {
    CallError::field(name, "is required")
}

#[cfg(test)]
mod tests {
    use domain::id::BrandId;
    use kit::access::Subject;
    use uuid::Uuid;

    use super::*;

    const OWN: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn subject<Id: From<Uuid>>() -> Subject<Id> {
        Subject {
            brand_id: BrandId::parse("shop").unwrap(),
            id: OWN.into(),
            session_id: Uuid::nil().into(),
            link_revision: 3,
        }
    }

    fn service() -> Principal {
        Principal::Service {
            brand_id: BrandId::parse("shop").unwrap(),
            key_id: OWN.into(),
            scopes: [].into(),
        }
    }

    fn account() -> Option<Participant> {
        let participant = Some(Named::AccountId(OTHER.to_string()));
        Some(Participant { participant })
    }

    fn member() -> Option<Participant> {
        let participant = Some(Named::MemberId(OTHER.to_string()));
        Some(Participant { participant })
    }

    /// The party, or the field that is refused.
    fn read(result: Result<Caller, ChatError>) -> Result<Party, &'static str> {
        match result {
            Ok(caller) => Ok(caller.party),
            Err(ChatError::Call(CallError::FieldInvalid { field, .. })) => Err(field),
            Err(ChatError::Call(CallError::PermissionDenied)) => Err("permission"),
            Err(ChatError::AccountNotFound { .. }) => Err("nobody"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_token_says_who_its_owner_is_and_a_service_says_for_whom_it_acts() {
        let check = |principal: &Principal, acting_for: Option<Participant>, expected| {
            assert_eq!(read(participant(principal, acting_for, "")), expected);
        };
        let temporary = Principal::Temporary(subject());
        let client = Principal::Client(subject());
        check(&temporary, None, Ok(Party::Temporary(OWN.into())));
        check(&client, None, Ok(Party::Person(OWN.into())));
        check(
            &Principal::Member(subject()),
            None,
            Ok(Party::Member(OWN.into())),
        );
        check(&service(), account(), Ok(Party::Person(OTHER.into())));
        check(&service(), member(), Ok(Party::Member(OTHER.into())));
        check(&service(), None, Err("acting_for"));
        let nobody = Some(Participant { participant: None });
        check(&service(), nobody, Err("acting_for.participant"));
        check(&client, account(), Err("acting_for"));
        check(&Principal::Suite, None, Err("permission"));
        let itself = read(sender(&service(), None, ""));
        assert_eq!(itself, Ok(Party::Service(OWN.into())));
    }

    #[test]
    fn a_visitor_is_named_by_himself_or_by_a_service() {
        let check = |principal: &Principal, account_id: &str, expected| {
            assert_eq!(read(visitor(principal, account_id, "")), expected);
        };
        let (own, other) = (OWN.to_string(), OTHER.to_string());
        let client = Principal::Client(subject());
        check(&client, "", Ok(Party::Person(OWN.into())));
        check(&client, &own, Ok(Party::Person(OWN.into())));
        check(&client, &other, Err("nobody")); // SPEC 21
        check(&client, "x", Err("account_id"));
        check(&service(), &other, Ok(Party::Person(OTHER.into())));
        check(&service(), "", Err("account_id"));
    }

    #[test]
    fn what_must_be_known_is_told_by_the_token() {
        let check = |caller: Result<Caller, ChatError>, expected: Option<(Uuid, i64)>| {
            let needed = caller.unwrap().needed;
            let needed = needed.map(|needed| (needed.account_id.uuid(), needed.link_revision));
            assert_eq!(needed, expected);
        };
        let token = ConsistencyToken {
            account_id: OWN.into(),
            link_revision: 9,
        }
        .to_text();
        let client = Principal::Client(subject());
        check(participant(&client, None, ""), Some((OWN, 3))); // SPEC 54
        check(participant(&client, None, &token), Some((OWN, 3)));
        let temporary = Principal::Temporary(subject());
        check(participant(&temporary, None, ""), Some((OWN, 0)));
        check(participant(&Principal::Member(subject()), None, ""), None);
        check(participant(&service(), account(), ""), Some((OTHER, 0)));
        check(participant(&service(), member(), ""), None);
        check(participant(&service(), member(), &token), Some((OWN, 9)));
        let refused = participant(&service(), member(), "no token");
        assert_eq!(read(refused), Err("consistency_token"));
    }
}
