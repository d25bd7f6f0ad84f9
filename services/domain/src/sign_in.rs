//! What becomes of a temporary account when its visitor signs in.
//!
//! The caller loads the facts and applies the decision in one transaction (SPEC 17); with
//! `validate_only` it decides and applies nothing (SPEC 15). A race is two sign-ins in some order,
//! so its result is in the table too (SPEC 13).
//!
//! The session token either identifies no temporary account, or one that is still open, or one that
//! an earlier sign-in settled:
//!
//! | temporary account                | client account | policy                      | outcome              | case   | client account afterwards |
//! |----------------------------------|----------------|-----------------------------|----------------------|--------|---------------------------|
//! | no token                         | any            | –                           | `NO_TEMPORARY`       | 0      | opened, or created        |
//! | token identifies none            | any            | –                           | `TEMPORARY_SESSION_UNUSABLE` | 0 | opened, or created      |
//! | demanded nonce is missing        | any            | –                           | `TEMPORARY_SESSION_UNUSABLE` | 0 | opened, or created      |
//! | open                             | none           | `UPGRADE_UNLESS_EMAIL_DIFFERS`, e-mails differ | `SEPARATED` | 1 or 2 | created |
//! | open                             | none           | `UPGRADE_UNLESS_EMAIL_DIFFERS`, else | `UPGRADED`  | 1 or 2 | the temporary account     |
//! | open                             | none           | `UPGRADE`                   | `UPGRADED`           | 1 or 2 | the temporary account     |
//! | open                             | none           | `LINK`                      | `LINKED`, history    | 1 or 2 | created                   |
//! | open                             | exists         | `ABANDON`                   | `ABANDONED`          | 3      | opened                    |
//! | open                             | exists         | `LINK_FOR_TRACKING`         | `LINKED`, tracking   | 3      | opened                    |
//! | open                             | exists         | `LINK_WITH_HISTORY`         | `LINKED`, history    | 3      | opened                    |
//! | upgraded to this client          | exists         | –                           | `ALREADY_LINKED`     | as then | opened                   |
//! | linked to this client            | exists         | –                           | `ALREADY_LINKED`     | as then | opened                   |
//! | separated from this client       | exists         | –                           | `SEPARATED`          | as then | opened                   |
//! | abandoned by this client         | exists         | –                           | `ABANDONED`          | as then | opened                   |
//! | settled with another client      | any            | –                           | `LINKED_ELSEWHERE`   | 0      | opened, or created        |
//! | its link was revoked             | any            | –                           | `TEMPORARY_SESSION_UNUSABLE` | 0 | opened, or created      |
//!
//! Where the rules are silent:
//!
//! - A missing nonce is looked at before anything else about the account, so that an assertion taken
//!   from elsewhere learns nothing of it. For the one who signs in the token is as good as none.
//! - A revoked link leaves a tombstone (SPEC 16): the session does not come back, and its old token
//!   links nothing again, neither to the same client nor to another. That is an ended session.
//! - Of an account that is settled with another client nothing is told, not even its id: after an
//!   upgrade it is the other person's (SPEC 11).
//! - The case of a repeated outcome is the one in which the account was settled. Where no temporary
//!   account takes part, it is case 0.
//!
//! Source: SPEC 5 to 13, 16, 18; product document, cases 0 to 3 and their version notes.

use crate::{
    email::Email,
    id::{AccountId, LinkId},
    label::labels,
    merge_policy::{MergePolicy, OnExistingClient, OnNewClient},
    person::LinkScope,
};

/// All that the decision depends on, besides the Brand's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInFacts {
    /// What the session token turned out to be.
    pub temporary: PresentedSession,
    /// The client account of the Brand's user who signs in, if he has one.
    pub client: Option<AccountId>,
    /// The e-mail in the assertion, of whatever provenance.
    pub brand_email: Option<Email>,
}

/// What the session token that was presented at sign-in turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedSession {
    /// None was presented.
    None,
    /// It identifies no temporary account: expired, ended, forged, or another Brand's. See
    /// [`crate::session::SessionState::identifies_account`].
    Unusable,
    /// It identifies this temporary account.
    Of(TemporaryAccount),
}

/// A temporary account that a session token identifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporaryAccount {
    /// Its id.
    pub account: AccountId,
    /// The e-mail that its visitor typed, if any.
    pub typed_email: Option<Email>,
    /// Whether the assertion proves to be meant for this session.
    pub nonce: Nonce,
    /// How an earlier sign-in settled it; `None` while it is open.
    pub settlement: Option<Settlement>,
}

