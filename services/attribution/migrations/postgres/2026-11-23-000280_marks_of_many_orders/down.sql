CREATE INDEX dirty_mark_by_subject ON dirty_mark (brand_id, subject_kind, subject);
