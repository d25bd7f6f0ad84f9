-- What changed is told by the rows that changed, in the order of their numbers; there is no log beside them.
-- What each column means is said once, in the PostgreSQL migration of the same name.

ALTER TABLE attribution ADD COLUMN change_number INTEGER NOT NULL DEFAULT 0;
UPDATE attribution SET change_number = (SELECT count(*) FROM attribution b
    WHERE b.brand_id = attribution.brand_id AND b.order_id <= attribution.order_id);
CREATE INDEX attribution_by_change ON attribution (brand_id, change_number);

DROP TRIGGER ledger_entry_never_updated;
ALTER TABLE ledger_entry ADD COLUMN change_number INTEGER NOT NULL DEFAULT 0;
UPDATE ledger_entry SET change_number = (SELECT count(*) FROM attribution b WHERE b.brand_id = ledger_entry.brand_id)
    + (SELECT count(*) FROM ledger_entry b WHERE b.brand_id = ledger_entry.brand_id
        AND (b.order_id, b.member_id, b.number) <= (ledger_entry.order_id, ledger_entry.member_id, ledger_entry.number));
CREATE INDEX ledger_entry_by_change ON ledger_entry (brand_id, change_number);
CREATE TRIGGER ledger_entry_never_updated BEFORE UPDATE ON ledger_entry
BEGIN SELECT raise(ABORT, 'ledger entries are never changed or removed'); END;

-- An entry's target is the sum of the entries up to it.
CREATE TRIGGER ledger_entry_sums BEFORE INSERT ON ledger_entry
WHEN NEW.target_minor_units <> NEW.minor_units + CASE NEW.number WHEN 1 THEN 0 ELSE coalesce(
    (SELECT target_minor_units FROM ledger_entry b WHERE b.brand_id = NEW.brand_id AND b.order_id = NEW.order_id
        AND b.member_id = NEW.member_id AND b.number = NEW.number - 1 AND b.currency_code = NEW.currency_code),
    -1 - NEW.minor_units) END
BEGIN SELECT raise(ABORT, 'the target of a ledger entry is not the sum of the entries up to it'); END;

DROP TABLE attribution_change;
