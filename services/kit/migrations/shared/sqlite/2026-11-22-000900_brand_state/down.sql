DROP TABLE brand_state;
