-- What is said in a chatroom. What each column means is said once, in the PostgreSQL migration of
-- the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE message (
    brand_id TEXT NOT NULL,
    chatroom_id BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    message_time INTEGER NOT NULL,
    transaction_id INTEGER NOT NULL,
    side TEXT NOT NULL,
    author_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    content BLOB,
    erase_time INTEGER,
    PRIMARY KEY (brand_id, chatroom_id, sequence),
    CONSTRAINT message_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom,
    CONSTRAINT message_id_once UNIQUE (brand_id, chatroom_id, message_id),
    CONSTRAINT message_sequence CHECK (sequence >= 1),
    CONSTRAINT message_side CHECK (side IN ('VISITOR', 'MEMBER', 'SERVICE')),
    CONSTRAINT message_kind CHECK (kind IN ('TEXT', 'IMAGE', 'PRODUCT', 'VIDEO', 'EMAIL', 'CONNECTION',
                                            'REQUEST', 'UNAVAILABLE', 'MISSED', 'RATING')),
    CONSTRAINT message_origin CHECK (origin IN ('WRITTEN', 'AUTOMATIC', 'PHYGITAL')),
    CONSTRAINT message_content CHECK ((content IS NULL) = (erase_time IS NOT NULL))
) STRICT, WITHOUT ROWID;
