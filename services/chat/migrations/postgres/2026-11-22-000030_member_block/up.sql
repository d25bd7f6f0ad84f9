-- What Members have said about blocking visitors' accounts (SPEC 30).

CREATE TABLE member_block (
    brand_id text NOT NULL,
    member_id uuid NOT NULL,
    account_id uuid NOT NULL,
    block_time timestamptz,
    unblock_time timestamptz,
    PRIMARY KEY (brand_id, member_id, account_id),
    CONSTRAINT member_block_said CHECK (block_time IS NOT NULL OR unblock_time IS NOT NULL)
);
COMMENT ON TABLE member_block IS 'Facts from which follows, with the active links, whether a Member has blocked a person; a row for each account that he has said something of.';
COMMENT ON COLUMN member_block.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN member_block.member_id IS 'The Member. Never changes.';
COMMENT ON COLUMN member_block.account_id IS 'The visitor''s account of the chatroom in which he said it. Never changes.';
COMMENT ON COLUMN member_block.block_time IS 'When he last blocked it, by the service''s clock; absent where he never did. Only grows.';
COMMENT ON COLUMN member_block.unblock_time IS 'When he last took a block back in that chatroom, by the service''s clock; absent where he never did. Only grows.';
