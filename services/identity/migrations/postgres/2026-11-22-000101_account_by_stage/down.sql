DROP INDEX CONCURRENTLY account_by_stage;
