-- The accounts whose erasure has been applied here (SPEC 55). What each column means is said once, in the
-- PostgreSQL migration of the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE account_erasure (
    brand_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    erasure_id BLOB NOT NULL,
    apply_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, account_id)
) STRICT, WITHOUT ROWID;
