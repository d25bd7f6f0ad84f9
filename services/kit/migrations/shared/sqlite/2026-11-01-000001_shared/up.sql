-- The tables that every service of the suite has. What each column means is said once, in the
-- PostgreSQL migration of the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE event_log (
    row_number INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id BLOB NOT NULL,
    brand_id TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    event BLOB NOT NULL
) STRICT;

-- Names this database among its copies: a restored one is given another (see the event log).
CREATE TABLE incarnation (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO incarnation (name) VALUES (lower(hex(randomblob(16))));

CREATE TABLE event_cursor (
    source TEXT PRIMARY KEY,
    position TEXT NOT NULL,
    update_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE request (
    brand_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id BLOB NOT NULL,
    body_digest BLOB NOT NULL,
    response BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, principal, method, request_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocation (
    brand_id TEXT NOT NULL,
    subject_id BLOB NOT NULL,
    minimum_epoch INTEGER NOT NULL,
    revoke_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, subject_id)
) STRICT, WITHOUT ROWID;
