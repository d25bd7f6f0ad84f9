-- What changed, for those who watch attributions.

CREATE TABLE attribution_change (
    brand_id text NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    row_number bigint GENERATED ALWAYS AS IDENTITY,
    order_id text COLLATE "C" NOT NULL,
    ledger_entry_id uuid,
    PRIMARY KEY (brand_id, transaction_id, row_number)
);
COMMENT ON TABLE attribution_change IS 'Which attributions were new or changed, and which entries were booked, in commit order; append-only.';
COMMENT ON COLUMN attribution_change.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN attribution_change.transaction_id IS 'The transaction that wrote the row; rows are read only below the oldest one still running. Never changes.';
COMMENT ON COLUMN attribution_change.row_number IS 'Orders the rows of one transaction. Never changes.';
COMMENT ON COLUMN attribution_change.order_id IS 'The order. Never changes.';
COMMENT ON COLUMN attribution_change.ledger_entry_id IS 'The entry that was booked for it; absent where its attribution changed. Never changes.';
