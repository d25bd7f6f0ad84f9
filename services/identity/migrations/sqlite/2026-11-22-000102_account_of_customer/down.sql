DROP INDEX account_of_customer;
