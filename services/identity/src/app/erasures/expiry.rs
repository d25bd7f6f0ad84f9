//! The end of temporary accounts that nobody uses (SPEC 57).

use domain::{
    expiry::{Expiry, decide_expiry},
    id::{AccountId, ErasureId},
};
use kit::db::Connection;

use super::{PAGE, erase_person};
use crate::{
    app::{Actor, App, Stamp, find_brand},
    error::IdentityError,
    model::{Account, AccountState},
    store::{accounts, links, sessions},
};

/// How many pages one round looks at.
const PAGES: usize = 10;
/// Why, in the audit log.
const REASON: &str = "EXPIRED";

struct Look {
    stamp: Stamp,
    account_id: AccountId,
    erasure_id: ErasureId,
}

impl App {
    /// Erases temporary accounts, of all Brands, that have been unused for too long, a bounded number;
    /// returns how many.
    pub(crate) async fn expire_unused(&self) -> Result<usize, IdentityError> {
        let mut erased = 0;
        for _ in 0..PAGES {
            let due = {
                let mut connection = self.db.read().await?;
                accounts::list_expired(&mut connection, self.clock.now(), PAGE).await?
            };
            if due.is_empty() {
                break;
            }
            for (brand_id, account_id) in due {
                let look = Look {
                    stamp: self.stamp(&brand_id, Actor::suite(), None),
                    account_id,
                    erasure_id: self.ids.next(),
                };
                let looked = self
                    .db
                    .run_tx("expire_account", look, |c, look| Box::pin(look_at(c, look)));
                erased += usize::from(looked.await?);
            }
        }
        if erased > 0 {
            self.erasing.notify_one();
        }
        Ok(erased)
    }
}

/// Erases the account or says when to look again, so that it is not found again now.
async fn look_at(connection: &mut Connection, look: &Look) -> Result<bool, IdentityError> {
    let (stamp, account_id) = (&look.stamp, look.account_id);
    let (brand_id, now) = (&stamp.brand_id, stamp.now);
    let account = accounts::find(connection, brand_id, account_id).await?;
    let is_due = |account: &Account| {
        account.state != AccountState::Erased && account.expire_time.is_some_and(|time| time <= now)
    };
    // It may have been used, or erased by another replica, since it was listed.
    let Some(account) = account.filter(is_due) else {
        return Ok(false);
    };
    let brand = find_brand(connection, brand_id).await?;
    let link = links::find_active_of_temporary(connection, brand_id, account_id).await?;
    let last_use = sessions::last_use(connection, brand_id, account_id).await?;
    let last_use = last_use.unwrap_or(account.create_time);
    match decide_expiry(last_use, brand.temporary_account_ttl(), link.is_some(), now) {
        Expiry::Erase => {
            erase_person(connection, stamp, account, look.erasure_id, REASON).await?;
            Ok(true)
        }
        Expiry::LookAgain(time) => {
            let account = Account {
                expire_time: Some(time),
                ..account
            };
            accounts::update(connection, &account).await?;
            Ok(false)
        }
    }
}
