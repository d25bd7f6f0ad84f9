ALTER TABLE chatroom DROP COLUMN visitor_erased;
