//! Listing the accounts of a Brand.
//!
//! An account never changes its place, which is the time when it was made, but it changes what it
//! is. So that a page of a big Brand costs the same whatever is asked for, each stage of an account's
//! life is an index of its own, read in order of the place, and the list is merged from at most five.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::id::{AccountId, BrandId, CustomerId};
use kit::db::{Connection, StoreError};

use super::ShownAccount;
use crate::{
    app::App,
    error::IdentityError,
    model::{Account, AccountKind, AccountState},
    store::{accounts, accounts::Span, links},
};

/// Where an account stands in a list: oldest first, ties by id.
type Place = (DateTime<Utc>, AccountId);

/// Which accounts a list shows; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountFilter {
    /// Only those of this kind.
    pub(crate) kind: Option<AccountKind>,
    /// Only those in this state.
    pub(crate) state: Option<AccountState>,
    /// Only those of this customer.
    pub(crate) customer_id: Option<CustomerId>,
    /// Only those made at or after this time.
    pub(crate) from_time: Option<DateTime<Utc>>,
    /// Only those made before this time.
    pub(crate) until_time: Option<DateTime<Utc>>,
}

/// What an account can be, each before what can become of it. Stages are read one after another:
/// whatever changes in between is found in this order twice, perhaps, and never missed.
const STAGES: [(AccountKind, AccountState); 5] = [
    (AccountKind::Temporary, AccountState::Active),
    (AccountKind::Temporary, AccountState::Settled),
    (AccountKind::Client, AccountState::Active),
    (AccountKind::Temporary, AccountState::Erased),
    (AccountKind::Client, AccountState::Erased),
];

impl App {
    /// Returns the first `limit` accounts of the Brand that are behind `after`, as a service sees
    /// them.
    pub(crate) async fn list_accounts(
        &self,
        brand_id: &BrandId,
        filter: &AccountFilter,
        after: Option<Place>,
        limit: i64,
    ) -> Result<Vec<ShownAccount>, IdentityError> {
        let mut connection = self.db.read().await?;
        let listed = match &filter.customer_id {
            Some(customer_id) => {
                accounts::list_of_customer(&mut connection, brand_id, customer_id).await?
            }
            None => list_stages(&mut connection, brand_id, filter, after, limit).await?,
        };
        let mut in_order: BTreeMap<Place, Account> = BTreeMap::new();
        for account in listed.into_iter().filter(|account| filter.shows(account)) {
            let place = (account.create_time, account.account_id);
            if after.is_none_or(|after| place > after) {
                in_order.insert(place, account);
            }
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let accounts = in_order.into_values().take(limit).collect();
        Ok(with_persons(&mut connection, brand_id, accounts).await?)
    }
}

impl AccountFilter {
    fn admits(&self, kind: AccountKind, state: AccountState) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.state.is_none_or(|wanted| wanted == state)
    }

    fn shows(&self, account: &Account) -> bool {
        self.admits(account.kind, account.state)
            && self
                .from_time
                .is_none_or(|time| account.create_time >= time)
            && self
                .until_time
                .is_none_or(|time| account.create_time < time)
    }
}

async fn list_stages(
    connection: &mut Connection,
    brand_id: &BrandId,
    filter: &AccountFilter,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let span = Span {
        from_time: filter.from_time,
        until_time: filter.until_time,
        after,
    };
    let mut listed = Vec::new();
    for (kind, state) in STAGES {
        if filter.admits(kind, state) {
            listed.extend(
                accounts::list_stage(connection, brand_id, kind, state, &span, limit).await?,
            );
        }
    }
    Ok(listed)
}

async fn with_persons(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: Vec<Account>,
) -> Result<Vec<ShownAccount>, StoreError> {
    let ids: Vec<AccountId> = accounts.iter().map(|account| account.account_id).collect();
    let links = links::list_active_of_temporaries(connection, brand_id, &ids).await?;
    let clients: HashMap<AccountId, AccountId> = links
        .iter()
        .map(|link| (link.temporary_account_id, link.client_account_id))
        .collect();
    let shown = accounts.into_iter().map(|account| {
        let own = account.account_id;
        ShownAccount {
            person_id: clients.get(&own).copied().unwrap_or(own),
            account,
        }
    });
    Ok(shown.collect())
}
