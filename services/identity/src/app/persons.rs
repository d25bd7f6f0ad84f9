//! Which accounts are one person (SPEC 10, 19).

use domain::id::{AccountId, BrandId, CustomerId};
use kit::db::{Connection, StoreError};

use super::{App, find_brand};
use crate::{
    error::IdentityError,
    model::{Account, AccountEmail, Erasure, Link},
    store::{accounts, erasures, links},
};

/// Whom to find. There is no search by e-mail (SPEC 3).
#[derive(Clone, Debug)]
pub(crate) enum PersonKey {
    /// Any id that an account ever had.
    Account(AccountId),
    /// A customer of the Brand.
    Customer(CustomerId),
}

/// A client account with the temporary ones linked to it, or an account that stands alone.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The account that stands for the person, then the temporary ones by the time of their link.
    pub(crate) accounts: Vec<(Account, Vec<AccountEmail>)>,
    /// Every link of the first account, on either end, oldest first, revoked ones included.
    pub(crate) links: Vec<Link>,
    pub(crate) person_id: AccountId,
    pub(crate) link_revision: i64,
    /// Its erasure, where it is erased.
    pub(crate) erasure: Option<Erasure>,
}

impl App {
    /// Returns the person behind an id, as it is now.
    pub(crate) async fn resolve_person(
        &self,
        brand_id: &BrandId,
        key: &PersonKey,
    ) -> Result<Person, IdentityError> {
        let mut connection = self.db.read().await?;
        find_brand(&mut connection, brand_id).await?;
        let account = match key {
            PersonKey::Account(id) => accounts::find(&mut connection, brand_id, *id).await?,
            PersonKey::Customer(id) => {
                accounts::find_by_customer(&mut connection, brand_id, id).await?
            }
        };
        let account = account.ok_or(IdentityError::AccountNotFound)?;
        Ok(person_of(&mut connection, brand_id, account).await?)
    }
}

/// Reads the link revision before the links: what is written in between may then be among the links
/// already, but nothing that the revision counts is missing.
pub(super) async fn person_of(
    connection: &mut Connection,
    brand_id: &BrandId,
    account: Account,
) -> Result<Person, StoreError> {
    let link = links::find_active_of_temporary(connection, brand_id, account.account_id).await?;
    let root = match link {
        Some(link) => super::accounts::get(connection, brand_id, link.client_account_id).await?,
        None => account,
    };
    let (person_id, link_revision) = (root.account_id, root.link_revision);
    let links = links::list_of_account(connection, brand_id, person_id).await?;
    let linked: Vec<AccountId> = links
        .iter()
        .filter(|link| link.revoke_time.is_none() && link.client_account_id == person_id)
        .map(|link| link.temporary_account_id)
        .collect();
    let emails = accounts::list_emails(connection, brand_id, person_id).await?;
    let mut all = vec![(root, emails)];
    for account_id in linked {
        let account = super::accounts::get(connection, brand_id, account_id).await?;
        let emails = accounts::list_emails(connection, brand_id, account_id).await?;
        all.push((account, emails));
    }
    let erasure = erasures::find_of_account(connection, brand_id, person_id).await?;
    Ok(Person {
        erasure,
        accounts: all,
        links,
        person_id,
        link_revision,
    })
}
