-- What a service knows of identity: accounts, links and Members, from its events.

CREATE TABLE account (
    brand_id text NOT NULL,
    account_id uuid NOT NULL,
    revision bigint NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    customer_id text,
    create_time timestamptz NOT NULL,
    upgrade_time timestamptz,
    erase_time timestamptz,
    PRIMARY KEY (brand_id, account_id)
);
COMMENT ON TABLE account IS 'What is known of identitys accounts, each in its greatest revision.';
COMMENT ON COLUMN account.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN account.account_id IS 'The account. Never changes.';
COMMENT ON COLUMN account.revision IS 'The revision of what is known below, 0 where only the erasure is; only grows. What an erasure said stays.';
COMMENT ON COLUMN account.kind IS 'The name of a rapport.event.v1.AccountKind.';
COMMENT ON COLUMN account.state IS 'The name of a rapport.event.v1.AccountState.';
COMMENT ON COLUMN account.customer_id IS 'The customer id at the Brand; absent for temporary accounts.';
COMMENT ON COLUMN account.create_time IS 'When the account was made. Never changes.';
COMMENT ON COLUMN account.upgrade_time IS 'When a temporary account became a client account; absent where it never did.';
COMMENT ON COLUMN account.erase_time IS 'When the account was erased; absent while it is not.';

CREATE TABLE account_email (
    brand_id text NOT NULL,
    account_id uuid NOT NULL,
    digest bytea NOT NULL,
    provenance text NOT NULL,
    from_time timestamptz NOT NULL,
    until_time timestamptz,
    PRIMARY KEY (brand_id, account_id, digest, provenance, from_time)
);
COMMENT ON TABLE account_email IS 'The e-mails that an account has or had, as digests.';
COMMENT ON COLUMN account_email.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN account_email.account_id IS 'The account. Never changes.';
COMMENT ON COLUMN account_email.digest IS 'What stands for the e-mail within the Brand. Never changes.';
COMMENT ON COLUMN account_email.provenance IS 'TYPED or ATTESTED. Never changes.';
COMMENT ON COLUMN account_email.from_time IS 'From when the account had it. Never changes.';
COMMENT ON COLUMN account_email.until_time IS 'Until when the account had it; absent for the current one.';

CREATE TABLE link (
    brand_id text NOT NULL,
    link_id uuid NOT NULL,
    revision bigint NOT NULL,
    client_account_id uuid NOT NULL,
    temporary_account_id uuid NOT NULL,
    scope text NOT NULL,
    link_time timestamptz NOT NULL,
    revoke_time timestamptz,
    PRIMARY KEY (brand_id, link_id)
);
COMMENT ON TABLE link IS 'What is known of links, each in its greatest revision.';
COMMENT ON COLUMN link.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN link.link_id IS 'The link. Never changes.';
COMMENT ON COLUMN link.revision IS '1 when made, 2 when revoked; only grows.';
COMMENT ON COLUMN link.client_account_id IS 'The client account. Never changes.';
COMMENT ON COLUMN link.temporary_account_id IS 'The temporary account. Never changes.';
COMMENT ON COLUMN link.scope IS 'TRACKING or HISTORY. Never changes.';
COMMENT ON COLUMN link.link_time IS 'When the link was made. Never changes.';
COMMENT ON COLUMN link.revoke_time IS 'When it was revoked; absent while it is active.';

CREATE TABLE person (
    brand_id text NOT NULL,
    client_account_id uuid NOT NULL,
    link_revision bigint NOT NULL,
    PRIMARY KEY (brand_id, client_account_id)
);
COMMENT ON TABLE person IS 'How far a client account''s links are known (SPEC 54).';
COMMENT ON COLUMN person.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN person.client_account_id IS 'The client account. Never changes.';
COMMENT ON COLUMN person.link_revision IS 'The greatest link revision that was told; only grows.';

CREATE TABLE member (
    brand_id text NOT NULL,
    member_id uuid NOT NULL,
    revision bigint NOT NULL,
    state text NOT NULL,
    PRIMARY KEY (brand_id, member_id)
);
COMMENT ON TABLE member IS 'What is known of Members, each in its greatest revision.';
COMMENT ON COLUMN member.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN member.member_id IS 'The Member. Never changes.';
COMMENT ON COLUMN member.revision IS 'The revision of the state below; only grows.';
COMMENT ON COLUMN member.state IS 'The name of a rapport.event.v1.MemberState.';

CREATE TABLE member_customer (
    brand_id text NOT NULL,
    member_id uuid NOT NULL,
    customer_id text NOT NULL,
    from_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, member_id, customer_id)
);
COMMENT ON TABLE member_customer IS 'The customer ids by which a Member himself buys.';
COMMENT ON COLUMN member_customer.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN member_customer.member_id IS 'The Member. Never changes.';
COMMENT ON COLUMN member_customer.customer_id IS 'A customer id of his own at the Brand (SPEC 41). Never changes.';
COMMENT ON COLUMN member_customer.from_time IS 'From when it is his. Never changes.';

CREATE INDEX account_by_customer ON account (brand_id, customer_id);
CREATE INDEX account_email_by_digest ON account_email (brand_id, digest);
CREATE INDEX link_by_client ON link (brand_id, client_account_id);
CREATE INDEX link_by_temporary ON link (brand_id, temporary_account_id);
CREATE INDEX member_customer_by_customer ON member_customer (brand_id, customer_id);
