-- A chatroom: one endless thread of one visitor account and one Member (SPEC 20).

CREATE TABLE chatroom (
    brand_id text NOT NULL,
    chatroom_id uuid NOT NULL,
    account_id uuid NOT NULL,
    member_id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    transaction_id bigint NOT NULL,
    last_sequence bigint NOT NULL DEFAULT 0,
    last_message_time timestamptz,
    last_transaction_id bigint NOT NULL,
    visitor_first_time timestamptz,
    member_first_time timestamptz,
    visitor_read_sequence bigint NOT NULL DEFAULT 0,
    visitor_unread_count bigint NOT NULL DEFAULT 0,
    member_read_sequence bigint NOT NULL DEFAULT 0,
    member_unread_count bigint NOT NULL DEFAULT 0,
    visitor_archived boolean NOT NULL DEFAULT false,
    member_archived boolean NOT NULL DEFAULT false,
    visitor_blocked boolean NOT NULL DEFAULT false,
    PRIMARY KEY (brand_id, chatroom_id),
    CONSTRAINT chatroom_pair UNIQUE (brand_id, account_id, member_id),
    CONSTRAINT chatroom_last_message CHECK ((last_sequence = 0) = (last_message_time IS NULL)),
    CONSTRAINT chatroom_visitor_read CHECK (visitor_read_sequence BETWEEN 0 AND last_sequence),
    CONSTRAINT chatroom_member_read CHECK (member_read_sequence BETWEEN 0 AND last_sequence),
    CONSTRAINT chatroom_visitor_unread CHECK (visitor_unread_count BETWEEN 0 AND last_sequence - visitor_read_sequence),
    CONSTRAINT chatroom_member_unread CHECK (member_unread_count BETWEEN 0 AND last_sequence - member_read_sequence)
);
COMMENT ON TABLE chatroom IS 'Threads of one visitor account and one Member; what a message changes of them is changed in its transaction.';
COMMENT ON COLUMN chatroom.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN chatroom.chatroom_id IS 'The chatroom. Never changes.';
COMMENT ON COLUMN chatroom.account_id IS 'The visitor''s account at identity. Never changes, also not by a link (SPEC 22).';
COMMENT ON COLUMN chatroom.member_id IS 'The Member at identity. Never changes.';
COMMENT ON COLUMN chatroom.create_time IS 'When it was opened, by the service''s clock. Never changes.';
COMMENT ON COLUMN chatroom.transaction_id IS 'The transaction that opened it, to tell whether it was there when paging began (SPEC 25). Never changes.';
COMMENT ON COLUMN chatroom.last_sequence IS 'The sequence of the newest message, and how many there are; 0 while there is none. Only grows.';
COMMENT ON COLUMN chatroom.last_message_time IS 'The time of the newest message; absent while there is none. Only grows; the list is ordered by it.';
COMMENT ON COLUMN chatroom.last_transaction_id IS 'The transaction of the newest message, or the one that opened it, to tell whether it has moved since paging began (SPEC 25).';
COMMENT ON COLUMN chatroom.visitor_first_time IS 'The time of the first evidence of the visitor''s side (SPEC 28). Set once.';
COMMENT ON COLUMN chatroom.member_first_time IS 'The time of the first evidence of the Member (SPEC 28). Set once.';
COMMENT ON COLUMN chatroom.visitor_read_sequence IS 'Up to which message the visitor''s side has read; 0: nothing yet. Only grows (SPEC 30).';
COMMENT ON COLUMN chatroom.visitor_unread_count IS 'How many messages after that marker are not of the visitor''s side.';
COMMENT ON COLUMN chatroom.member_read_sequence IS 'Up to which message the Member has read; 0: nothing yet. Only grows (SPEC 30).';
COMMENT ON COLUMN chatroom.member_unread_count IS 'How many messages after that marker are not the Member''s.';
COMMENT ON COLUMN chatroom.visitor_archived IS 'Whether the visitor''s side has archived it (SPEC 30); set and taken back by that side alone.';
COMMENT ON COLUMN chatroom.member_archived IS 'Whether the Member has archived it (SPEC 30); set and taken back by him alone.';
COMMENT ON COLUMN chatroom.visitor_blocked IS 'Whether the visitor''s side has blocked the Member in it (SPEC 30); set and taken back by that side alone. A Member''s block is in member_block.';

CREATE INDEX chatroom_by_account ON chatroom (brand_id, account_id, last_message_time, create_time, chatroom_id);
CREATE INDEX chatroom_by_member ON chatroom (brand_id, member_id, last_message_time, create_time, chatroom_id);
