-- The tables that every service of the suite has: its event log, its place in the logs of others,
-- the answers it has given to repeatable calls, and the sessions it must no longer trust.

CREATE TABLE event_log (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    row_number bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    brand_id text NOT NULL,
    create_time timestamptz NOT NULL,
    event bytea NOT NULL,
    PRIMARY KEY (transaction_id, row_number)
);
COMMENT ON TABLE event_log IS 'What happened, in commit order; append-only. Its key begins with the transaction and not with the Brand, because it is read across Brands.';
COMMENT ON COLUMN event_log.transaction_id IS 'The transaction that wrote the row; rows are read only below the oldest one still running (SPEC 50). Never changes.';
COMMENT ON COLUMN event_log.row_number IS 'Orders the rows of one transaction. Never changes.';
COMMENT ON COLUMN event_log.event_id IS 'The id that the event carries. Never changes.';
COMMENT ON COLUMN event_log.brand_id IS 'The Brand that the event belongs to. Never changes.';
COMMENT ON COLUMN event_log.create_time IS 'When the event was made, by the service''s clock. Never changes.';
COMMENT ON COLUMN event_log.event IS 'The event, an encoded rapport.event.v1.Event. Never changes.';

CREATE TABLE event_cursor (
    source text PRIMARY KEY,
    position text NOT NULL,
    update_time timestamptz NOT NULL
);
COMMENT ON TABLE event_cursor IS 'Where to resume reading the log of another service; moves in the transaction of the effects.';
COMMENT ON COLUMN event_cursor.source IS 'The service whose log is read. Never changes.';
COMMENT ON COLUMN event_cursor.position IS 'The position after the last event that was applied.';
COMMENT ON COLUMN event_cursor.update_time IS 'When the cursor last moved.';

CREATE TABLE request (
    brand_id text NOT NULL,
    principal text NOT NULL,
    method text NOT NULL,
    request_id uuid NOT NULL,
    body_digest bytea NOT NULL,
    response bytea NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, principal, method, request_id)
);
COMMENT ON TABLE request IS 'The repeatable calls that were carried out, so that a repeated one has the same effect (SPEC 61).';
COMMENT ON COLUMN request.brand_id IS 'The Brand of the call. Never changes.';
COMMENT ON COLUMN request.principal IS 'Who called, as kind and id. Never changes.';
COMMENT ON COLUMN request.method IS 'The RPC method. Never changes.';
COMMENT ON COLUMN request.request_id IS 'The id that the caller chose. Never changes.';
COMMENT ON COLUMN request.body_digest IS 'HMAC-SHA-256 of the request under a key of the installation; another body under the same id is refused. Never changes.';
COMMENT ON COLUMN request.response IS 'What the repeated call needs to answer again; never a secret. Never changes.';
COMMENT ON COLUMN request.create_time IS 'When the call was carried out. Never changes.';

CREATE TABLE revocation (
    brand_id text NOT NULL,
    subject_id uuid NOT NULL,
    minimum_epoch bigint NOT NULL,
    revoke_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, subject_id)
);
COMMENT ON TABLE revocation IS 'Whose access tokens are refused although they have not expired (SPEC 59).';
COMMENT ON COLUMN revocation.brand_id IS 'The Brand of the subject. Never changes.';
COMMENT ON COLUMN revocation.subject_id IS 'A session, or the account, Member or API key that tokens name. Never changes.';
COMMENT ON COLUMN revocation.minimum_epoch IS 'Tokens of a smaller epoch are refused; only grows.';
COMMENT ON COLUMN revocation.revoke_time IS 'When identity revoked it last.';
