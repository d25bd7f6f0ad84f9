CREATE TABLE brand_state (
    brand_id text PRIMARY KEY,
    revision bigint NOT NULL,
    is_suspended boolean NOT NULL
);
COMMENT ON TABLE brand_state IS 'Which Brands'' tokens are refused although they have not expired (SPEC 59).';
COMMENT ON COLUMN brand_state.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN brand_state.revision IS 'The revision of the Brand that said so; only grows.';
COMMENT ON COLUMN brand_state.is_suspended IS 'Whether its callers are refused.';

-- What identity said of Brands before has been read and not kept: it is read again, which costs time
-- and changes nothing else (SPEC 51).
DELETE FROM event_cursor WHERE source = 'identity';
