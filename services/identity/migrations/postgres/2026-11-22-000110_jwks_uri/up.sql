ALTER TABLE assertion_key ADD COLUMN jwks_uri text;
COMMENT ON COLUMN assertion_key.jwks_uri IS 'The address that the public keys are fetched from. Never changes.';
COMMENT ON COLUMN assertion_key.kind IS 'HMAC_SECRET, JWK_SET or JWKS_URI. Never changes.';
ALTER TABLE assertion_key
    DROP CONSTRAINT assertion_key_holds_its_kind,
    ADD CONSTRAINT assertion_key_holds_its_kind CHECK (
        num_nonnulls(sealed_secret, key_set, jwks_uri) = 1
        AND (
            (kind = 'HMAC_SECRET' AND sealed_secret IS NOT NULL)
            OR (kind = 'JWK_SET' AND key_set IS NOT NULL)
            OR (kind = 'JWKS_URI' AND jwks_uri IS NOT NULL)
        )
    );
