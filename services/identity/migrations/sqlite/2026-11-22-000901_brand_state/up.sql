-- identity knows the states of its Brands: what it refuses begins with them.
INSERT INTO brand_state (brand_id, revision, is_suspended)
SELECT brand_id, revision, state = 'SUSPENDED' FROM brand;
