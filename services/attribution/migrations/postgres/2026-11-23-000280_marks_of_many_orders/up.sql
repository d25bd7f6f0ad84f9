-- One mark for all orders that were recorded together: it is found by its number, and too long for an index.

DROP INDEX dirty_mark_by_subject;
COMMENT ON COLUMN dirty_mark.subject IS 'Its id; of orders their ids, each on a line of its own. Never changes.';