/// Whether an assertion carries the nonce of the temporary session (SPEC 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nonce {
    /// The Brand does not demand it.
    NotDemanded,
    /// It is demanded, and there.
    Matched,
    /// It is demanded, and absent or another one.
    Missing,
}

/// How a sign-in settled a temporary account, for good. Stored with the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// It became the client account, under its own id. Cannot be revoked (SPEC 16).
    Upgraded,
    /// It is linked.
    Linked {
        /// The client at the centre.
        client: AccountId,
        /// The link, which is active.
        link: LinkId,
        /// In which case it was made: the first axis links as well as the second.
        merge_case: MergeCase,
    },
    /// It was linked, and the link was revoked.
    Unlinked,
    /// It was kept apart because its e-mail differed.
    Separated {
        /// The client that was created.
        client: AccountId,
    },
    /// It was left behind.
    Abandoned {
        /// The client that signed in.
        client: AccountId,
    },
}

/// The situation of a sign-in in the product document. Cases 1 and 2 are one for us (SPEC 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MergeCase {
    /// No temporary account takes part.
    Case0,
    /// A temporary account, and a user of the Brand without a client account.
    Case1Or2,
    /// A temporary account, and a user of the Brand with one.
    Case3,
}

labels!(MergeCase { Case0 => "CASE_0", Case1Or2 => "CASE_1_OR_2", Case3 => "CASE_3" });

/// The outcome of a sign-in; every one of them succeeds (SPEC 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// There was no temporary session.
    NoTemporary,
    /// The temporary account is the client account now.
    Upgraded,
    /// Both accounts are one person now.
    Linked,
    /// A new client account was made; the history stays behind, because the e-mails differ.
    Separated,
    /// The client has its own history only; the temporary one stays behind.
    Abandoned,
    /// They were one account, or one person, before.
    AlreadyLinked,
    /// The temporary account belongs to another client. Nothing is merged.
    LinkedElsewhere,
    /// The temporary session proves nothing. Nothing is merged.
    TemporarySessionUnusable,
}

labels!(OutcomeKind {
    NoTemporary => "NO_TEMPORARY",
    Upgraded => "UPGRADED",
    Linked => "LINKED",
    Separated => "SEPARATED",
    Abandoned => "ABANDONED",
    AlreadyLinked => "ALREADY_LINKED",
    LinkedElsewhere => "LINKED_ELSEWHERE",
    TemporarySessionUnusable => "TEMPORARY_SESSION_UNUSABLE",
});

/// What is to be done, and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInDecision {
    /// What is said.
    pub kind: OutcomeKind,
    /// In which case it was settled.
    pub merge_case: MergeCase,
    /// Where the client account comes from.
    pub client: ClientStep,
    /// What is to be done with a temporary account. Every step but [`MergeStep::None`] also revokes
    /// all its sessions, and is an event (SPEC 12).
    pub merge: MergeStep,
    /// The temporary account that took part. Absent where none did, or it is not to be told.
    pub temporary: Option<AccountId>,
    /// The active link that an earlier sign-in made and this one repeats.
    pub repeated_link: Option<LinkId>,
    /// Whether an upgrade replaces the e-mail that the visitor typed by another one of the Brand's.
    pub email_replaced: bool,
}

/// Where the client account of a sign-in comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientStep {
    /// It exists.
    Open(AccountId),
    /// It is to be created.
    Create,
    /// This temporary account becomes it.
    Upgrade(AccountId),
}

/// What a sign-in does with a temporary account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MergeStep {
    /// Nothing: there is none, it is not his, or it is settled already. No event.
    None,
    /// Make it the client account: keep its id, change its kind and e-mail.
    Upgrade,
    /// Record a new link of this scope.
    Link(LinkScope),
    /// Record that it was kept apart.
    Separate,
    /// Record that it was left behind.
    Abandon,
}

/// Returns what becomes of the temporary account under `policy`.
///
/// Applying the decision and asking again, with the settlement it left, answers the same accounts
/// and no further step: see the module's table. Source: SPEC 5 to 13, 16, 18.
pub fn decide_sign_in(policy: MergePolicy, facts: &SignInFacts) -> SignInDecision {
    let temporary = match &facts.temporary {
        PresentedSession::None => return without_merge(OutcomeKind::NoTemporary, facts),
        PresentedSession::Of(temporary) if temporary.nonce != Nonce::Missing => temporary,
        PresentedSession::Unusable | PresentedSession::Of(_) => {
            return without_merge(OutcomeKind::TemporarySessionUnusable, facts);
        }
    };
    if let Some(settlement) = temporary.settlement {
        return repeat(settlement, temporary.account, facts);
    }
    match facts.client {
        None => first_sign_in(policy.on_new_client, temporary, facts),
        Some(client) => later_sign_in(policy.on_existing_client, temporary.account, client),
    }
}

