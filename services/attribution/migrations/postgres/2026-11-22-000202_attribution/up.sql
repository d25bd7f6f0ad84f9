-- What follows from the facts, and which of it has yet to be looked at again.

CREATE TABLE attribution (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    outcome text NOT NULL,
    buyer_key text,
    buyer_account_id uuid,
    person_account_id uuid,
    policy_revision bigint NOT NULL,
    link_revision bigint NOT NULL,
    is_frozen boolean NOT NULL,
    evaluate_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, order_id),
    CONSTRAINT attribution_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order",
    CONSTRAINT attribution_revision_counts CHECK (revision >= 1),
    CONSTRAINT attribution_outcome_known CHECK (outcome IN ('CONVERSATION', 'NO_CHATROOM',
        'NO_QUALIFYING_CHATROOM', 'SELF_PURCHASE', 'BUYER_UNKNOWN', 'BUYER_AMBIGUOUS', 'BUYER_ERASED')),
    CONSTRAINT attribution_buyer_whole CHECK ((buyer_key IS NULL) = (buyer_account_id IS NULL)
        AND (buyer_key IS NULL) = (person_account_id IS NULL))
);
COMMENT ON TABLE attribution IS 'What each order is credited to by the last evaluation that changed it.';
COMMENT ON COLUMN attribution.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN attribution.order_id IS 'The order. Never changes.';
COMMENT ON COLUMN attribution.revision IS 'Counts the evaluations that changed something, from 1.';
COMMENT ON COLUMN attribution.outcome IS 'What came of it, in the words of domain''s Outcome.';
COMMENT ON COLUMN attribution.buyer_key IS 'The key that found the buyer; absent where none did.';
COMMENT ON COLUMN attribution.buyer_account_id IS 'The account that the key gave; absent where none did.';
COMMENT ON COLUMN attribution.person_account_id IS 'The account that stands for the buyer''s person; absent where there is none.';
COMMENT ON COLUMN attribution.policy_revision IS 'The policy by which it counts; 0 is the built-in one.';
COMMENT ON COLUMN attribution.link_revision IS 'The link revision of the person that was seen; 0 where there is none.';
COMMENT ON COLUMN attribution.is_frozen IS 'Whether an erasure has frozen it (SPEC 55).';
COMMENT ON COLUMN attribution.evaluate_time IS 'When it was last changed.';

CREATE TABLE credit (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    member_id uuid NOT NULL,
    chatroom_id uuid NOT NULL,
    link_id uuid,
    share_ppm integer NOT NULL,
    target_minor_units bigint NOT NULL,
    PRIMARY KEY (brand_id, order_id, member_id),
    CONSTRAINT credit_of_attribution FOREIGN KEY (brand_id, order_id) REFERENCES attribution,
    CONSTRAINT credit_share CHECK (share_ppm BETWEEN 1 AND 1000000),
    CONSTRAINT credit_target CHECK (target_minor_units >= 0)
);
COMMENT ON TABLE credit IS 'Who is credited, by the same evaluation; replaced as a whole.';
COMMENT ON COLUMN credit.brand_id IS 'The Brand.';
COMMENT ON COLUMN credit.order_id IS 'The order.';
COMMENT ON COLUMN credit.member_id IS 'The Member.';
COMMENT ON COLUMN credit.chatroom_id IS 'The chatroom that earned it.';
COMMENT ON COLUMN credit.link_id IS 'The link through which that chatroom is the buyer''s; absent for his own.';
COMMENT ON COLUMN credit.share_ppm IS 'The Member''s part of the net amount, in millionths, rounded down.';
COMMENT ON COLUMN credit.target_minor_units IS 'What he is to have, in minor units of the order''s currency.';

