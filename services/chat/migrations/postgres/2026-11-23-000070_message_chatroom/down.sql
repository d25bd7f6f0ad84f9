ALTER TABLE message ADD CONSTRAINT message_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom;
COMMENT ON COLUMN message.chatroom_id IS 'The chatroom. Never changes.';
