-- What changed for those who follow their chatrooms (SPEC 33).

CREATE TABLE chatroom_change (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    row_number bigint GENERATED ALWAYS AS IDENTITY,
    brand_id text NOT NULL,
    kind text NOT NULL,
    chatroom_id uuid,
    account_id uuid,
    member_id uuid,
    sequence bigint,
    change_time timestamptz NOT NULL,
    PRIMARY KEY (transaction_id, row_number),
    CONSTRAINT chatroom_change_kind CHECK (kind IN ('MESSAGE', 'CHATROOM', 'VISITOR_VIEW', 'MEMBER_VIEW', 'PERSON', 'MEMBER')),
    CONSTRAINT chatroom_change_chatroom CHECK ((kind IN ('PERSON', 'MEMBER')) = (chatroom_id IS NULL)),
    CONSTRAINT chatroom_change_account CHECK ((kind <> 'MEMBER') = (account_id IS NOT NULL)),
    CONSTRAINT chatroom_change_member CHECK ((kind <> 'PERSON') = (member_id IS NOT NULL)),
    CONSTRAINT chatroom_change_sequence CHECK ((kind = 'MESSAGE') = (sequence IS NOT NULL))
);
COMMENT ON TABLE chatroom_change IS 'What changed, in commit order, by id and without content, so that those who watch are told. Read as the event log is, across Brands, and so keyed; old rows are deleted.';
COMMENT ON COLUMN chatroom_change.transaction_id IS 'The transaction of the change; rows are read only below the oldest one still running. Never changes.';
COMMENT ON COLUMN chatroom_change.row_number IS 'Orders the rows of one transaction. Never changes.';
COMMENT ON COLUMN chatroom_change.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN chatroom_change.kind IS 'What changed: a MESSAGE (new, answered or erased), a CHATROOM (opened, or a block), what one side alone sees of it (VISITOR_VIEW, MEMBER_VIEW: a marker or archive), a PERSON (what an account sees and may write), a MEMBER (whether he answers). Never changes.';
COMMENT ON COLUMN chatroom_change.chatroom_id IS 'The chatroom; absent for a PERSON and a MEMBER. Never changes.';
COMMENT ON COLUMN chatroom_change.account_id IS 'The chatroom''s visitor account, or the account whose person changed; absent for a MEMBER. Never changes.';
COMMENT ON COLUMN chatroom_change.member_id IS 'The chatroom''s Member, or the one who changed; absent for a PERSON. Never changes.';
COMMENT ON COLUMN chatroom_change.sequence IS 'The sequence of the MESSAGE. Never changes.';
COMMENT ON COLUMN chatroom_change.change_time IS 'When it changed, by the service''s clock; for a person who looks at the log. Never changes.';
