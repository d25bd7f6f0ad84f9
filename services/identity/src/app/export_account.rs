//! Telling all that the suite holds of a person (SPEC 56).

use std::collections::BTreeSet;

use domain::id::{AccountId, BrandId, LinkId, SessionId};
use kit::{access::Principal, db::Connection, parts::Parts};
use rapport_proto::{attribution::v1 as attribution, chat::v1 as chat, identity::v1::AuditAction};
use tonic::Status;
use uuid::Uuid;

use super::{Actor, App, PersonKey, ShownAccount, Stamp, accounts::get, journal::Journal};
use crate::{
    error::IdentityError,
    model::{Account, AccountState, AuditEntry, Link},
    store::{audit_entries, links, sessions},
};

/// How much is read at once.
const PAGE_SIZE: i64 = 100;

/// One thing that the suite holds of a person.
#[derive(Debug)]
pub(crate) enum Exported {
    /// An account of the person.
    Account(Box<ShownAccount>),
    /// A link that one of the accounts has or had.
    Link(Link),
    /// What was done to one of them, to their links or sessions.
    AuditEntry(AuditEntry),
    /// What chat tells.
    Chat(chat::export_person_response::Record),
    /// What attribution tells.
    Attribution(attribution::export_person_response::Record),
}

/// A person whose export has been allowed and noted.
pub(crate) struct Export {
    brand_id: BrandId,
    /// The client account, or the account that stands alone.
    person_id: AccountId,
    /// All accounts, the first of them `person_id`.
    accounts: Vec<AccountId>,
}

impl App {
    /// Begins the export of an account's whole person, which is its client account with every
    /// temporary one that is actively linked to it, whatever the scope. Leaves an audit entry, which
    /// is also part of what is told.
    ///
    /// # Errors
    ///
    /// [`IdentityError::AccountNotFound`]; [`IdentityError::AccountErased`].
    pub(crate) async fn begin_export(
        &self,
        principal: &Principal,
        brand_id: &BrandId,
        account_id: AccountId,
    ) -> Result<Export, IdentityError> {
        let key = PersonKey::Account(account_id);
        let person = self.resolve_person(brand_id, &key).await?;
        let is_erased = |account: &Account| account.state == AccountState::Erased;
        if person.accounts.iter().any(|(one, _)| is_erased(one)) {
            return Err(IdentityError::AccountErased);
        }
        let stamp = self.stamp(brand_id, Actor::from(principal), None);
        let input = (stamp, person.person_id);
        self.db
            .run_tx("note_export", input, |connection, (stamp, person_id)| {
                Box::pin(note_export(connection, stamp, *person_id))
            })
            .await?;
        let accounts = person.accounts.iter().map(|(one, _)| one.account_id);
        Ok(Export {
            brand_id: brand_id.clone(),
            person_id: person.person_id,
            accounts: accounts.collect(),
        })
    }

    /// Tells what identity holds, then what chat holds, then what attribution holds, each thing
    /// once. Reads page by page and holds nothing between two pages; the peers are read no faster
    /// than the reader reads.
    ///
    /// # Errors
    ///
    /// [`IdentityError::PeerUnavailable`]; [`IdentityError::AccountErased`] where the person was
    /// erased meanwhile, so that half an export is not taken for a whole one.
    pub(crate) async fn export(
        &self,
        export: &Export,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let mut told = BTreeSet::new();
        for account_id in &export.accounts {
            self.export_account(export, *account_id, parts).await?;
            self.export_links(export, *account_id, &mut told, parts)
                .await?;
            self.export_sessions(export, *account_id, parts).await?;
        }
        self.export_chat(export, parts).await?;
        self.export_attribution(export, parts).await?;
        for account_id in &export.accounts {
            self.check_not_erased(export, *account_id).await?;
        }
        Ok(())
    }

    async fn check_not_erased(
        &self,
        export: &Export,
        account_id: AccountId,
    ) -> Result<(), IdentityError> {
        let mut connection = self.db.read().await?;
        let account = get(&mut connection, &export.brand_id, account_id).await?;
        match account.state {
            AccountState::Erased => Err(IdentityError::AccountErased),
            AccountState::Active | AccountState::Settled => Ok(()),
        }
    }

