//! Changing what a visitor says of himself.

use domain::{
    email::{Email, EmailDigest, Provenance},
    id::AccountId,
    text::Username,
};
use kit::{access::Principal, db::Connection};

use super::{ShownAccount, note_account, replace_email};
use crate::{
    app::{App, Stamp, Write, find_answer, find_serving_brand, journal::Journal, keep_answer},
    convert,
    error::IdentityError,
    model::{Account, AccountKind, AccountState},
    store::{accounts, links},
};

/// New values for some fields of an account; what is absent stays.
#[derive(Default)]
pub(crate) struct AccountChange {
    pub(crate) username: Option<Username>,
    pub(crate) email: Option<EmailChange>,
    /// What the caller read last; `None` where he does not mind.
    pub(crate) etag: Option<String>,
}

/// A new value for the e-mail of a temporary account.
pub(crate) struct EmailChange {
    /// As it is spelled and as it is compared; `None` clears it.
    pub(crate) value: Option<(String, Email)>,
    /// Whether the caller asked for this field by its name. Where he did not, the e-mail of a client
    /// account, which is the Brand's, stays as it is.
    pub(crate) is_named: bool,
}

struct Update {
    write: Write,
    stamp: Stamp,
    account_id: AccountId,
    change: AccountChange,
    /// What stands for the new e-mail elsewhere.
    email_digest: Option<EmailDigest>,
}

impl App {
    /// Changes fields of an account: a visitor those of his own, which `requested` need not name, a
    /// service those of any of its Brand.
    ///
    /// The e-mail of a temporary account is typed, whoever sets it (SPEC 3). A settled or erased
    /// account is not changed.
    pub(crate) async fn update_account(
        &self,
        write: Write,
        principal: &Principal,
        requested: Option<AccountId>,
        change: AccountChange,
    ) -> Result<ShownAccount, IdentityError> {
        let email = change.email.as_ref().and_then(|email| email.value.as_ref());
        let update = Update {
            stamp: self.write_stamp(&write),
            account_id: account_to_change(principal, requested)?,
            email_digest: email.map(|(_, email)| {
                EmailDigest::new(self.email_digest_key.digest(&write.brand_id, email))
            }),
            write,
            change,
        };
        self.db
            .run_tx("update_account", update, |c, i| {
                Box::pin(update_fields(c, i))
            })
            .await
    }
}

fn account_to_change(
    principal: &Principal,
    requested: Option<AccountId>,
) -> Result<AccountId, IdentityError> {
    match principal {
        Principal::Temporary(own) | Principal::Client(own) => match requested {
            Some(requested) if requested != own.id => Err(IdentityError::AccountNotFound),
            Some(_) | None => Ok(own.id),
        },
        Principal::Service { .. } => {
            requested.ok_or_else(|| IdentityError::field("account.account_id", "is required"))
        }
        Principal::Anonymous | Principal::Member(_) | Principal::Operator | Principal::Suite => {
            Err(IdentityError::AccountNotFound)
        }
    }
}

async fn update_fields(
    connection: &mut Connection,
    input: &Update,
) -> Result<ShownAccount, IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    find_serving_brand(connection, brand_id).await?;
    let before = accounts::find(connection, brand_id, input.account_id).await?;
    let before = before.ok_or(IdentityError::AccountNotFound)?;
    if find_answer::<()>(connection, &input.write.key)
        .await?
        .is_some()
    {
        return shown(connection, before).await;
    }
    check_changeable(&before, &input.change)?;
    let mut account = before.clone();
    if let Some(username) = &input.change.username {
        account.username = Some(username.as_str().to_owned());
    }
    if let Some(email) = input.change.email.as_ref()
        && account.kind == AccountKind::Temporary
    {
        account.email = email.value.as_ref().map(|(spelling, _)| spelling.clone());
        account.email_provenance = account.email.is_some().then_some(Provenance::Typed);
    }
    if account != before {
        account.revision += 1;
        account.update_time = now;
        accounts::update(connection, &account).await?;
    }
    if account.normalized_email() != before.normalized_email() {
        replace_email(connection, &account, input.email_digest, now).await?;
        let mut journal = Journal::new(&input.stamp);
        note_account(connection, &mut journal, &account).await?;
        journal.write(connection).await?;
    }
    keep_answer(connection, &input.write.key, &(), now).await?;
    shown(connection, account).await
}

/// Refuses a change that the account does not take as it is now.
fn check_changeable(account: &Account, change: &AccountChange) -> Result<(), IdentityError> {
    match account.state {
        AccountState::Active => {}
        AccountState::Settled => return Err(IdentityError::AccountSettled),
        AccountState::Erased => return Err(IdentityError::AccountErased),
    }
    let is_of_the_brand = account.kind == AccountKind::Client;
    if is_of_the_brand && change.email.as_ref().is_some_and(|email| email.is_named) {
        let problem = "names the e-mail of a client account, which comes from the Brand";
        return Err(IdentityError::field("update_mask", problem));
    }
    let etag = convert::etag(account.revision);
    if change.etag.as_ref().is_some_and(|known| *known != etag) {
        return Err(IdentityError::EtagMismatch);
    }
    Ok(())
}

async fn shown(
    connection: &mut Connection,
    account: Account,
) -> Result<ShownAccount, IdentityError> {
    let (brand_id, own) = (&account.brand_id, account.account_id);
    let link = links::find_active_of_temporary(connection, brand_id, own).await?;
    Ok(ShownAccount {
        person_id: link.map_or(own, |link| link.client_account_id),
        account,
    })
}
