-- The statements that write messages take the chatroom from its own row, which is locked by then, and no chatroom is ever deleted: to look
-- it up once more for each message was a sixth of what PostgreSQL did for it. On SQLite, where it costs little, the reference stays.

ALTER TABLE message DROP CONSTRAINT message_chatroom;
COMMENT ON COLUMN message.chatroom_id IS 'The chatroom, whose row is locked by who writes the message, and is never deleted. Never changes.';
