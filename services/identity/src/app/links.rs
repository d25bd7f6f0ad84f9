//! Links: shown, and taken back where they were wrong (SPEC 16).

use domain::id::{AccountId, BrandId, LinkId};
use kit::{consistency::ConsistencyToken, db::Connection};
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};

use super::{
    App, Stamp, Write,
    accounts::{self, note_account},
    find_answer, find_serving_brand,
    journal::Journal,
    keep_answer,
};
use crate::{
    convert::event::link_changed,
    error::IdentityError,
    model::{Account, Link},
    store::{accounts as account_store, links},
};

/// A link just revoked.
#[derive(Clone, Debug)]
pub(crate) struct RevokedLink {
    pub(crate) link: Link,
    /// For whoever must see the revocation elsewhere (SPEC 54).
    pub(crate) consistency_token: ConsistencyToken,
}

struct Revocation {
    write: Write,
    stamp: Stamp,
    link_id: LinkId,
    reason: String,
}

impl App {
    /// Returns a link, active or revoked.
    pub(crate) async fn get_link(
        &self,
        brand_id: &BrandId,
        link_id: LinkId,
    ) -> Result<Link, IdentityError> {
        let mut connection = self.db.read().await?;
        let link = links::find(&mut connection, brand_id, link_id).await?;
        link.ok_or(IdentityError::LinkNotFound)
    }

    /// Lists links, newest first, those before `before`.
    pub(crate) async fn list_links(
        &self,
        brand_id: &BrandId,
        filter: links::Filter,
        before: Option<LinkId>,
        limit: i64,
    ) -> Result<Vec<Link>, IdentityError> {
        let mut connection = self.db.read().await?;
        Ok(links::list(&mut connection, brand_id, filter, before, limit).await?)
    }

    /// Takes a wrong link back. It stays as a tombstone, and no session comes back.
    pub(crate) async fn revoke_link(
        &self,
        write: Write,
        link_id: LinkId,
        reason: String,
    ) -> Result<RevokedLink, IdentityError> {
        let stamp = self.write_stamp(&write);
        let revocation = Revocation {
            write,
            stamp,
            link_id,
            reason,
        };
        self.db
            .run_tx("revoke_link", revocation, |c, i| Box::pin(revoke(c, i)))
            .await
    }
}

async fn revoke(
    connection: &mut Connection,
    input: &Revocation,
) -> Result<RevokedLink, IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    find_serving_brand(connection, brand_id).await?;
    let is_repeated = find_answer::<()>(connection, &input.write.key)
        .await?
        .is_some();
    let Some(link) = links::find(connection, brand_id, input.link_id).await? else {
        return Err(not_a_link(connection, brand_id, input.link_id).await?);
    };
    if is_repeated {
        return Ok(revoked(link));
    }
    if link.revoke_time.is_some() {
        return Err(IdentityError::LinkRevoked);
    }
    let client = accounts::get(connection, brand_id, link.client_account_id).await?;
    let client = Account {
        link_revision: client.link_revision + 1,
        revision: client.revision + 1,
        update_time: now,
        ..client
    };
    let link = Link {
        revision: link.revision + 1,
        link_revision: client.link_revision,
        revoke_time: Some(now),
        revoke_reason: Some(input.reason.clone()),
        ..link
    };
    account_store::update(connection, &client).await?;
    links::update(connection, &link).await?;
    let mut journal = Journal::new(&input.stamp);
    // Why stands on the link alone: it is a caller's text, and the audit log holds none.
    journal.audit(AuditAction::LinkRevoked, link.link_id, "");
    journal.event(Payload::LinkChanged(link_changed(&link)));
    note_account(connection, &mut journal, &client).await?;
    journal.write(connection).await?;
    keep_answer(connection, &input.write.key, &(), now).await?;
    Ok(revoked(link))
}

/// Says what is wrong with an id that is no link's: an upgraded account's cannot be revoked at all.
async fn not_a_link(
    connection: &mut Connection,
    brand_id: &BrandId,
    link_id: LinkId,
) -> Result<IdentityError, IdentityError> {
    let account_id = AccountId::new(link_id.uuid());
    let account = account_store::find(connection, brand_id, account_id).await?;
    Ok(match account {
        Some(account) if account.upgrade_time.is_some() => IdentityError::UpgradeNotRevocable,
        Some(_) | None => IdentityError::LinkNotFound,
    })
}

fn revoked(link: Link) -> RevokedLink {
    let consistency_token = ConsistencyToken {
        account_id: link.client_account_id,
        link_revision: link.link_revision,
    };
    RevokedLink {
        link,
        consistency_token,
    }
}