CREATE TABLE ledger_entry (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    member_id uuid NOT NULL,
    number integer NOT NULL,
    ledger_entry_id uuid NOT NULL,
    currency_code text NOT NULL,
    minor_units bigint NOT NULL,
    target_minor_units bigint NOT NULL,
    attribution_revision bigint NOT NULL,
    policy_revision bigint NOT NULL,
    book_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, order_id, member_id, number),
    CONSTRAINT ledger_entry_id_unique UNIQUE (brand_id, ledger_entry_id),
    CONSTRAINT ledger_entry_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order",
    CONSTRAINT ledger_entry_number_counts CHECK (number >= 1),
    CONSTRAINT ledger_entry_not_zero CHECK (minor_units <> 0),
    CONSTRAINT ledger_entry_target CHECK (target_minor_units >= 0)
);
COMMENT ON TABLE ledger_entry IS 'The bookings of credit to, and back from, Members (SPEC 43); append-only.';
COMMENT ON COLUMN ledger_entry.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN ledger_entry.order_id IS 'The order. Never changes.';
COMMENT ON COLUMN ledger_entry.member_id IS 'The Member. Never changes.';
COMMENT ON COLUMN ledger_entry.number IS 'Counts the entries of the order for the Member, from 1. Never changes.';
COMMENT ON COLUMN ledger_entry.ledger_entry_id IS 'The entry. Never changes.';
COMMENT ON COLUMN ledger_entry.currency_code IS 'The order''s currency (ISO 4217). Never changes.';
COMMENT ON COLUMN ledger_entry.minor_units IS 'The target less what was booked before, in minor units. Never changes.';
COMMENT ON COLUMN ledger_entry.target_minor_units IS 'What the entries up to this one sum to, in minor units. Never changes.';
COMMENT ON COLUMN ledger_entry.attribution_revision IS 'The revision of the attribution that it follows from. Never changes.';
COMMENT ON COLUMN ledger_entry.policy_revision IS 'The policy under which it was computed. Never changes.';
COMMENT ON COLUMN ledger_entry.book_time IS 'When it was booked. Never changes.';
CREATE INDEX ledger_entry_by_member ON ledger_entry (brand_id, member_id, book_time, ledger_entry_id);
CREATE INDEX ledger_entry_by_time ON ledger_entry (brand_id, book_time, ledger_entry_id);

CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are never changed or removed';
END
$$;
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

CREATE TABLE awaited_sign_in (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    account_id uuid NOT NULL,
    link_revision bigint NOT NULL,
    PRIMARY KEY (brand_id, order_id),
    CONSTRAINT awaited_sign_in_of_order FOREIGN KEY (brand_id, order_id) REFERENCES "order"
);
COMMENT ON TABLE awaited_sign_in IS 'The orders whose consistency token tells of a sign-in that is not seen yet (SPEC 54).';
COMMENT ON COLUMN awaited_sign_in.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN awaited_sign_in.order_id IS 'The order. Never changes.';
COMMENT ON COLUMN awaited_sign_in.account_id IS 'The client account that signed in. Never changes.';
COMMENT ON COLUMN awaited_sign_in.link_revision IS 'Its link revision at the sign-in. Never changes.';
CREATE INDEX awaited_sign_in_by_account ON awaited_sign_in (brand_id, account_id);

CREATE TABLE dirty_mark (
    brand_id text NOT NULL,
    mark_number bigint GENERATED ALWAYS AS IDENTITY,
    subject_kind text NOT NULL,
    subject text NOT NULL,
    from_time timestamptz,
    PRIMARY KEY (brand_id, mark_number),
    CONSTRAINT dirty_mark_kind_known CHECK (subject_kind IN ('ORDER', 'ACCOUNT', 'CUSTOMER', 'CART'))
);
COMMENT ON TABLE dirty_mark IS 'What a fact has touched and no evaluation has looked at since. A row is written in the transaction of the fact and deleted after an evaluation that has read it.';
COMMENT ON COLUMN dirty_mark.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN dirty_mark.mark_number IS 'Tells marks apart; never used twice. Never changes.';
COMMENT ON COLUMN dirty_mark.subject_kind IS 'What was touched: an order, or what is known of an account, customer or cart. Never changes.';
COMMENT ON COLUMN dirty_mark.subject IS 'Its id. Never changes.';
COMMENT ON COLUMN dirty_mark.from_time IS 'Only orders placed at or after it can be changed by the fact; absent where any can. Never changes.';
CREATE INDEX dirty_mark_by_subject ON dirty_mark (brand_id, subject_kind, subject);
