-- The visitor accounts that identity has erased, and how far chat is with each (SPEC 55). What each
-- column means is said once, in the PostgreSQL migration of the same name; instants are INTEGER
-- microseconds since 1970, ids BLOBs.

CREATE TABLE account_erasure (
    brand_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    erasure_id BLOB NOT NULL,
    message_count INTEGER NOT NULL DEFAULT 0,
    image_count INTEGER NOT NULL DEFAULT 0,
    create_time INTEGER NOT NULL,
    complete_time INTEGER,
    PRIMARY KEY (brand_id, account_id),
    CONSTRAINT account_erasure_counts CHECK (message_count >= 0 AND image_count >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_erasure_running ON account_erasure (create_time) WHERE complete_time IS NULL;
