-- What is said in a chatroom.

CREATE TABLE message (
    brand_id text NOT NULL,
    chatroom_id uuid NOT NULL,
    sequence bigint NOT NULL,
    message_id uuid NOT NULL,
    message_time timestamptz NOT NULL,
    transaction_id bigint NOT NULL,
    side text NOT NULL,
    author_id uuid NOT NULL,
    kind text NOT NULL,
    origin text NOT NULL,
    content bytea,
    erase_time timestamptz,
    PRIMARY KEY (brand_id, chatroom_id, sequence),
    CONSTRAINT message_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom,
    CONSTRAINT message_id_once UNIQUE (brand_id, chatroom_id, message_id),
    CONSTRAINT message_sequence CHECK (sequence >= 1),
    CONSTRAINT message_side CHECK (side IN ('VISITOR', 'MEMBER', 'SERVICE')),
    CONSTRAINT message_kind CHECK (kind IN ('TEXT', 'IMAGE', 'PRODUCT', 'VIDEO', 'EMAIL', 'CONNECTION',
                                            'REQUEST', 'UNAVAILABLE', 'MISSED', 'RATING')),
    CONSTRAINT message_origin CHECK (origin IN ('WRITTEN', 'AUTOMATIC', 'PHYGITAL')),
    CONSTRAINT message_content CHECK ((content IS NULL) = (erase_time IS NOT NULL))
);
COMMENT ON TABLE message IS 'What is said in chatrooms; append-only, but for the answer to a rating and for erasure.';
COMMENT ON COLUMN message.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN message.chatroom_id IS 'The chatroom. Never changes.';
COMMENT ON COLUMN message.sequence IS 'The place in the chatroom: from 1, without gaps (SPEC 29). Never changes.';
COMMENT ON COLUMN message.message_id IS 'The id that the sender gave it, unique in the chatroom (SPEC 29). Never changes.';
COMMENT ON COLUMN message.message_time IS 'When it was sent: the later of the service''s clock and one microsecond after the message before. Never changes.';
COMMENT ON COLUMN message.transaction_id IS 'The transaction that wrote it, to tell whether it was there when paging began (SPEC 25). Never changes.';
COMMENT ON COLUMN message.side IS 'VISITOR, MEMBER or SERVICE: the side on which it stands, and what kind of author it has. Never changes.';
COMMENT ON COLUMN message.author_id IS 'Who wrote it: an account, a Member or an API key, by side; a client may write in a temporary account''s chatroom (SPEC 26). Never changes.';
COMMENT ON COLUMN message.kind IS 'The kind, by its name in SPEC 27; it stays when the content is erased. Never changes.';
COMMENT ON COLUMN message.origin IS 'WRITTEN, AUTOMATIC or PHYGITAL. Never changes.';
COMMENT ON COLUMN message.content IS 'All that is personal of it: an encoded rapport.chat.v1.MessageContent. Changed by the answer to a rating; absent once erased (SPEC 55).';
COMMENT ON COLUMN message.erase_time IS 'When the content was erased; absent while it is there. Set once.';
