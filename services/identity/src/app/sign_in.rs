//! Sign-in: opens or makes the client account of the Brand's user, and does with his temporary
//! account what the Brand's merge policy says.
//!
//! `domain` decides; here the facts are loaded, the proof is verified, and the decision is applied:
//!
//! 1. Outside of the transaction: the Brand and its keys are read, the assertion is verified, and
//!    ids, tokens and digests are made.
//! 2. In one transaction, as if no other ran: facts, decision, rows, events (SPEC 13, 17).
//! 3. Outside again: the access token is signed.

mod apply;
mod facts;

use chrono::{DateTime, Utc};
use domain::{
    email::EmailDigest,
    id::{AccountId, BrandId, LinkId},
    sign_in::{MergeCase, OutcomeKind, decide_sign_in},
};
use kit::{
    consistency::ConsistencyToken,
    db::{Connection, StoreError},
    error::CallError,
    limit::Subject,
    request::RequestKey,
    secret::token_digest,
    telemetry::Count,
};
use rapport_proto::identity::v1::AuditAction;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Actor, App, Stamp, accounts, claim_answer, find_serving_brand,
    journal::Journal,
    sessions::{NewSession, OpenedSession, SessionSecrets},
    temporary_sessions::check_policy,
};
use crate::{
    assertion::{self, AssertionRefusal, PresentedAssertion, Trust, VerifiedAssertion},
    error::IdentityError,
    model::{Account, AccountState, Brand, Link, Session},
    store::{assertion_keys, links, sign_ins},
};

static SIGN_INS: Count<2> = Count::new(
    "rapport.sign_ins",
    "{sign_in}",
    "What became of the temporary accounts of those who signed in",
    ["outcome", "merge_case"],
);

/// A visitor wants to sign in.
pub(crate) struct SignInCommand {
    pub(crate) brand_id: BrandId,
    pub(crate) actor: Actor,
    /// What the Brand has signed for him.
    pub(crate) assertion: PresentedAssertion,
    /// The opaque token of his temporary session, where the browser has one.
    pub(crate) temporary_session_token: Option<SecretString>,
    /// The version of the widget policy that he has accepted.
    pub(crate) accepted_policy: String,
    /// What makes two calls the same; absent to see what would happen, and change nothing (SPEC 15).
    pub(crate) key: Option<RequestKey>,
}

/// What became of the temporary account (SPEC 18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignInOutcome {
    pub(crate) kind: OutcomeKind,
    pub(crate) merge_case: MergeCase,
    /// The policy that it was decided under, which for a repeated outcome is an earlier one.
    pub(crate) policy_revision: i64,
    /// The link, made or repeated.
    pub(crate) link: Option<Link>,
    /// The temporary account that took part, where it may be told.
    pub(crate) temporary_account_id: Option<AccountId>,
    pub(crate) email_replaced: bool,
    pub(crate) account_created: bool,
}

/// The answer to a sign-in.
pub(crate) struct SignInResult {
    pub(crate) account: Account,
    pub(crate) outcome: SignInOutcome,
    /// Absent with `validate_only`, as is what follows from it.
    pub(crate) opened: Option<(OpenedSession, ConsistencyToken)>,
}

/// What the transaction is given: proof, time, and everything that is made of chance.
struct SignInInput {
    stamp: Stamp,
    key: Option<RequestKey>,
    assertion: VerifiedAssertion,
    /// The digest that stands for the Brand's e-mail elsewhere.
    email_digest: Option<EmailDigest>,
    temporary_token_digest: Option<Vec<u8>>,
    /// The account that is made, where none exists.
    new_account_id: AccountId,
    /// The link that is made, where one is.
    new_link_id: LinkId,
    session: NewSession,
}

/// What the transaction leaves.
struct SignedIn {
    account: Account,
    outcome: SignInOutcome,
    /// Absent with `validate_only`.
    session: Option<Session>,
}

