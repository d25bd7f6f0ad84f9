-- All accounts of a customer, erased ones too.
CREATE INDEX CONCURRENTLY account_of_customer ON account (brand_id, customer_id);
