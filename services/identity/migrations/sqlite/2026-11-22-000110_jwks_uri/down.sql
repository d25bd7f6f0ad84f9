-- The release before knows no such keys, and SQLite cannot change a constraint.
CREATE TABLE assertion_key_without_uri (
    brand_id TEXT NOT NULL REFERENCES brand,
    assertion_key_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    sealed_secret BLOB,
    key_set TEXT,
    create_time INTEGER NOT NULL,
    expire_time INTEGER,
    revoke_time INTEGER,
    PRIMARY KEY (brand_id, assertion_key_id),
    CONSTRAINT assertion_key_holds_its_kind CHECK (
        (kind = 'HMAC_SECRET' AND sealed_secret IS NOT NULL AND key_set IS NULL)
        OR (kind = 'JWK_SET' AND sealed_secret IS NULL AND key_set IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;
INSERT INTO assertion_key_without_uri
SELECT brand_id, assertion_key_id, kind, sealed_secret, key_set, create_time, expire_time, revoke_time
FROM assertion_key WHERE kind <> 'JWKS_URI';
DROP TABLE assertion_key;
ALTER TABLE assertion_key_without_uri RENAME TO assertion_key;
