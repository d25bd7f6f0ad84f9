-- What happened, as it was told: by the Brand's checkout, and by the events of identity and chat.
-- Nothing in here is a conclusion. What may come before the thing it speaks of has no foreign key:
-- statuses, refunds and checkouts are kept for their order (SPEC 45). What is put in order by a text
-- is so by its bytes (COLLATE "C"), as on SQLite and in domain, whatever the server's locale.

CREATE TABLE brand (
    brand_id text NOT NULL,
    revision bigint NOT NULL,
    window_limit_microseconds bigint,
    PRIMARY KEY (brand_id),
    CONSTRAINT brand_window_limit_positive CHECK (window_limit_microseconds > 0)
);
COMMENT ON TABLE brand IS 'What is known of the Brands, each in its greatest revision.';
COMMENT ON COLUMN brand.brand_id IS 'The slug. Never changes.';
COMMENT ON COLUMN brand.revision IS 'The revision of the state below; only grows.';
COMMENT ON COLUMN brand.window_limit_microseconds IS 'The longest attribution window that a policy may have, in microseconds; absent where the Brand sets none.';

CREATE TABLE chatroom (
    brand_id text NOT NULL,
    chatroom_id uuid NOT NULL,
    account_id uuid NOT NULL,
    member_id uuid NOT NULL,
    PRIMARY KEY (brand_id, chatroom_id)
);
COMMENT ON TABLE chatroom IS 'Who may be credited through which account; from chat''s events.';
COMMENT ON COLUMN chatroom.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN chatroom.chatroom_id IS 'The chatroom. Never changes.';
COMMENT ON COLUMN chatroom.account_id IS 'Its visitor account, to which the evidence belongs. Never changes.';
COMMENT ON COLUMN chatroom.member_id IS 'Its Member. Never changes.';
CREATE INDEX chatroom_by_account ON chatroom (brand_id, account_id);

CREATE TABLE message (
    brand_id text NOT NULL,
    chatroom_id uuid NOT NULL,
    message_id uuid NOT NULL,
    side text NOT NULL,
    kind text NOT NULL,
    origin text NOT NULL,
    is_evidence boolean NOT NULL,
    message_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, chatroom_id, message_id),
    CONSTRAINT message_in_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom,
    CONSTRAINT message_side_known CHECK (side IN ('VISITOR', 'MEMBER', 'SERVICE')),
    CONSTRAINT message_origin_known CHECK (origin IN ('WRITTEN', 'AUTOMATIC', 'PHYGITAL')),
    CONSTRAINT message_service_is_no_evidence CHECK (NOT (is_evidence AND side = 'SERVICE'))
);
COMMENT ON TABLE message IS 'That a message was sent, never what it said (SPEC 53); append-only.';
COMMENT ON COLUMN message.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN message.chatroom_id IS 'The chatroom. Never changes.';
COMMENT ON COLUMN message.message_id IS 'The id that its sender gave it. Never changes.';
COMMENT ON COLUMN message.side IS 'VISITOR, MEMBER or SERVICE. Never changes.';
COMMENT ON COLUMN message.kind IS 'The kind, as SPEC 27 names it. Never changes.';
COMMENT ON COLUMN message.origin IS 'WRITTEN, AUTOMATIC or PHYGITAL. Never changes.';
COMMENT ON COLUMN message.is_evidence IS 'What side, kind and origin make of it (SPEC 39), so that an index holds the evidence alone.';
COMMENT ON COLUMN message.message_time IS 'When it was sent. Never changes.';
-- The summaries of rule 38 are read from this index alone, up to the order's time.
CREATE INDEX message_evidence ON message (brand_id, chatroom_id, side, message_time) WHERE is_evidence;

