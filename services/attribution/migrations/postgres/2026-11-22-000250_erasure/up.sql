-- The accounts whose erasure has been applied here (SPEC 55).

CREATE TABLE account_erasure (
    brand_id text NOT NULL,
    account_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    apply_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, account_id)
);
COMMENT ON TABLE account_erasure IS 'The accounts whose erasure has been heard of, for identity to know when its last service is done; append-only.';
COMMENT ON COLUMN account_erasure.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN account_erasure.account_id IS 'The account. Never changes.';
COMMENT ON COLUMN account_erasure.erasure_id IS 'The erasure at identity, shared by all accounts of the person. Never changes.';
COMMENT ON COLUMN account_erasure.apply_time IS 'When it was applied, by the service''s clock. Never changes.';
