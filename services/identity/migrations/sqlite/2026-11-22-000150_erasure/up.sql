-- The erasures of persons, and how far they are (SPEC 55). What each column means is said once, in the
-- PostgreSQL migration of the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE erasure (
    brand_id TEXT NOT NULL REFERENCES brand,
    erasure_id BLOB NOT NULL,
    person_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    chat_complete_time INTEGER,
    attribution_complete_time INTEGER,
    complete_time INTEGER,
    PRIMARY KEY (brand_id, erasure_id),
    FOREIGN KEY (brand_id, person_id) REFERENCES account,
    CONSTRAINT erasure_complete_in_all CHECK (
        complete_time IS NULL
        OR (chat_complete_time IS NOT NULL AND attribution_complete_time IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;
CREATE INDEX erasure_running ON erasure (create_time, erasure_id) WHERE complete_time IS NULL;

CREATE TABLE erased_account (
    brand_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    erasure_id BLOB NOT NULL,
    PRIMARY KEY (brand_id, account_id),
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    FOREIGN KEY (brand_id, erasure_id) REFERENCES erasure
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_account_by_erasure ON erased_account (brand_id, erasure_id);

-- Which temporary accounts may have been unused for too long (SPEC 57).
CREATE INDEX account_expiring ON account (expire_time) WHERE expire_time IS NOT NULL;
