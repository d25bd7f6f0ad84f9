-- SQLite cannot change a constraint, so the table is made anew.
CREATE TABLE assertion_key_with_uri (
    brand_id TEXT NOT NULL REFERENCES brand,
    assertion_key_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    sealed_secret BLOB,
    key_set TEXT,
    jwks_uri TEXT,
    create_time INTEGER NOT NULL,
    expire_time INTEGER,
    revoke_time INTEGER,
    PRIMARY KEY (brand_id, assertion_key_id),
    CONSTRAINT assertion_key_holds_its_kind CHECK (
        (sealed_secret IS NOT NULL) + (key_set IS NOT NULL) + (jwks_uri IS NOT NULL) = 1
        AND (
            (kind = 'HMAC_SECRET' AND sealed_secret IS NOT NULL)
            OR (kind = 'JWK_SET' AND key_set IS NOT NULL)
            OR (kind = 'JWKS_URI' AND jwks_uri IS NOT NULL)
        )
    )
) STRICT, WITHOUT ROWID;
INSERT INTO assertion_key_with_uri
SELECT brand_id, assertion_key_id, kind, sealed_secret, key_set, NULL, create_time, expire_time, revoke_time
FROM assertion_key;
DROP TABLE assertion_key;
ALTER TABLE assertion_key_with_uri RENAME TO assertion_key;
