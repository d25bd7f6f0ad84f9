DROP INDEX account_expiring;
DROP TABLE erased_account;
DROP TABLE erasure;
