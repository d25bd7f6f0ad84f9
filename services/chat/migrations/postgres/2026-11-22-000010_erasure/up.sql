-- The visitor accounts that identity has erased, and how far chat is with each (SPEC 55).

CREATE TABLE account_erasure (
    brand_id text NOT NULL,
    account_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    message_count bigint NOT NULL DEFAULT 0,
    image_count bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    complete_time timestamptz,
    PRIMARY KEY (brand_id, account_id),
    CONSTRAINT account_erasure_counts CHECK (message_count >= 0 AND image_count >= 0)
);
CREATE INDEX account_erasure_running ON account_erasure (create_time) WHERE complete_time IS NULL;
COMMENT ON TABLE account_erasure IS 'The accounts whose messages are cleared, or are being; a row is written with the mark that the account is erased.';
COMMENT ON COLUMN account_erasure.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN account_erasure.account_id IS 'The account. Never changes.';
COMMENT ON COLUMN account_erasure.erasure_id IS 'The erasure at identity, shared by all accounts of the person. Never changes.';
COMMENT ON COLUMN account_erasure.message_count IS 'How many messages of the account''s chatrooms have been cleared, of both sides; only grows.';
COMMENT ON COLUMN account_erasure.image_count IS 'How many images of the account''s chatrooms have been deleted, of both sides; only grows.';
COMMENT ON COLUMN account_erasure.create_time IS 'When chat heard of it, by the service''s clock. Never changes.';
COMMENT ON COLUMN account_erasure.complete_time IS 'When nothing was left to clear; absent until then. Set once.';