    async fn export_account(
        &self,
        export: &Export,
        account_id: AccountId,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let account = {
            let mut connection = self.db.read().await?;
            get(&mut connection, &export.brand_id, account_id).await?
        };
        let shown = ShownAccount {
            account,
            person_id: export.person_id,
        };
        parts.send(Exported::Account(Box::new(shown))).await;
        self.export_audit(export, account_id.uuid(), parts).await
    }

    /// The link that two accounts of the person share is told with the first of them.
    async fn export_links(
        &self,
        export: &Export,
        account_id: AccountId,
        told: &mut BTreeSet<LinkId>,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let filter = links::Filter {
            account_id: Some(account_id),
            include_revoked: true,
        };
        let mut before = None;
        loop {
            let page = {
                let mut connection = self.db.read().await?;
                links::list(&mut connection, &export.brand_id, filter, before, PAGE_SIZE).await?
            };
            let Some(last) = page.last() else {
                return Ok(());
            };
            before = Some(last.link_id);
            for link in page {
                let link_id = link.link_id;
                if told.insert(link_id) {
                    parts.send(Exported::Link(link)).await;
                    self.export_audit(export, link_id.uuid(), parts).await?;
                }
            }
        }
    }

    /// Tells what was done to the sessions of an account. A session itself is an id and two times.
    async fn export_sessions(
        &self,
        export: &Export,
        account_id: AccountId,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let mut after = SessionId::new(Uuid::nil());
        loop {
            let page = {
                let mut connection = self.db.read().await?;
                let brand_id = &export.brand_id;
                sessions::list_ids(&mut connection, brand_id, account_id, after, PAGE_SIZE).await?
            };
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = *last;
            for session_id in page {
                self.export_audit(export, session_id.uuid(), parts).await?;
            }
        }
    }

    async fn export_audit(
        &self,
        export: &Export,
        subject_id: Uuid,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let filter = audit_entries::Filter {
            subject_id: Some(subject_id.to_string()),
            ..Default::default()
        };
        let mut before = None;
        loop {
            let page = {
                let mut connection = self.db.read().await?;
                let brand_id = &export.brand_id;
                audit_entries::list(&mut connection, brand_id, &filter, before, PAGE_SIZE).await?
            };
            let Some(last) = page.last() else {
                return Ok(());
            };
            before = Some((last.create_time, last.audit_entry_id));
            for entry in page {
                parts.send(Exported::AuditEntry(entry)).await;
            }
        }
    }

    async fn export_chat(
        &self,
        export: &Export,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let request = chat::ExportPersonRequest {
            brand_id: export.brand_id.to_string(),
            account_ids: export.accounts.iter().map(ToString::to_string).collect(),
        };
        let mut client = self.peers.chat.clone();
        let failed = |status| peer_unavailable("chat", &status);
        let answer = client.export_person(request).await.map_err(failed)?;
        let mut records = answer.into_inner();
        while let Some(response) = records.message().await.map_err(failed)? {
            if let Some(record) = response.record {
                parts.send(Exported::Chat(record)).await;
            }
        }
        Ok(())
    }

    async fn export_attribution(
        &self,
        export: &Export,
        parts: &Parts<Exported>,
    ) -> Result<(), IdentityError> {
        let request = attribution::ExportPersonRequest {
            brand_id: export.brand_id.to_string(),
            account_ids: export.accounts.iter().map(ToString::to_string).collect(),
        };
        let mut client = self.peers.attribution.clone();
        let failed = |status| peer_unavailable("attribution", &status);
        let answer = client.export_person(request).await.map_err(failed)?;
        let mut records = answer.into_inner();
        while let Some(response) = records.message().await.map_err(failed)? {
            if let Some(record) = response.record {
                parts.send(Exported::Attribution(record)).await;
            }
        }
        Ok(())
    }
}

async fn note_export(
    connection: &mut Connection,
    stamp: &Stamp,
    person_id: AccountId,
) -> Result<(), IdentityError> {
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::PersonExported, person_id, "");
    Ok(journal.write(connection).await?)
}

/// Whatever a peer answers, the export cannot be whole, and may be begun again.
fn peer_unavailable(peer: &'static str, status: &Status) -> IdentityError {
    tracing::warn!(peer, code = ?status.code(), "{peer} does not tell what it holds of a person");
    IdentityError::PeerUnavailable { peer }
}
