-- Which trace a mark belongs to, so that the evaluation that it leads to is seen in it.

ALTER TABLE dirty_mark ADD COLUMN trace_parent text;
COMMENT ON COLUMN dirty_mark.trace_parent IS 'The W3C traceparent of what made the fact; absent where no trace of it is kept. Never changes.';
