DROP INDEX CONCURRENTLY account_of_customer;
