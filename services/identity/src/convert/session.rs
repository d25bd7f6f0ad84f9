//! Sessions and sign-in on the wire.

use domain::{
    id::KeyId,
    session::Widget,
    sign_in::{MergeCase, OutcomeKind},
    text::Username,
};
use kit::convert::{field, timestamp};
use rapport_proto::identity::v1::{self as proto, sign_in_request::Assertion};
use secrecy::{ExposeSecret, SecretString};

use super::{account, link};
use crate::{
    app::{NewTemporarySession, OpenedSession, ShownAccount, SignInOutcome, SignInResult},
    assertion::PresentedAssertion,
    error::IdentityError,
};

/// Returns what an anonymous visitor says of himself.
pub(crate) fn start(
    request: &proto::StartTemporarySessionRequest,
) -> Result<NewTemporarySession, IdentityError> {
    Ok(NewTemporarySession {
        username: field("username", Username::parse(&request.username))?,
        email: account::optional_email("email", &request.email)?,
        widget: widget(request.widget())?,
        accepted_policy: request.accepted_widget_policy_version.clone(),
    })
}

/// Returns where a visitor acts.
pub(crate) fn widget(widget: proto::Widget) -> Result<Widget, IdentityError> {
    match widget {
        proto::Widget::Unspecified => Err(IdentityError::field("widget", "must be a known widget")),
        proto::Widget::Community => Ok(Widget::Community),
        proto::Widget::Publication => Ok(Widget::Publication),
        proto::Widget::Profile => Ok(Widget::Profile),
    }
}

/// Returns the proof that a visitor shows.
pub(crate) fn assertion(assertion: Option<Assertion>) -> Result<PresentedAssertion, IdentityError> {
    match assertion {
        Some(Assertion::IdToken(token)) => Ok(PresentedAssertion::IdToken(token)),
        Some(Assertion::SignedUserData(data)) => {
            let key_id: Option<KeyId> = match data.assertion_key_id.as_str() {
                "" => None,
                id => Some(field("signed_user_data.assertion_key_id", id.parse())?),
            };
            Ok(PresentedAssertion::SignedUserData {
                json: data.user_data_json,
                signature: data.signature,
                key_id,
            })
        }
        None => Err(IdentityError::field("assertion", "is required")),
    }
}

/// Returns a secret in a request's field, or `None` where it is empty.
pub(crate) fn optional_secret(text: String) -> Option<SecretString> {
    (!text.is_empty()).then(|| text.into())
}

/// Shows a session with its tokens.
pub(crate) fn show(session: &OpenedSession) -> proto::Session {
    proto::Session {
        session_id: session.session_id.to_string(),
        session_token: session.session_token.expose_secret().to_owned(),
        access_token: session.access.token.expose_secret().to_owned(),
        access_token_expire_time: Some(timestamp(session.access.expire_time)),
        expire_time: Some(timestamp(session.expire_time)),
    }
}

/// Shows what a sign-in did, or with `validate_only` would do: then without the ids, times and
/// revisions of what is not made.
pub(crate) fn show_sign_in(result: &SignInResult) -> proto::SignInResponse {
    let mut account = account::show(&ShownAccount {
        account: result.account.clone(),
        person_id: result.account.account_id,
    });
    let mut outcome = show_outcome(&result.outcome);
    if result.opened.is_none() {
        leave_out_what_is_not_made(&mut account, &mut outcome);
    }
    proto::SignInResponse {
        account: Some(account),
        session: result.opened.as_ref().map(|(session, _)| show(session)),
        outcome: Some(outcome),
        consistency_token: result
            .opened
            .as_ref()
            .map(|(_, token)| token.to_text())
            .unwrap_or_default(),
    }
}

fn leave_out_what_is_not_made(account: &mut proto::Account, outcome: &mut proto::SignInOutcome) {
    if outcome.account_created {
        account.account_id.clear();
        account.person_id.clear();
        account.create_time = None;
    }
    if outcome.kind() == proto::SignInOutcomeKind::Upgraded {
        account.upgrade_time = None;
    }
    // A sign-in may give the account a new state, of which nobody can tell these yet.
    account.update_time = None;
    account.revision = 0;
    account.link_revision = 0;
    account.etag.clear();
    let is_new_link = outcome.kind() == proto::SignInOutcomeKind::Linked;
    if let Some(link) = outcome.link.as_mut().filter(|_| is_new_link) {
        link.link_id.clear();
        link.link_time = None;
        link.revision = 0;
        link.client_account_id.clone_from(&account.account_id);
    }
}

fn show_outcome(outcome: &SignInOutcome) -> proto::SignInOutcome {
    proto::SignInOutcome {
        kind: outcome_kind(outcome.kind).into(),
        merge_case: merge_case(outcome.merge_case).into(),
        policy_revision: outcome.policy_revision,
        link: outcome.link.as_ref().map(link::show),
        temporary_account_id: outcome
            .temporary_account_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        email_replaced: outcome.email_replaced,
        account_created: outcome.account_created,
    }
}

fn outcome_kind(kind: OutcomeKind) -> proto::SignInOutcomeKind {
    use proto::SignInOutcomeKind as K;
    match kind {
        OutcomeKind::NoTemporary => K::NoTemporary,
        OutcomeKind::Upgraded => K::Upgraded,
        OutcomeKind::Linked => K::Linked,
        OutcomeKind::Separated => K::Separated,
        OutcomeKind::Abandoned => K::Abandoned,
        OutcomeKind::AlreadyLinked => K::AlreadyLinked,
        OutcomeKind::LinkedElsewhere => K::LinkedElsewhere,
        OutcomeKind::TemporarySessionUnusable => K::TemporarySessionUnusable,
    }
}

fn merge_case(case: MergeCase) -> proto::MergeCase {
    match case {
        MergeCase::Case0 => proto::MergeCase::NoTemporary,
        MergeCase::Case1Or2 => proto::MergeCase::NewClient,
        MergeCase::Case3 => proto::MergeCase::ExistingClient,
    }
}
