//! The table `audit_entry`, which is append-only.

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::{BrandId, RequestId};
use kit::{
    db::{Connection, Sql, StoreError},
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

/// Which entries a list shows; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only those of this action, as rows name it.
    pub(crate) action: Option<String>,
    /// Only those about this.
    pub(crate) subject_id: Option<String>,
    /// Only those at or after this time.
    pub(crate) from_time: Option<DateTime<Utc>>,
    /// Only those before this time.
    pub(crate) until_time: Option<DateTime<Utc>>,
}

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

/// Lists the Brand's entries, newest first and then by id, those behind `before`.
///
/// Each filter has an index in this order: time alone, subject, action.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    filter: &Filter,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| {
        let mut entries = audit_entry::table
            .filter(audit_entry::brand_id.eq(Sql(brand_id)))
            .into_boxed();
        if let Some(subject_id) = &filter.subject_id {
            entries = entries.filter(audit_entry::subject_id.eq(subject_id));
        }
        if let Some(action) = &filter.action {
            entries = entries.filter(audit_entry::action.eq(action));
        }
        if let Some(from_time) = filter.from_time {
            entries = entries.filter(audit_entry::create_time.ge(Sql(from_time)));
        }
        if let Some(until_time) = filter.until_time {
            entries = entries.filter(audit_entry::create_time.lt(Sql(until_time)));
        }
        if let Some((time, id)) = before {
            // The first condition is all that an index needs, the second one settles ties.
            entries = entries
                .filter(audit_entry::create_time.le(Sql(time)))
                .filter(
                    audit_entry::create_time
                        .lt(Sql(time))
                        .or(audit_entry::audit_entry_id.lt(Sql(id))),
                );
        }
        entries
            .order((
                audit_entry::create_time.desc(),
                audit_entry::audit_entry_id.desc(),
            ))
            .limit(limit)
            .load(c)
            .await
    })?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}
