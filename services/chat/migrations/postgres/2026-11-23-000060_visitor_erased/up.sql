-- That a chatroom's visitor is erased stands in its own row too: a statement that waits for the row then sees it as it is when the wait
-- ends, and not as all else was when the statement began.

ALTER TABLE chatroom ADD COLUMN visitor_erased boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN chatroom.visitor_erased IS 'Whether the visitor''s account is erased, so that nobody writes into it any more (SPEC 55). Set once.';

UPDATE chatroom SET visitor_erased = true
    WHERE EXISTS (SELECT FROM account_erasure e
                  WHERE e.brand_id = chatroom.brand_id AND e.account_id = chatroom.account_id);
