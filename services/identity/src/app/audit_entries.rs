//! What somebody is asked about later (SPEC 60): listed here, written by [`journal`](super::journal).

use chrono::{DateTime, Utc};
use domain::id::BrandId;
use uuid::Uuid;

use super::{App, find_brand};
use crate::{
    error::IdentityError,
    model::AuditEntry,
    store::audit_entries::{self, Filter},
};

impl App {
    /// Lists the Brand's entries, newest first and then by id, those behind `before`.
    pub(crate) async fn list_audit_entries(
        &self,
        brand_id: &BrandId,
        filter: &Filter,
        before: Option<(DateTime<Utc>, Uuid)>,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, IdentityError> {
        let mut connection = self.db.read().await?;
        find_brand(&mut connection, brand_id).await?;
        Ok(audit_entries::list(&mut connection, brand_id, filter, before, limit).await?)
    }
}
