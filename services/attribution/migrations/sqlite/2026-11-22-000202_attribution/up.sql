-- What each column means is said once, in the PostgreSQL migration of the same name; instants are
-- INTEGER microseconds since 1970, ids BLOBs.
--
-- What follows from the facts, and which of it has yet to be looked at again.

CREATE TABLE attribution (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    buyer_key TEXT,
    buyer_account_id BLOB,
    person_account_id BLOB,
    policy_revision INTEGER NOT NULL,
    link_revision INTEGER NOT NULL,
    is_frozen INTEGER NOT NULL CHECK (is_frozen IN (0, 1)),
    evaluate_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, order_id),
    CONSTRAINT attribution_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order",
    CONSTRAINT attribution_revision_counts CHECK (revision >= 1),
    CONSTRAINT attribution_outcome_known CHECK (outcome IN ('CONVERSATION', 'NO_CHATROOM',
        'NO_QUALIFYING_CHATROOM', 'SELF_PURCHASE', 'BUYER_UNKNOWN', 'BUYER_AMBIGUOUS', 'BUYER_ERASED')),
    CONSTRAINT attribution_buyer_whole CHECK ((buyer_key IS NULL) = (buyer_account_id IS NULL)
        AND (buyer_key IS NULL) = (person_account_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE credit (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    member_id BLOB NOT NULL,
    chatroom_id BLOB NOT NULL,
    link_id BLOB,
    share_ppm INTEGER NOT NULL,
    target_minor_units INTEGER NOT NULL,
    PRIMARY KEY (brand_id, order_id, member_id),
    CONSTRAINT credit_of_attribution FOREIGN KEY (brand_id, order_id) REFERENCES attribution,
    CONSTRAINT credit_share CHECK (share_ppm BETWEEN 1 AND 1000000),
    CONSTRAINT credit_target CHECK (target_minor_units >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_entry (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    member_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    ledger_entry_id BLOB NOT NULL,
    currency_code TEXT NOT NULL,
    minor_units INTEGER NOT NULL,
    target_minor_units INTEGER NOT NULL,
    attribution_revision INTEGER NOT NULL,
    policy_revision INTEGER NOT NULL,
    book_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, order_id, member_id, number),
    CONSTRAINT ledger_entry_id_unique UNIQUE (brand_id, ledger_entry_id),
    CONSTRAINT ledger_entry_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order",
    CONSTRAINT ledger_entry_number_counts CHECK (number >= 1),
    CONSTRAINT ledger_entry_not_zero CHECK (minor_units <> 0),
    CONSTRAINT ledger_entry_target CHECK (target_minor_units >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_entry_by_member ON ledger_entry (brand_id, member_id, book_time, ledger_entry_id);
CREATE INDEX ledger_entry_by_time ON ledger_entry (brand_id, book_time, ledger_entry_id);

CREATE TRIGGER ledger_entry_never_updated BEFORE UPDATE ON ledger_entry
BEGIN SELECT raise(ABORT, 'ledger entries are never changed or removed'); END;
CREATE TRIGGER ledger_entry_never_deleted BEFORE DELETE ON ledger_entry
BEGIN SELECT raise(ABORT, 'ledger entries are never changed or removed'); END;

CREATE TABLE awaited_sign_in (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    link_revision INTEGER NOT NULL,
    PRIMARY KEY (brand_id, order_id),
    CONSTRAINT awaited_sign_in_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order"
) STRICT, WITHOUT ROWID;
CREATE INDEX awaited_sign_in_by_account ON awaited_sign_in (brand_id, account_id);

-- Numbers are never used twice (AUTOINCREMENT), so that a mark that was read and deleted cannot be
-- mistaken for a later one; that is why the key does not begin with the Brand here.
CREATE TABLE dirty_mark (
    brand_id TEXT NOT NULL,
    mark_number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    from_time INTEGER,
    UNIQUE (brand_id, mark_number),
    CONSTRAINT dirty_mark_kind_known CHECK (subject_kind IN ('ORDER', 'ACCOUNT', 'CUSTOMER', 'CART'))
) STRICT;
CREATE INDEX dirty_mark_by_subject ON dirty_mark (brand_id, subject_kind, subject);
