-- What changed is told by the rows that changed: each keeps the place of its last change in commit order, and
-- there is no log beside them that grows with every change. The same place says whether an entry was there
-- when the paging of a statement began.

CREATE SEQUENCE change_number;

ALTER TABLE attribution ADD COLUMN transaction_id xid8 NOT NULL DEFAULT '0';
ALTER TABLE attribution ADD COLUMN change_number bigint NOT NULL DEFAULT nextval('change_number');
ALTER TABLE attribution ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN attribution.transaction_id IS 'The transaction of the last change; rows are told only below the oldest one still running.';
COMMENT ON COLUMN attribution.change_number IS 'Orders the changes of one transaction, those of the ledger included.';
CREATE INDEX attribution_by_change ON attribution (brand_id, transaction_id, change_number);

ALTER TABLE ledger_entry ADD COLUMN transaction_id xid8 NOT NULL DEFAULT '0';
ALTER TABLE ledger_entry ADD COLUMN change_number bigint NOT NULL DEFAULT nextval('change_number');
ALTER TABLE ledger_entry ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN ledger_entry.transaction_id IS 'The transaction that booked it; 0 for one of an earlier life of the database.';
COMMENT ON COLUMN ledger_entry.change_number IS 'Orders the changes of one transaction, those of attributions included. Never changes.';
CREATE INDEX ledger_entry_by_change ON ledger_entry (brand_id, transaction_id, change_number);

-- All columns but transaction_id, which is no part of the booking.
DROP TRIGGER ledger_entry_append_only ON ledger_entry;
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OF brand_id, order_id, member_id, number, ledger_entry_id,
    currency_code, minor_units, target_minor_units, attribution_revision, policy_revision, book_time, change_number
    OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

-- An entry's target is the sum of the entries up to it.
ALTER TABLE ledger_entry ADD CONSTRAINT ledger_entry_first_sum CHECK (number > 1 OR target_minor_units = minor_units);
CREATE FUNCTION check_ledger_sums() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added a WHERE a.number > 1 AND NOT EXISTS (SELECT FROM ledger_entry b
        WHERE b.brand_id = a.brand_id AND b.order_id = a.order_id AND b.member_id = a.member_id
        AND b.number = a.number - 1 AND b.currency_code = a.currency_code
        AND b.target_minor_units + a.minor_units = a.target_minor_units))
    THEN
        RAISE EXCEPTION 'the target of a ledger entry is not the sum of the entries up to it';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_entry_sums AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_ledger_sums();

DROP TABLE attribution_change;
