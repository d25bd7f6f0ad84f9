DROP TABLE dirty_mark;
DROP TABLE awaited_sign_in;
DROP TABLE ledger_entry;
DROP TABLE credit;
DROP TABLE attribution;
