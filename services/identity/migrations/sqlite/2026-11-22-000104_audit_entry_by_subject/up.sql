-- What happened to one thing, newest first.
CREATE INDEX audit_entry_by_subject ON audit_entry (brand_id, subject_id, create_time, audit_entry_id);