impl App {
    /// Signs a visitor in. A refusal leaves an audit entry (SPEC 60), unless it is only asked what
    /// would happen: then nothing is changed, not even the audit log (SPEC 15).
    pub(crate) async fn sign_in(
        &self,
        command: SignInCommand,
    ) -> Result<SignInResult, IdentityError> {
        let entry = command.key.as_ref().map(|key| {
            let request_id = Some(key.request_id());
            self.stamp(&command.brand_id, command.actor.clone(), request_id)
        });
        let answer = self.try_sign_in(command).await;
        if let (Err(error), Some(stamp)) = (&answer, entry)
            && let Some(reason) = audited_reason(error)
        {
            self.note_refusal(stamp, reason).await?;
        }
        answer
    }

    async fn try_sign_in(&self, command: SignInCommand) -> Result<SignInResult, IdentityError> {
        if let Some(token) = &command.temporary_session_token {
            let digest = token_digest(token.expose_secret());
            self.limits
                .check_account(&command.brand_id, Subject::Secret(&digest))?;
        }
        let request_id = command.key.as_ref().map(RequestKey::request_id);
        let stamp = self.stamp(&command.brand_id, command.actor.clone(), request_id);
        let assertion = self.verify(&command, stamp.now).await?;
        // Only the Brand can sign for a customer: nobody else can use up his calls.
        let customer = Subject::Customer(assertion.customer_id().as_str());
        self.limits.check_account(&command.brand_id, customer)?;
        let secrets = SessionSecrets::new();
        let input = self.input(command, stamp, assertion, &secrets);
        let signed_in = {
            let customer_id = input.assertion.customer_id();
            let _lane = self.lanes.enter(&input.stamp.brand_id, customer_id).await;
            self.db
                .run_tx("sign_in", input, |c, i| Box::pin(sign_in(c, i)))
                .await?
        };
        if signed_in.session.is_some() {
            let outcome = &signed_in.outcome;
            SIGN_INS.add(1, [outcome.kind.as_str(), outcome.merge_case.as_str()]);
        }
        let opened = match &signed_in.session {
            Some(session) => Some((
                self.account_session(&signed_in.account, session, secrets)?,
                ConsistencyToken {
                    account_id: signed_in.account.account_id,
                    link_revision: signed_in.account.link_revision,
                },
            )),
            None => None,
        };
        Ok(SignInResult {
            account: signed_in.account,
            outcome: signed_in.outcome,
            opened,
        })
    }

    /// Makes all that the transaction must not make by itself.
    fn input(
        &self,
        command: SignInCommand,
        stamp: Stamp,
        assertion: VerifiedAssertion,
        secrets: &SessionSecrets,
    ) -> SignInInput {
        let email = assertion.profile().email.as_ref();
        SignInInput {
            email_digest: email.map(|email| {
                let digest = self
                    .email_digest_key
                    .digest(&command.brand_id, &email.email);
                EmailDigest::new(digest)
            }),
            temporary_token_digest: command
                .temporary_session_token
                .as_ref()
                .map(|token| token_digest(token.expose_secret()).to_vec()),
            new_account_id: self.ids.next(),
            new_link_id: self.ids.next(),
            session: NewSession {
                session_id: self.ids.next(),
                token_digest: secrets.digest(),
            },
            stamp,
            key: command.key,
            assertion,
        }
    }

    /// Verifies the assertion with what the Brand has given us.
    async fn verify(
        &self,
        command: &SignInCommand,
        now: DateTime<Utc>,
    ) -> Result<VerifiedAssertion, IdentityError> {
        let mut connection = self.db.read().await?;
        let brand = find_serving_brand(&mut connection, &command.brand_id).await?;
        check_policy(&brand, &command.accepted_policy)?;
        let keys = assertion_keys::list_in_force(&mut connection, &brand.brand_id, now).await?;
        // Keys may have to be fetched, and the connection is others' meanwhile.
        drop(connection);
        let trust = Trust {
            brand: &brand,
            keys: &keys,
            published_keys: &self.published_keys,
            sealing_key: &self.sealing_key,
            now,
        };
        let verified = assertion::verify(&command.assertion, &trust).await;
        verified.map_err(|refusal| match refusal {
            AssertionRefusal::KeySetUnavailable => IdentityError::KeySetUnavailable,
            cause => IdentityError::AssertionRefused { cause },
        })
    }

