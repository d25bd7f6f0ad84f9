//! Accounts of visitors: what is shown of them, what is told of them.

mod list;
mod update;

use chrono::{DateTime, Utc};
use domain::{
    email::{EmailDigest, Provenance},
    id::{AccountId, BrandId},
    person::LinkScope,
    session::SessionEnd,
};
use kit::{
    access::Principal,
    db::{Connection, StoreError},
};
use rapport_proto::{access::v1::Scope, event::v1::event::Payload, identity::v1::AuditAction};

use super::{App, find_brand, journal::Journal};
use crate::{
    convert::event::{RevokedSubject, account_changed, sessions_revoked},
    error::IdentityError,
    model::{Account, AccountEmail, AccountKind},
    store::{accounts, links, sessions, sessions::Owner},
};

pub(crate) use list::AccountFilter;
pub(crate) use update::{AccountChange, EmailChange};

/// An account as one caller sees it.
#[derive(Clone, Debug)]
pub(crate) struct ShownAccount {
    pub(crate) account: Account,
    /// The client account that it is actively linked to, or its own id.
    pub(crate) person_id: AccountId,
}

impl App {
    /// Returns an account that the caller may see; `requested` may be absent for a visitor's own.
    ///
    /// | caller    | sees                                                              |
    /// |-----------|-------------------------------------------------------------------|
    /// | temporary | his own                                                           |
    /// | client    | his own, and the temporary ones linked to it with history (SPEC 21) |
    /// | Member    | any of his Brand, without an e-mail that the Brand does not stand for (SPEC 58) |
    /// | service   | any of its Brand                                                  |
    pub(crate) async fn get_account(
        &self,
        principal: &Principal,
        requested: Option<AccountId>,
    ) -> Result<ShownAccount, IdentityError> {
        let mut connection = self.db.read().await?;
        let brand_id = principal.brand_id().ok_or(IdentityError::BrandNotFound)?;
        find_brand(&mut connection, brand_id).await?;
        let own = match principal {
            Principal::Temporary(subject) | Principal::Client(subject) => Some(subject.id),
            _ => None,
        };
        let account_id = requested
            .or(own)
            .ok_or_else(|| IdentityError::field("account_id", "is required"))?;
        let account = accounts::find(&mut connection, brand_id, account_id).await?;
        let account = account.ok_or(IdentityError::AccountNotFound)?;
        let link = links::find_active_of_temporary(&mut connection, brand_id, account_id).await?;
        let is_visible = match principal {
            Principal::Temporary(subject) => subject.id == account_id,
            Principal::Client(subject) => {
                subject.id == account_id
                    || link.as_ref().is_some_and(|link| {
                        link.client_account_id == subject.id && link.scope == LinkScope::History
                    })
            }
            Principal::Member(_) => true,
            Principal::Service { .. } => principal.has_scope(Scope::AccountsRead),
            Principal::Anonymous | Principal::Operator | Principal::Suite => false,
        };
        if !is_visible {
            return Err(IdentityError::AccountNotFound);
        }
        let person_id = link.map_or(account_id, |link| link.client_account_id);
        let shown = ShownAccount { account, person_id };
        Ok(match principal {
            Principal::Member(_) => for_member(shown),
            _ => shown,
        })
    }
}

/// Leaves out the e-mail, unless the Brand stands for it (SPEC 58).
fn for_member(mut shown: ShownAccount) -> ShownAccount {
    let account = &mut shown.account;
    let is_attested = account.email_provenance == Some(Provenance::Attested);
    if account.kind != AccountKind::Client || !is_attested {
        account.email = None;
        account.email_provenance = None;
    }
    shown
}

/// Notes the state of an account, after its row and e-mails were written.
pub(super) async fn note_account(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    account: &Account,
) -> Result<(), StoreError> {
    let emails = accounts::list_emails(connection, &account.brand_id, account.account_id).await?;
    journal.event(Payload::AccountChanged(account_changed(account, &emails)));
    Ok(())
}

/// Ends the e-mail that an account had, in the history that other services see, and begins the one
/// that it has, if any; `digest` stands for it.
pub(super) async fn replace_email(
    connection: &mut Connection,
    account: &Account,
    digest: Option<EmailDigest>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (brand_id, account_id) = (&account.brand_id, account.account_id);
    let known = accounts::list_emails(connection, brand_id, account_id).await?;
    // Another change may have been written before this one, though its clock was read after.
    let now = known.last().map_or(now, |last| {
        now.max(last.until_time.unwrap_or(last.from_time))
    });
    accounts::end_email(connection, brand_id, account_id, now).await?;
    let Some(digest) = digest else {
        return Ok(());
    };
    let email = AccountEmail {
        brand_id: brand_id.clone(),
        account_id,
        number: known.last().map_or(0, |last| last.number) + 1,
        digest: digest.as_bytes().to_vec(),
        provenance: account.email_provenance.unwrap_or(Provenance::Typed),
        from_time: now,
        until_time: None,
    };
    accounts::insert_email(connection, &email).await
}

/// Ends all sessions of an account and notes it. The account is changed and left to be written.
pub(super) async fn end_all_sessions(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    account: &mut Account,
    end: SessionEnd,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let owner = Owner::Account(account.account_id);
    let ended = sessions::end_all(connection, &account.brand_id, owner, end, now).await?;
    account.session_epoch += 1;
    account.session_revocations += 1;
    journal.audit(
        AuditAction::SessionsRevoked,
        account.account_id,
        end.as_str(),
    );
    journal.event(Payload::SessionsRevoked(sessions_revoked(
        RevokedSubject::Account(account.account_id),
        account.session_revocations,
        account.session_epoch,
        &ended,
        now,
    )));
    Ok(())
}

/// Returns the account that a row refers to, and which therefore exists.
pub(super) async fn get(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Account, StoreError> {
    let account = accounts::find(connection, brand_id, account_id).await?;
    account.ok_or(StoreError::Corrupt { what: "account" })
}
