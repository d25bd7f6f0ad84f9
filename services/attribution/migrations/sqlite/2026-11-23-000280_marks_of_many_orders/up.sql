-- One mark for all orders that were recorded together: it is found by its number, and too long for an index.

DROP INDEX dirty_mark_by_subject;