    /// Leaves an audit entry of a refused sign-in: why, and of nobody.
    async fn note_refusal(&self, stamp: Stamp, reason: String) -> Result<(), IdentityError> {
        self.db
            .run_tx("note_refusal", (stamp, reason), |c, (stamp, reason)| {
                Box::pin(async move {
                    let mut journal = Journal::new(stamp);
                    journal.audit(AuditAction::SignInRefused, "", reason);
                    journal.write(c).await.map_err(IdentityError::from)
                })
            })
            .await
    }
}

/// Returns what the audit log says of a refusal, or `None` where there is no Brand to say it to, or
/// where the sign-in was not refused but failed. A call over a limit leaves none either: limits are
/// there to spare the database.
fn audited_reason(error: &IdentityError) -> Option<String> {
    let reason = match error {
        IdentityError::AssertionRefused { cause } => return Some(cause.to_string()),
        IdentityError::KeySetUnavailable => "KEY_SET_UNAVAILABLE",
        IdentityError::Call(CallError::BrandSuspended) => "BRAND_SUSPENDED",
        IdentityError::WidgetPolicyNotAccepted { .. } => "WIDGET_POLICY_NOT_ACCEPTED",
        IdentityError::Call(CallError::RequestIdReused) => "REQUEST_ID_REUSED",
        _ => return None,
    };
    Some(reason.to_owned())
}

async fn sign_in(
    connection: &mut Connection,
    input: &SignInInput,
) -> Result<SignedIn, IdentityError> {
    let brand = find_serving_brand(connection, input.assertion.brand_id()).await?;
    if let Some(key) = &input.key {
        let session = input.session.session_id.to_string();
        let first = claim_answer(connection, key, &session, input.stamp.now).await?;
        if let Some(first_session) = first {
            if let Some(repeated) = repeat(connection, &brand, input, &first_session).await? {
                return Ok(repeated);
            }
            // Whoever signed in then has been erased since; now he is somebody new (SPEC 55).
            kit::request::forget(connection, key).await?;
            claim_answer(connection, key, &session, input.stamp.now).await?;
        }
    }
    let facts = facts::load(connection, &brand, input).await?;
    let decision = decide_sign_in(facts.policy.policy(), &facts.to_domain(input));
    apply::apply(connection, &brand, input, facts, &decision).await
}

/// Answers a call that was carried out before: the same outcome, and a new session (SPEC 61); `None`
/// where the account is erased, which no session opens any more.
async fn repeat(
    connection: &mut Connection,
    brand: &Brand,
    input: &SignInInput,
    first_session: &str,
) -> Result<Option<SignedIn>, IdentityError> {
    let corrupt = || StoreError::Corrupt {
        what: "request.response",
    };
    let session_id = first_session.parse().map_err(|_| corrupt())?;
    let first = sign_ins::find(connection, &brand.brand_id, session_id).await?;
    let first = first.ok_or_else(corrupt)?;
    let link = match first.link_id {
        Some(link_id) => links::find(connection, &brand.brand_id, link_id).await?,
        None => None,
    };
    let account = accounts::get(connection, &brand.brand_id, first.account_id).await?;
    if account.state == AccountState::Erased {
        return Ok(None);
    }
    let session = apply::open(connection, brand, &account, input).await?;
    Ok(Some(SignedIn {
        account,
        outcome: SignInOutcome {
            kind: first.outcome,
            merge_case: first.merge_case,
            policy_revision: first.policy_revision,
            link,
            temporary_account_id: first.temporary_account_id,
            email_replaced: first.email_replaced,
            account_created: first.account_created,
        },
        session: Some(session),
    }))
}
