-- The erasures of persons, and how far they are (SPEC 55).

CREATE TABLE erasure (
    brand_id text NOT NULL REFERENCES brand,
    erasure_id uuid NOT NULL,
    person_id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    chat_complete_time timestamptz,
    attribution_complete_time timestamptz,
    complete_time timestamptz,
    PRIMARY KEY (brand_id, erasure_id),
    FOREIGN KEY (brand_id, person_id) REFERENCES account,
    CONSTRAINT erasure_complete_in_all CHECK (
        complete_time IS NULL
        OR (chat_complete_time IS NOT NULL AND attribution_complete_time IS NOT NULL)
    )
);
CREATE INDEX erasure_running ON erasure (create_time, erasure_id) WHERE complete_time IS NULL;
COMMENT ON TABLE erasure IS 'The persons that were erased; begun with their accounts, finished by what chat and attribution report.';
COMMENT ON COLUMN erasure.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN erasure.erasure_id IS 'The erasure. Never changes.';
COMMENT ON COLUMN erasure.person_id IS 'The client account of the person; the account itself where it stood alone. Never changes.';
COMMENT ON COLUMN erasure.create_time IS 'When it was begun, and done in identity. Never changes.';
COMMENT ON COLUMN erasure.chat_complete_time IS 'When chat was known to be done; absent until then. Set once.';
COMMENT ON COLUMN erasure.attribution_complete_time IS 'When attribution was known to be done; absent until then. Set once.';
COMMENT ON COLUMN erasure.complete_time IS 'When the last service was done; absent until then. Set once.';

CREATE TABLE erased_account (
    brand_id text NOT NULL,
    account_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    PRIMARY KEY (brand_id, account_id),
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    FOREIGN KEY (brand_id, erasure_id) REFERENCES erasure
);
CREATE INDEX erased_account_by_erasure ON erased_account (brand_id, erasure_id);
COMMENT ON TABLE erased_account IS 'The accounts of erased persons, each erased once; append-only.';
COMMENT ON COLUMN erased_account.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN erased_account.account_id IS 'The account. Never changes.';
COMMENT ON COLUMN erased_account.erasure_id IS 'The erasure that it belongs to. Never changes.';

-- Which temporary accounts may have been unused for too long (SPEC 57).
CREATE INDEX account_expiring ON account (expire_time) WHERE expire_time IS NOT NULL;
