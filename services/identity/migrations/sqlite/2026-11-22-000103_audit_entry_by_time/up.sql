-- The audit log of a Brand, newest first.
CREATE INDEX audit_entry_by_time ON audit_entry (brand_id, create_time, audit_entry_id);
