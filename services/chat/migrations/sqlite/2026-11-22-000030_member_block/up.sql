-- What Members have said about blocking visitors' accounts (SPEC 30). What each column means is said once, in the
-- PostgreSQL migration of the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE member_block (
    brand_id TEXT NOT NULL,
    member_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    block_time INTEGER,
    unblock_time INTEGER,
    PRIMARY KEY (brand_id, member_id, account_id),
    CONSTRAINT member_block_said CHECK (block_time IS NOT NULL OR unblock_time IS NOT NULL)
) STRICT, WITHOUT ROWID;
