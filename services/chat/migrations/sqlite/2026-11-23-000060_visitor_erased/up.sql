-- As on PostgreSQL, where the reason is: one text asks both.

ALTER TABLE chatroom ADD COLUMN visitor_erased INTEGER NOT NULL DEFAULT 0;

UPDATE chatroom SET visitor_erased = 1
    WHERE EXISTS (SELECT 1 FROM account_erasure e
                  WHERE e.brand_id = chatroom.brand_id AND e.account_id = chatroom.account_id);
