ALTER TABLE dirty_mark DROP COLUMN trace_parent;
