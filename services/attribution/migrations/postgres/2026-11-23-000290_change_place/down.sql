CREATE TABLE attribution_change (
    brand_id text NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    row_number bigint GENERATED ALWAYS AS IDENTITY,
    order_id text COLLATE "C" NOT NULL,
    ledger_entry_id uuid,
    PRIMARY KEY (brand_id, transaction_id, row_number)
);
DROP TRIGGER ledger_entry_sums ON ledger_entry;
DROP FUNCTION check_ledger_sums();
ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_first_sum;
DROP TRIGGER ledger_entry_append_only ON ledger_entry;
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
ALTER TABLE ledger_entry DROP COLUMN change_number, DROP COLUMN transaction_id;
ALTER TABLE attribution DROP COLUMN change_number, DROP COLUMN transaction_id;
DROP SEQUENCE change_number;
