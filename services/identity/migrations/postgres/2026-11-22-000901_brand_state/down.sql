DELETE FROM brand_state;
