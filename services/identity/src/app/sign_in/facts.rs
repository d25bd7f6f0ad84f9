//! What a sign-in is decided on.

use domain::sign_in::{
    Nonce, OutcomeKind, PresentedSession, Settlement, SignInFacts, TemporaryAccount,
};
use kit::{
    db::{Connection, StoreError},
    secret::token_digest,
};

use super::{super::accounts, SignInInput};
use crate::{
    model::{self, Account, AccountKind, AccountState, Brand, MergePolicyRevision, SessionKind},
    store::{accounts as account_store, links, merge_policies, sessions, settlements},
};

/// The facts, as rows: what `domain` needs of them, and what is to be changed.
pub(super) struct Facts {
    pub(super) policy: MergePolicyRevision,
    /// The client account of the Brand's user, if he has one.
    pub(super) client: Option<Account>,
    pub(super) temporary: Presented,
    nonce_required: bool,
}

/// What the session token turned out to be.
pub(super) enum Presented {
    /// There was none.
    Nothing,
    /// It identifies no temporary account.
    Unusable,
    /// It identifies this one.
    Temporary(Box<Found>),
}

/// A temporary account, or one that was.
pub(super) struct Found {
    pub(super) account: Account,
    pub(super) settlement: Option<model::Settlement>,
    settled: Option<Settlement>,
}

/// Loads the facts.
pub(super) async fn load(
    connection: &mut Connection,
    brand: &Brand,
    input: &SignInInput,
) -> Result<Facts, StoreError> {
    let brand_id = &brand.brand_id;
    let customer_id = input.assertion.customer_id();
    let policy = merge_policies::get(connection, brand_id, brand.merge_policy_revision).await?;
    let client = account_store::find_by_customer(connection, brand_id, customer_id).await?;
    let temporary = match &input.temporary_token_digest {
        None => Presented::Nothing,
        Some(digest) => match find_temporary(connection, brand, digest, input).await? {
            Some(found) => Presented::Temporary(Box::new(found)),
            None => Presented::Unusable,
        },
    };
    Ok(Facts {
        policy,
        client,
        temporary,
        nonce_required: brand.nonce_required,
    })
}

/// Returns the account that the token identifies at sign-in (SPEC 5, 11).
///
/// A token that was exchanged for another identifies none: who shows it may have stolen it.
async fn find_temporary(
    connection: &mut Connection,
    brand: &Brand,
    token_digest: &[u8],
    input: &SignInInput,
) -> Result<Option<Found>, StoreError> {
    let brand_id = &brand.brand_id;
    let token = sessions::find_token(connection, brand_id, token_digest).await?;
    let Some(token) = token.filter(|token| token.spend_time.is_none()) else {
        return Ok(None);
    };
    let session = sessions::find(connection, brand_id, token.session_id).await?;
    let session = session.filter(|session| {
        session.kind == SessionKind::Temporary
            && session.state().identifies_account(input.stamp.now)
    });
    let Some(account_id) = session.and_then(|session| session.account_id) else {
        return Ok(None);
    };
    let account = accounts::get(connection, brand_id, account_id).await?;
    if account.state == AccountState::Erased {
        return Ok(None);
    }
    // What settles an account changes it in the same transaction, so one that is as it was made has no
    // settlement to look for: on PostgreSQL that look would conflict with every settlement near by.
    let is_settled =
        (account.kind, account.state) != (AccountKind::Temporary, AccountState::Active);
    let settlement = if is_settled {
        settlements::find(connection, brand_id, account_id).await?
    } else {
        None
    };
    let settled = match &settlement {
        Some(settlement) => Some(settled(connection, settlement).await?),
        None => None,
    };
    Ok(Some(Found {
        account,
        settlement,
        settled,
    }))
}

/// Returns a settlement as it stands now: its link may have been revoked since.
async fn settled(
    connection: &mut Connection,
    settlement: &model::Settlement,
) -> Result<Settlement, StoreError> {
    let client = settlement.client_account_id;
    let corrupt = StoreError::Corrupt { what: "settlement" };
    Ok(match (settlement.outcome, settlement.link_id) {
        (OutcomeKind::Upgraded, _) => Settlement::Upgraded,
        (OutcomeKind::Separated, _) => Settlement::Separated { client },
        (OutcomeKind::Abandoned, _) => Settlement::Abandoned { client },
        (OutcomeKind::Linked, Some(link_id)) => {
            let link = links::find(connection, &settlement.brand_id, link_id).await?;
            let is_active = link.ok_or(corrupt)?.revoke_time.is_none();
            if is_active {
                Settlement::Linked {
                    client,
                    link: link_id,
                    merge_case: settlement.merge_case,
                }
            } else {
                Settlement::Unlinked
            }
        }
        (
            OutcomeKind::Linked
            | OutcomeKind::NoTemporary
            | OutcomeKind::AlreadyLinked
            | OutcomeKind::LinkedElsewhere
            | OutcomeKind::TemporarySessionUnusable,
            _,
        ) => return Err(corrupt),
    })
}

impl Facts {
    /// Returns what the decision depends on.
    pub(super) fn to_domain(&self, input: &SignInInput) -> SignInFacts {
        let email = input.assertion.profile().email.as_ref();
        SignInFacts {
            temporary: match &self.temporary {
                Presented::Nothing => PresentedSession::None,
                Presented::Unusable => PresentedSession::Unusable,
                Presented::Temporary(found) => PresentedSession::Of(TemporaryAccount {
                    account: found.account.account_id,
                    typed_email: found.account.normalized_email(),
                    nonce: self.nonce(&found.account, input),
                    settlement: found.settled,
                }),
            },
            client: self.client.as_ref().map(|client| client.account_id),
            brand_email: email.map(|email| email.email.clone()),
        }
    }

    fn nonce(&self, account: &Account, input: &SignInInput) -> Nonce {
        if !self.nonce_required {
            return Nonce::NotDemanded;
        }
        let shown = input.assertion.nonce().map(token_digest);
        let is_meant =
            shown.is_some_and(|shown| account.nonce_digest.as_deref() == Some(shown.as_slice()));
        if is_meant {
            Nonce::Matched
        } else {
            Nonce::Missing
        }
    }
}
