DROP INDEX account_by_stage;