CREATE TABLE checkout (
    brand_id text NOT NULL,
    cart_id text NOT NULL,
    checkout_time timestamptz NOT NULL,
    account_id uuid NOT NULL,
    PRIMARY KEY (brand_id, cart_id, checkout_time)
);
COMMENT ON TABLE checkout IS 'Who stood at the checkout with which cart (SPEC 36); append-only.';
COMMENT ON COLUMN checkout.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN checkout.cart_id IS 'The cart at the Brand. Never changes.';
COMMENT ON COLUMN checkout.checkout_time IS 'When. Never changes.';
COMMENT ON COLUMN checkout.account_id IS 'The visitor''s account. Never changes.';
CREATE INDEX checkout_by_account ON checkout (brand_id, account_id);

CREATE TABLE "order" (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    order_time timestamptz NOT NULL,
    receive_time timestamptz NOT NULL,
    account_id uuid,
    customer_id text,
    cart_id text,
    email_digest bytea,
    currency_code text NOT NULL,
    total_minor_units bigint NOT NULL,
    shipping_minor_units bigint NOT NULL,
    report_digest bytea NOT NULL,
    PRIMARY KEY (brand_id, order_id),
    CONSTRAINT order_has_buyer CHECK (coalesce(account_id::text, customer_id, cart_id, email_digest::text) IS NOT NULL),
    CONSTRAINT order_email_is_digest CHECK (octet_length(email_digest) = 32),
    CONSTRAINT order_amounts CHECK (shipping_minor_units BETWEEN 0 AND total_minor_units),
    CONSTRAINT order_currency_code CHECK (length(currency_code) = 3)
);
COMMENT ON TABLE "order" IS 'The orders as they were reported; append-only.';
COMMENT ON COLUMN "order".brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN "order".order_id IS 'The order''s id at the Brand. Never changes.';
COMMENT ON COLUMN "order".order_time IS 'When it was placed; the time of its receipt where the Brand gave none. Never changes.';
COMMENT ON COLUMN "order".receive_time IS 'When it was recorded. Never changes.';
COMMENT ON COLUMN "order".account_id IS 'The buyer''s account, where it was reported. Never changes.';
COMMENT ON COLUMN "order".customer_id IS 'The buyer''s id at the Brand, where it was reported. Never changes.';
COMMENT ON COLUMN "order".cart_id IS 'The cart, where it was reported. Never changes.';
COMMENT ON COLUMN "order".email_digest IS 'What stands for the buyer''s e-mail within the Brand, where it was reported. Never changes.';
COMMENT ON COLUMN "order".currency_code IS 'The currency of both amounts (ISO 4217). Never changes.';
COMMENT ON COLUMN "order".total_minor_units IS 'The total with shipping, in minor units. Never changes.';
COMMENT ON COLUMN "order".shipping_minor_units IS 'The shipping in it, in minor units. Never changes.';
COMMENT ON COLUMN "order".report_digest IS 'SHA-256 of the report with the e-mail as its digest: tells the same again from another body (SPEC 35). Never changes.';
-- From a key to the orders that name it. The last column bounds by the time of a fact.
CREATE INDEX order_by_account ON "order" (brand_id, account_id, order_time) WHERE account_id IS NOT NULL;
CREATE INDEX order_by_customer ON "order" (brand_id, customer_id, order_time) WHERE customer_id IS NOT NULL;
CREATE INDEX order_by_cart ON "order" (brand_id, cart_id, order_time) WHERE cart_id IS NOT NULL;
CREATE INDEX order_by_email ON "order" (brand_id, email_digest, order_time) WHERE email_digest IS NOT NULL;
CREATE INDEX order_by_time ON "order" (brand_id, order_time, order_id);

CREATE TABLE order_status (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    status_time timestamptz NOT NULL,
    label text COLLATE "C" NOT NULL,
    receive_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, order_id, status_time, label),
    CONSTRAINT order_status_label_length CHECK (length(label) BETWEEN 1 AND 200)
);
COMMENT ON TABLE order_status IS 'What became of orders (SPEC 45); append-only. May precede its order.';
COMMENT ON COLUMN order_status.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN order_status.order_id IS 'The order''s id at the Brand. Never changes.';
COMMENT ON COLUMN order_status.status_time IS 'From when on it holds. Never changes.';
COMMENT ON COLUMN order_status.label IS 'The Brand''s word for it. Never changes.';
COMMENT ON COLUMN order_status.receive_time IS 'When it was recorded. Never changes.';

