-- The codes with which visitors meet Members in person (SPEC 34).

CREATE TABLE phygital_code (
    brand_id text NOT NULL,
    code_digest bytea NOT NULL,
    member_id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    redeem_time timestamptz,
    PRIMARY KEY (brand_id, code_digest),
    CONSTRAINT phygital_code_digest CHECK (octet_length(code_digest) = 32)
);
CREATE INDEX phygital_code_by_member ON phygital_code (brand_id, member_id, expire_time);
COMMENT ON TABLE phygital_code IS 'One-time codes of Members; those that have expired are deleted when the Member gets another.';
COMMENT ON COLUMN phygital_code.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN phygital_code.code_digest IS 'The SHA-256 of the code, which is kept nowhere. Never changes.';
COMMENT ON COLUMN phygital_code.member_id IS 'The Member whose it is. Never changes.';
COMMENT ON COLUMN phygital_code.create_time IS 'When it was issued, by the service''s clock. Never changes.';
COMMENT ON COLUMN phygital_code.expire_time IS 'From when on it is refused. Never changes.';
COMMENT ON COLUMN phygital_code.redeem_time IS 'When a visitor redeemed it; absent until then. Set once.';
