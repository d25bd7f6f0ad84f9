-- All of one action, newest first.
CREATE INDEX CONCURRENTLY audit_entry_by_action ON audit_entry (brand_id, action, create_time, audit_entry_id);
