CREATE TABLE attribution_change (
    brand_id TEXT NOT NULL,
    row_number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT NOT NULL,
    ledger_entry_id BLOB,
    UNIQUE (brand_id, row_number)
) STRICT;
DROP TRIGGER ledger_entry_sums;
DROP INDEX ledger_entry_by_change;
ALTER TABLE ledger_entry DROP COLUMN change_number;
DROP INDEX attribution_by_change;
ALTER TABLE attribution DROP COLUMN change_number;
