-- The codes with which visitors meet Members in person (SPEC 34). What each column means is said once, in the PostgreSQL
-- migration of the same name; instants are INTEGER microseconds since 1970, ids and digests BLOBs.

CREATE TABLE phygital_code (
    brand_id TEXT NOT NULL,
    code_digest BLOB NOT NULL,
    member_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    redeem_time INTEGER,
    PRIMARY KEY (brand_id, code_digest),
    CONSTRAINT phygital_code_digest CHECK (length(code_digest) = 32)
) STRICT, WITHOUT ROWID;

CREATE INDEX phygital_code_by_member ON phygital_code (brand_id, member_id, expire_time);
