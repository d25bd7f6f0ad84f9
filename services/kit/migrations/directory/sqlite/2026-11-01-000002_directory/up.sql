-- What a service knows of identity. What each column means is said once, in the PostgreSQL migration
-- of the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE account (
    brand_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    customer_id TEXT,
    create_time INTEGER NOT NULL,
    upgrade_time INTEGER,
    erase_time INTEGER,
    PRIMARY KEY (brand_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_email (
    brand_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    provenance TEXT NOT NULL,
    from_time INTEGER NOT NULL,
    until_time INTEGER,
    PRIMARY KEY (brand_id, account_id, digest, provenance, from_time)
) STRICT, WITHOUT ROWID;

CREATE TABLE link (
    brand_id TEXT NOT NULL,
    link_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    client_account_id BLOB NOT NULL,
    temporary_account_id BLOB NOT NULL,
    scope TEXT NOT NULL,
    link_time INTEGER NOT NULL,
    revoke_time INTEGER,
    PRIMARY KEY (brand_id, link_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
    brand_id TEXT NOT NULL,
    client_account_id BLOB NOT NULL,
    link_revision INTEGER NOT NULL,
    PRIMARY KEY (brand_id, client_account_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE member (
    brand_id TEXT NOT NULL,
    member_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (brand_id, member_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE member_customer (
    brand_id TEXT NOT NULL,
    member_id BLOB NOT NULL,
    customer_id TEXT NOT NULL,
    from_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, member_id, customer_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX account_by_customer ON account (brand_id, customer_id);
CREATE INDEX account_email_by_digest ON account_email (brand_id, digest);
CREATE INDEX link_by_client ON link (brand_id, client_account_id);
CREATE INDEX link_by_temporary ON link (brand_id, temporary_account_id);
CREATE INDEX member_customer_by_customer ON member_customer (brand_id, customer_id);
