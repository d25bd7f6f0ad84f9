-- The release before knows no such keys.
DELETE FROM assertion_key WHERE kind = 'JWKS_URI';
ALTER TABLE assertion_key
    DROP CONSTRAINT assertion_key_holds_its_kind,
    ADD CONSTRAINT assertion_key_holds_its_kind CHECK (
        (kind = 'HMAC_SECRET' AND sealed_secret IS NOT NULL AND key_set IS NULL)
        OR (kind = 'JWK_SET' AND sealed_secret IS NULL AND key_set IS NOT NULL)
    );
COMMENT ON COLUMN assertion_key.kind IS 'HMAC_SECRET or JWK_SET. Never changes.';
ALTER TABLE assertion_key DROP COLUMN jwks_uri;
