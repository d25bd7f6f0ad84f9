DROP TABLE dirty_mark;
DROP TABLE awaited_sign_in;
DROP TABLE ledger_entry;
DROP FUNCTION refuse_ledger_change();
DROP TABLE credit;
DROP TABLE attribution;
