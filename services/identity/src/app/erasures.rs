//! The erasure of persons (SPEC 55).
//!
//! Identity erases all accounts of a person in one transaction, with the events that tell the other
//! services. From then on nothing of the person can be read here, and the same customer signing in is
//! somebody new. What the others report is noted as it comes; [`crate::eraser`] asks them.
//!
//! | of an account          | becomes                                                          |
//! |------------------------|------------------------------------------------------------------|
//! | name, e-mail, profile  | nothing                                                          |
//! | ids, kind, times       | stay; the customer id opens it no more                           |
//! | e-mail digests         | stay, to know later orders as those of an erased buyer           |
//! | sessions               | revoked                                                          |
//! | kept answers           | forgotten                                                        |
//! | links                  | stay: which accounts were one person is a fact of ids; what was  |
//! |                        | written of their revocation goes                                 |

mod expiry;

use chrono::{DateTime, Utc};
use domain::{
    id::{AccountId, BrandId, ErasureId},
    session::SessionEnd,
};
use kit::{
    db::{Connection, StoreError},
    request,
};
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};

use super::{
    Actor, App, Stamp, Write, accounts::end_all_sessions, find_answer, find_serving_brand,
    journal::Journal, keep_answer, persons::person_of,
};
use crate::{
    convert::event::account_erased,
    error::IdentityError,
    model::{Account, AccountKind, AccountState, Erasure},
    store::{accounts, erasures, links},
};

/// How many running erasures are read at a time.
const PAGE: i64 = 100;

/// An erasure with all accounts of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErasedPerson {
    pub(crate) erasure: Erasure,
    pub(crate) account_ids: Vec<AccountId>,
}

/// Which of the other services have said that they are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DoneBy {
    pub(crate) chat: bool,
    pub(crate) attribution: bool,
}

impl DoneBy {
    /// Returns what is known of an erasure.
    pub(crate) fn of(erasure: &Erasure) -> Self {
        Self {
            chat: erasure.chat_complete_time.is_some(),
            attribution: erasure.attribution_complete_time.is_some(),
        }
    }
}

struct Erase {
    write: Write,
    stamp: Stamp,
    account_id: AccountId,
    erasure_id: ErasureId,
}

struct Progress {
    stamp: Stamp,
    erasure_id: ErasureId,
    done: DoneBy,
}

impl App {
    /// Erases the person of an account; one that is erased already gives its erasure.
    pub(crate) async fn erase_account(
        &self,
        write: Write,
        account_id: AccountId,
    ) -> Result<ErasedPerson, IdentityError> {
        let erase = Erase {
            stamp: self.write_stamp(&write),
            write,
            account_id,
            erasure_id: self.ids.next(),
        };
        let erased = self
            .db
            .run_tx("erase_account", erase, |c, i| Box::pin(erase_in(c, i)))
            .await?;
        self.erasing.notify_one();
        Ok(erased)
    }

    /// Returns how far an erasure is.
    pub(crate) async fn get_erasure(
        &self,
        brand_id: &BrandId,
        erasure_id: ErasureId,
    ) -> Result<ErasedPerson, IdentityError> {
        let mut connection = self.db.read().await?;
        find_erasure(&mut connection, brand_id, erasure_id).await
    }

    /// Waits until an erasure is begun in this process.
    pub(crate) async fn erasure_begun(&self) {
        self.erasing.notified().await;
    }

    /// Lists erasures that are not complete, of all Brands, those behind `after`.
    pub(crate) async fn running_erasures(
        &self,
        after: Option<&Erasure>,
    ) -> Result<Vec<ErasedPerson>, IdentityError> {
        let mut connection = self.db.read().await?;
        let mut running = Vec::new();
        for erasure in erasures::list_running(&mut connection, after, PAGE).await? {
            running.push(with_accounts(&mut connection, erasure).await?);
        }
        Ok(running)
    }

    /// Notes which services are done, and completes the erasure when all are; a repetition changes
    /// nothing. Returns the erasure as it is then.
    pub(crate) async fn note_erasure(
        &self,
        erasure: &Erasure,
        done: DoneBy,
    ) -> Result<Erasure, IdentityError> {
        // Before it may be called complete: what was erased stands in the log beside the file, too.
        self.db.empty_log().await?;
        let progress = Progress {
            stamp: self.stamp(&erasure.brand_id, Actor::suite(), None),
            erasure_id: erasure.erasure_id,
            done,
        };
        self.db
            .run_tx("note_erasure", progress, |c, i| Box::pin(note(c, i)))
            .await
    }
}

