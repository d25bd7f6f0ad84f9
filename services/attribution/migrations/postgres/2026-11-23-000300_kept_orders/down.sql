DROP TRIGGER ledger_entry_of_order ON ledger_entry;
ALTER TABLE ledger_entry ADD CONSTRAINT ledger_entry_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order";
DROP TRIGGER credit_of_order ON credit;
ALTER TABLE credit ADD CONSTRAINT credit_of_attribution FOREIGN KEY (brand_id, order_id) REFERENCES attribution;
DROP TRIGGER attribution_of_order ON attribution;
ALTER TABLE attribution ADD CONSTRAINT attribution_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order";
DROP FUNCTION check_orders_exist();
DROP TRIGGER order_kept ON "order";
DROP FUNCTION refuse_order_removal();
