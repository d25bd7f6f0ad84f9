-- What each column means is said once, in the PostgreSQL migration of the same name; instants are
-- INTEGER microseconds since 1970, ids BLOBs.
--
-- What happened, as it was told: by the Brand's checkout, and by the events of identity and chat.
-- Nothing in here is a conclusion. What may come before the thing it speaks of has no foreign key:
-- statuses, refunds and checkouts are kept for their order (SPEC 45).

CREATE TABLE brand (
    brand_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    window_limit_microseconds INTEGER,
    PRIMARY KEY (brand_id),
    CONSTRAINT brand_window_limit_positive CHECK (window_limit_microseconds > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE chatroom (
    brand_id TEXT NOT NULL,
    chatroom_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    member_id BLOB NOT NULL,
    PRIMARY KEY (brand_id, chatroom_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX chatroom_by_account ON chatroom (brand_id, account_id);

CREATE TABLE message (
    brand_id TEXT NOT NULL,
    chatroom_id BLOB NOT NULL,
    message_id BLOB NOT NULL,
    side TEXT NOT NULL,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    is_evidence INTEGER NOT NULL CHECK (is_evidence IN (0, 1)),
    message_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, chatroom_id, message_id),
    CONSTRAINT message_in_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom,
    CONSTRAINT message_side_known CHECK (side IN ('VISITOR', 'MEMBER', 'SERVICE')),
    CONSTRAINT message_origin_known CHECK (origin IN ('WRITTEN', 'AUTOMATIC', 'PHYGITAL')),
    CONSTRAINT message_service_is_no_evidence CHECK (NOT (is_evidence AND side = 'SERVICE'))
) STRICT, WITHOUT ROWID;
-- The summaries of rule 38 are read from this index alone, up to the order's time.
CREATE INDEX message_evidence ON message (brand_id, chatroom_id, side, message_time) WHERE is_evidence;

CREATE TABLE checkout (
    brand_id TEXT NOT NULL,
    cart_id TEXT NOT NULL,
    checkout_time INTEGER NOT NULL,
    account_id BLOB NOT NULL,
    PRIMARY KEY (brand_id, cart_id, checkout_time)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkout_by_account ON checkout (brand_id, account_id);

CREATE TABLE "order" (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    order_time INTEGER NOT NULL,
    receive_time INTEGER NOT NULL,
    account_id BLOB,
    customer_id TEXT,
    cart_id TEXT,
    email_digest BLOB,
    currency_code TEXT NOT NULL,
    total_minor_units INTEGER NOT NULL,
    shipping_minor_units INTEGER NOT NULL,
    report_digest BLOB NOT NULL,
    PRIMARY KEY (brand_id, order_id),
    CONSTRAINT order_has_buyer CHECK (coalesce(account_id, customer_id, cart_id, email_digest) IS NOT NULL),
    CONSTRAINT order_email_is_digest CHECK (length(email_digest) = 32),
    CONSTRAINT order_amounts CHECK (shipping_minor_units BETWEEN 0 AND total_minor_units),
    CONSTRAINT order_currency_code CHECK (length(currency_code) = 3)
) STRICT, WITHOUT ROWID;
-- From a key to the orders that name it. The last column bounds by the time of a fact.
CREATE INDEX order_by_account ON "order" (brand_id, account_id, order_time) WHERE account_id IS NOT NULL;
CREATE INDEX order_by_customer ON "order" (brand_id, customer_id, order_time) WHERE customer_id IS NOT NULL;
CREATE INDEX order_by_cart ON "order" (brand_id, cart_id, order_time) WHERE cart_id IS NOT NULL;
CREATE INDEX order_by_email ON "order" (brand_id, email_digest, order_time) WHERE email_digest IS NOT NULL;
CREATE INDEX order_by_time ON "order" (brand_id, order_time, order_id);

CREATE TABLE order_status (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    status_time INTEGER NOT NULL,
    label TEXT NOT NULL,
    receive_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, order_id, status_time, label),
    CONSTRAINT order_status_label_length CHECK (length(label) BETWEEN 1 AND 200)
) STRICT, WITHOUT ROWID;

CREATE TABLE refund (
    brand_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    refund_id TEXT NOT NULL,
    currency_code TEXT NOT NULL,
    minor_units INTEGER NOT NULL,
    refund_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, order_id, refund_id),
    CONSTRAINT refund_not_negative CHECK (minor_units >= 0),
    CONSTRAINT refund_currency_code CHECK (length(currency_code) = 3)
) STRICT, WITHOUT ROWID;

CREATE TABLE attribution_policy (
    brand_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    effective_time INTEGER NOT NULL,
    model TEXT NOT NULL,
    window_microseconds INTEGER NOT NULL,
    clock_tolerance_microseconds INTEGER NOT NULL,
    commission_rate_ppm INTEGER NOT NULL,
    retroactive_links INTEGER NOT NULL CHECK (retroactive_links IN (0, 1)),
    typed_email_allowed INTEGER NOT NULL CHECK (typed_email_allowed IN (0, 1)),
    create_time INTEGER NOT NULL,
    service_id TEXT NOT NULL,
    PRIMARY KEY (brand_id, revision),
    CONSTRAINT attribution_policy_revision_counts CHECK (revision >= 1),
    CONSTRAINT attribution_policy_model_known CHECK (model IN ('LAST_TOUCH', 'FIRST_TOUCH', 'EVEN_SPLIT')),
    CONSTRAINT attribution_policy_spans CHECK (window_microseconds > 0 AND clock_tolerance_microseconds >= 0),
    CONSTRAINT attribution_policy_rate CHECK (commission_rate_ppm BETWEEN 0 AND 1000000)
) STRICT, WITHOUT ROWID;
CREATE INDEX attribution_policy_in_force ON attribution_policy (brand_id, effective_time, revision);
