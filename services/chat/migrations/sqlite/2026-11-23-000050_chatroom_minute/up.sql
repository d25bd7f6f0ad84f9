-- As on PostgreSQL, where the reason is: one text asks both.

ALTER TABLE chatroom ADD COLUMN last_message_minute INTEGER
    GENERATED ALWAYS AS (last_message_time / 60000000 * 60000000) VIRTUAL;

CREATE INDEX chatroom_by_member_minute
    ON chatroom (brand_id, member_id, last_message_minute, last_message_time, create_time, chatroom_id);
DROP INDEX chatroom_by_member;
DROP INDEX chatroom_by_account;
