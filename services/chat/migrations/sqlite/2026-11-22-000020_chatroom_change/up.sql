-- What changed for those who follow their chatrooms (SPEC 33). What each column means is said once,
-- in the PostgreSQL migration of the same name; instants are INTEGER microseconds since 1970, ids BLOBs.

CREATE TABLE chatroom_change (
    row_number INTEGER PRIMARY KEY AUTOINCREMENT,
    brand_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    chatroom_id BLOB,
    account_id BLOB,
    member_id BLOB,
    sequence INTEGER,
    change_time INTEGER NOT NULL,
    CONSTRAINT chatroom_change_kind CHECK (kind IN ('MESSAGE', 'CHATROOM', 'VISITOR_VIEW', 'MEMBER_VIEW', 'PERSON', 'MEMBER')),
    CONSTRAINT chatroom_change_chatroom CHECK ((kind IN ('PERSON', 'MEMBER')) = (chatroom_id IS NULL)),
    CONSTRAINT chatroom_change_account CHECK ((kind <> 'MEMBER') = (account_id IS NOT NULL)),
    CONSTRAINT chatroom_change_member CHECK ((kind <> 'PERSON') = (member_id IS NOT NULL)),
    CONSTRAINT chatroom_change_sequence CHECK ((kind = 'MESSAGE') = (sequence IS NOT NULL))
) STRICT;
