-- A chatroom. What each column means is said once, in the PostgreSQL migration of the same name;
-- instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE chatroom (
    brand_id TEXT NOT NULL,
    chatroom_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    -- Of the event log's rows the one that the transaction wrote first: one writer, so they are in order.
    transaction_id INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL DEFAULT 0,
    last_message_time INTEGER,
    last_transaction_id INTEGER NOT NULL,
    visitor_first_time INTEGER,
    member_first_time INTEGER,
    visitor_read_sequence INTEGER NOT NULL DEFAULT 0,
    visitor_unread_count INTEGER NOT NULL DEFAULT 0,
    member_read_sequence INTEGER NOT NULL DEFAULT 0,
    member_unread_count INTEGER NOT NULL DEFAULT 0,
    visitor_archived INTEGER NOT NULL DEFAULT 0 CHECK (visitor_archived IN (0, 1)),
    member_archived INTEGER NOT NULL DEFAULT 0 CHECK (member_archived IN (0, 1)),
    visitor_blocked INTEGER NOT NULL DEFAULT 0 CHECK (visitor_blocked IN (0, 1)),
    PRIMARY KEY (brand_id, chatroom_id),
    CONSTRAINT chatroom_pair UNIQUE (brand_id, account_id, member_id),
    CONSTRAINT chatroom_last_message CHECK ((last_sequence = 0) = (last_message_time IS NULL)),
    CONSTRAINT chatroom_visitor_read CHECK (visitor_read_sequence BETWEEN 0 AND last_sequence),
    CONSTRAINT chatroom_member_read CHECK (member_read_sequence BETWEEN 0 AND last_sequence),
    CONSTRAINT chatroom_visitor_unread CHECK (visitor_unread_count BETWEEN 0 AND last_sequence - visitor_read_sequence),
    CONSTRAINT chatroom_member_unread CHECK (member_unread_count BETWEEN 0 AND last_sequence - member_read_sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX chatroom_by_account ON chatroom (brand_id, account_id, last_message_time, create_time, chatroom_id);
CREATE INDEX chatroom_by_member ON chatroom (brand_id, member_id, last_message_time, create_time, chatroom_id);
