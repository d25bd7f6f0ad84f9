-- The list of a Brand's accounts is merged from one run for each kind and state; each is read in its order.
CREATE INDEX account_by_stage ON account (brand_id, kind, state, create_time, account_id);
