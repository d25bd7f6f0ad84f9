//! The table `audit_entry`, which is append-only.

use chrono::{DateTime, Utc};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, RequestId};
use kit::{
    db::{Connection, StoreError},
    query,
};
use uuid::Uuid;

use super::{entity::row, schema::audit_entry};
use crate::model::AuditEntry;

row!(Row of AuditEntry as audit_entry (brand_id, audit_entry_id) {
    brand_id: BrandId,
    audit_entry_id: Uuid,
    action: String,
    actor_caller: String,
    actor_id: String,
    subject_id: String,
    reason: String,
    request_id: Option<RequestId>,
    create_time: DateTime<Utc>,
});

pub(crate) async fn insert(
    connection: &mut Connection,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let row = Row::from(entry);
    query!(connection, |c| diesel::insert_into(audit_entry::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}

/// Lists the Brand's entries, oldest first.
#[cfg(test)]
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
) -> Result<Vec<AuditEntry>, StoreError> {
    use diesel::{ExpressionMethods, QueryDsl};
    let rows: Vec<Row> = query!(connection, |c| audit_entry::table
        .filter(audit_entry::brand_id.eq(kit::db::Sql(brand_id)))
        .order(audit_entry::audit_entry_id)
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}
