CREATE INDEX chatroom_by_account ON chatroom (brand_id, account_id, last_message_time, create_time, chatroom_id);
CREATE INDEX chatroom_by_member ON chatroom (brand_id, member_id, last_message_time, create_time, chatroom_id);
DROP INDEX chatroom_by_member_minute;
ALTER TABLE chatroom DROP COLUMN last_message_minute;