CREATE TABLE refund (
    brand_id text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    refund_id text COLLATE "C" NOT NULL,
    currency_code text NOT NULL,
    minor_units bigint NOT NULL,
    refund_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, order_id, refund_id),
    CONSTRAINT refund_not_negative CHECK (minor_units >= 0),
    CONSTRAINT refund_currency_code CHECK (length(currency_code) = 3)
);
COMMENT ON TABLE refund IS 'What was given back (SPEC 45); append-only. May precede its order.';
COMMENT ON COLUMN refund.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN refund.order_id IS 'The order''s id at the Brand. Never changes.';
COMMENT ON COLUMN refund.refund_id IS 'The refund''s id at the Brand, unique in its order. Never changes.';
COMMENT ON COLUMN refund.currency_code IS 'The currency (ISO 4217); counts only where it is the order''s. Never changes.';
COMMENT ON COLUMN refund.minor_units IS 'How much, in minor units. Never changes.';
COMMENT ON COLUMN refund.refund_time IS 'When. Never changes.';

CREATE TABLE attribution_policy (
    brand_id text NOT NULL,
    revision bigint NOT NULL,
    effective_time timestamptz NOT NULL,
    model text NOT NULL,
    window_microseconds bigint NOT NULL,
    clock_tolerance_microseconds bigint NOT NULL,
    commission_rate_ppm integer NOT NULL,
    retroactive_links boolean NOT NULL,
    typed_email_allowed boolean NOT NULL,
    create_time timestamptz NOT NULL,
    service_id text NOT NULL,
    PRIMARY KEY (brand_id, revision),
    CONSTRAINT attribution_policy_revision_counts CHECK (revision >= 1),
    CONSTRAINT attribution_policy_model_known CHECK (model IN ('LAST_TOUCH', 'FIRST_TOUCH', 'EVEN_SPLIT')),
    CONSTRAINT attribution_policy_spans CHECK (window_microseconds > 0 AND clock_tolerance_microseconds >= 0),
    CONSTRAINT attribution_policy_rate CHECK (commission_rate_ppm BETWEEN 0 AND 1000000)
);
COMMENT ON TABLE attribution_policy IS 'The attribution policies that a Brand has had (SPEC 44); append-only.';
COMMENT ON COLUMN attribution_policy.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN attribution_policy.revision IS 'Counts the Brand''s policies, from 1. Never changes.';
COMMENT ON COLUMN attribution_policy.effective_time IS 'Orders placed at or after it count by the policy. Never changes.';
COMMENT ON COLUMN attribution_policy.model IS 'LAST_TOUCH, FIRST_TOUCH or EVEN_SPLIT. Never changes.';
COMMENT ON COLUMN attribution_policy.window_microseconds IS 'How old the last evidence may be, in microseconds. Never changes.';
COMMENT ON COLUMN attribution_policy.clock_tolerance_microseconds IS 'By how much the Brand''s clock may be behind, in microseconds. Never changes.';
COMMENT ON COLUMN attribution_policy.commission_rate_ppm IS 'What part of his share a Member earns, in millionths. Never changes.';
COMMENT ON COLUMN attribution_policy.retroactive_links IS 'Whether links and upgrades serve orders placed before them. Never changes.';
COMMENT ON COLUMN attribution_policy.typed_email_allowed IS 'Whether a typed e-mail finds a buyer. Never changes.';
COMMENT ON COLUMN attribution_policy.create_time IS 'When it was set. Never changes.';
COMMENT ON COLUMN attribution_policy.service_id IS 'Who set it. Never changes.';
CREATE INDEX attribution_policy_in_force ON attribution_policy (brand_id, effective_time, revision);
