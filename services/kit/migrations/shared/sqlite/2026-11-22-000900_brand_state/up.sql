-- What each column means is said once, in the PostgreSQL migration of the same name.

CREATE TABLE brand_state (
    brand_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    is_suspended INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What identity said of Brands before has been read and not kept: it is read again, which costs time
-- and changes nothing else (SPEC 51).
DELETE FROM event_cursor WHERE source = 'identity';