/// The first axis: cases 1 and 2.
fn first_sign_in(
    policy: OnNewClient,
    temporary: &TemporaryAccount,
    facts: &SignInFacts,
) -> SignInDecision {
    let differs = differs(temporary.typed_email.as_ref(), facts.brand_email.as_ref());
    let create = ClientStep::Create;
    let (kind, merge, client) = match policy {
        OnNewClient::UpgradeUnlessEmailDiffers if differs => {
            (OutcomeKind::Separated, MergeStep::Separate, create)
        }
        OnNewClient::UpgradeUnlessEmailDiffers | OnNewClient::Upgrade => (
            OutcomeKind::Upgraded,
            MergeStep::Upgrade,
            ClientStep::Upgrade(temporary.account),
        ),
        OnNewClient::Link => (
            OutcomeKind::Linked,
            MergeStep::Link(LinkScope::History),
            create,
        ),
    };
    SignInDecision {
        kind,
        merge_case: MergeCase::Case1Or2,
        client,
        merge,
        temporary: Some(temporary.account),
        repeated_link: None,
        email_replaced: differs && merge == MergeStep::Upgrade,
    }
}

/// The second axis: case 3.
fn later_sign_in(
    policy: OnExistingClient,
    temporary: AccountId,
    client: AccountId,
) -> SignInDecision {
    let (kind, merge) = match policy {
        OnExistingClient::Abandon => (OutcomeKind::Abandoned, MergeStep::Abandon),
        OnExistingClient::LinkForTracking => {
            (OutcomeKind::Linked, MergeStep::Link(LinkScope::Tracking))
        }
        OnExistingClient::LinkWithHistory => {
            (OutcomeKind::Linked, MergeStep::Link(LinkScope::History))
        }
    };
    SignInDecision {
        kind,
        merge_case: MergeCase::Case3,
        client: ClientStep::Open(client),
        merge,
        temporary: Some(temporary),
        repeated_link: None,
        email_replaced: false,
    }
}

/// What was settled stays settled (SPEC 11, 16).
fn repeat(settlement: Settlement, temporary: AccountId, facts: &SignInFacts) -> SignInDecision {
    let (settled_with, kind, merge_case, repeated_link) = match settlement {
        Settlement::Unlinked => return without_merge(OutcomeKind::TemporarySessionUnusable, facts),
        Settlement::Upgraded => (
            temporary,
            OutcomeKind::AlreadyLinked,
            MergeCase::Case1Or2,
            None,
        ),
        Settlement::Linked {
            client,
            link,
            merge_case,
        } => (client, OutcomeKind::AlreadyLinked, merge_case, Some(link)),
        Settlement::Separated { client } => {
            (client, OutcomeKind::Separated, MergeCase::Case1Or2, None)
        }
        Settlement::Abandoned { client } => {
            (client, OutcomeKind::Abandoned, MergeCase::Case3, None)
        }
    };
    if facts.client != Some(settled_with) {
        return without_merge(OutcomeKind::LinkedElsewhere, facts);
    }
    SignInDecision {
        kind,
        merge_case,
        client: ClientStep::Open(settled_with),
        merge: MergeStep::None,
        temporary: Some(temporary),
        repeated_link,
        email_replaced: false,
    }
}

/// The sign-in succeeds as if there were no temporary session: case 0 (SPEC 7, 11).
fn without_merge(kind: OutcomeKind, facts: &SignInFacts) -> SignInDecision {
    SignInDecision {
        kind,
        merge_case: MergeCase::Case0,
        client: facts.client.map_or(ClientStep::Create, ClientStep::Open),
        merge: MergeStep::None,
        temporary: None,
        repeated_link: None,
        email_replaced: false,
    }
}

/// An absent e-mail does not differ (SPEC 3).
fn differs(typed: Option<&Email>, brand: Option<&Email>) -> bool {
    matches!((typed, brand), (Some(typed), Some(brand)) if typed != brand)
}

#[cfg(test)]
mod tests;