async fn erase_in(
    connection: &mut Connection,
    input: &Erase,
) -> Result<ErasedPerson, IdentityError> {
    let (brand_id, key) = (&input.stamp.brand_id, &input.write.key);
    find_serving_brand(connection, brand_id).await?;
    if let Some(kept) = find_answer::<String>(connection, key).await? {
        let corrupt = |_| StoreError::Corrupt {
            what: "request.response",
        };
        return find_erasure(connection, brand_id, kept.parse().map_err(corrupt)?).await;
    }
    let account = accounts::find(connection, brand_id, input.account_id).await?;
    let account = account.ok_or(IdentityError::AccountNotFound)?;
    let erasure = match erasures::find_of_account(connection, brand_id, input.account_id).await? {
        Some(erasure) => erasure,
        None => erase_person(connection, &input.stamp, account, input.erasure_id, "").await?,
    };
    let kept = erasure.erasure_id.to_string();
    keep_answer(connection, key, &kept, input.stamp.now).await?;
    Ok(with_accounts(connection, erasure).await?)
}

/// Erases the person of an account that is not erased, and returns the erasure.
///
/// Of the person are the accounts that are linked now; one whose link was revoked is another's.
async fn erase_person(
    connection: &mut Connection,
    stamp: &Stamp,
    account: Account,
    erasure_id: ErasureId,
    reason: &str,
) -> Result<Erasure, StoreError> {
    let (brand_id, now) = (&stamp.brand_id, stamp.now);
    let person = person_of(connection, brand_id, account).await?;
    let erasure = Erasure {
        brand_id: brand_id.clone(),
        erasure_id,
        person_id: person.person_id,
        create_time: now,
        chat_complete_time: None,
        attribution_complete_time: None,
        complete_time: None,
    };
    erasures::insert(connection, &erasure).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::ErasureStarted, erasure_id, reason);
    // The client comes first, so that every event tells the link revision after the erasure.
    let mut link_revision = 0;
    for (account, emails) in person.accounts {
        let account_id = account.account_id;
        let mut account = cleared(account, now);
        link_revision = link_revision.max(account.link_revision);
        end_all_sessions(
            connection,
            &mut journal,
            &mut account,
            SessionEnd::Revoked,
            now,
        )
        .await?;
        accounts::update(connection, &account).await?;
        links::clear_reasons(connection, brand_id, account_id).await?;
        erasures::insert_account(connection, &erasure, account_id).await?;
        request::forget_all_of(connection, brand_id, &format!("account/{account_id}")).await?;
        let event = account_erased(&account, &emails, &erasure, link_revision);
        journal.event(Payload::AccountErased(event));
    }
    journal.write(connection).await?;
    Ok(erasure)
}

/// Returns the account without anything personal.
fn cleared(account: Account, now: DateTime<Utc>) -> Account {
    let erasing_raises = i64::from(account.kind == AccountKind::Client);
    Account {
        state: AccountState::Erased,
        username: None,
        email: None,
        email_provenance: None,
        given_name: None,
        family_name: None,
        locale: None,
        picture_uri: None,
        link_revision: account.link_revision + erasing_raises,
        revision: account.revision + 1,
        update_time: now,
        expire_time: None,
        ..account
    }
}

async fn note(connection: &mut Connection, input: &Progress) -> Result<Erasure, IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    let known = erasures::find(connection, brand_id, input.erasure_id).await?;
    let known = known.ok_or(IdentityError::ErasureNotFound)?;
    let mut erasure = known.clone();
    if input.done.chat {
        erasure.chat_complete_time.get_or_insert(now);
    }
    if input.done.attribution {
        erasure.attribution_complete_time.get_or_insert(now);
    }
    let all = erasure.chat_complete_time.is_some() && erasure.attribution_complete_time.is_some();
    if all && erasure.complete_time.is_none() {
        erasure.complete_time = Some(now);
        let mut journal = Journal::new(&input.stamp);
        journal.audit(AuditAction::ErasureCompleted, input.erasure_id, "");
        journal.write(connection).await?;
    }
    if erasure != known {
        erasures::update(connection, &erasure).await?;
    }
    Ok(erasure)
}

async fn find_erasure(
    connection: &mut Connection,
    brand_id: &BrandId,
    erasure_id: ErasureId,
) -> Result<ErasedPerson, IdentityError> {
    let erasure = erasures::find(connection, brand_id, erasure_id).await?;
    let erasure = erasure.ok_or(IdentityError::ErasureNotFound)?;
    Ok(with_accounts(connection, erasure).await?)
}

async fn with_accounts(
    connection: &mut Connection,
    erasure: Erasure,
) -> Result<ErasedPerson, StoreError> {
    let (brand_id, erasure_id) = (&erasure.brand_id, erasure.erasure_id);
    let account_ids = erasures::list_accounts(connection, brand_id, erasure_id).await?;
    Ok(ErasedPerson {
        erasure,
        account_ids,
    })
}
