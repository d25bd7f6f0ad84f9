//! Writes down what a use case did, in its transaction: events for the other services (SPEC 17),
//! audit entries for whoever asks later (SPEC 60).

use kit::{
    access::keep_revocations,
    convert::timestamp,
    db::{Connection, StoreError},
    event_log,
};
use rapport_proto::{
    event::v1::{Event, event::Payload},
    identity::v1::AuditAction,
};
use uuid::Uuid;

use super::Stamp;
use crate::{convert::audit_entry::action_name, model::AuditEntry, store::audit_entries};

/// What has happened so far in a transaction.
pub(super) struct Journal<'a> {
    stamp: &'a Stamp,
    /// How many ids have been given.
    given: u32,
    events: Vec<Event>,
    entries: Vec<AuditEntry>,
}

impl<'a> Journal<'a> {
    pub(super) fn new(stamp: &'a Stamp) -> Self {
        Self {
            stamp,
            given: 0,
            events: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Notes an event, which carries the whole state of its subject (SPEC 51).
    pub(super) fn event(&mut self, payload: Payload) {
        let event = Event {
            event_id: self.next_id().to_string(),
            brand_id: self.stamp.brand_id.to_string(),
            event_time: Some(timestamp(self.stamp.now)),
            cause_id: self
                .stamp
                .request_id
                .map(|request_id| request_id.to_string())
                .unwrap_or_default(),
            trace_parent: String::new(),
            payload: Some(payload),
        };
        self.events.push(event);
    }

    /// Notes an audit entry. `subject_id` must not be personal, and `reason` is one of this
    /// program's words, never a text that a caller wrote (SPEC 58).
    pub(super) fn audit(&mut self, action: AuditAction, subject_id: impl ToString, reason: &str) {
        let entry = AuditEntry {
            brand_id: self.stamp.brand_id.clone(),
            audit_entry_id: self.next_id(),
            action: action_name(action),
            actor_caller: self.stamp.actor.caller_name(),
            actor_id: self.stamp.actor.id_text(),
            subject_id: subject_id.to_string(),
            reason: reason.to_owned(),
            request_id: self.stamp.request_id,
            create_time: self.stamp.now,
        };
        self.entries.push(entry);
    }

    /// Writes all of it.
    pub(super) async fn write(self, connection: &mut Connection) -> Result<(), StoreError> {
        for entry in &self.entries {
            audit_entries::insert(connection, entry).await?;
        }
        keep_revocations(connection, &self.events).await?;
        event_log::append(connection, &self.events).await
    }

    /// How many there will be is known only inside of the transaction, where none may be made. The low
    /// bits of a UUIDv7 are random, so those that follow one are as unique, and sort as they are given.
    fn next_id(&mut self) -> Uuid {
        let id = self
            .stamp
            .first_id
            .as_u128()
            .wrapping_add(self.given.into());
        self.given += 1;
        Uuid::from_u128(id)
    }
}
