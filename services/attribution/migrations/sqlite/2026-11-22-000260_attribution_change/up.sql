-- What changed, for those who watch attributions. What each column means is said once, in the PostgreSQL
-- migration of the same name; ids are BLOBs. There is one writer, so the row alone says the order of the
-- commits, and the key does not begin with the Brand.

CREATE TABLE attribution_change (
    brand_id TEXT NOT NULL,
    row_number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT NOT NULL,
    ledger_entry_id BLOB,
    UNIQUE (brand_id, row_number)
) STRICT;
