-- Who is who. Every key begins with the Brand, but for signing_key, which is the installation's.

CREATE TABLE brand (
    brand_id text NOT NULL,
    display_name text NOT NULL,
    state text NOT NULL,
    merge_policy_revision bigint NOT NULL,
    nonce_required boolean NOT NULL,
    token_algorithms text NOT NULL,
    issuer text NOT NULL,
    audiences text NOT NULL,
    customer_id_claim text NOT NULL,
    widget_policy_version text NOT NULL,
    temporary_account_ttl_seconds bigint NOT NULL,
    attribution_window_limit_seconds bigint NOT NULL,
    client_session_ttl_seconds bigint NOT NULL,
    time_zone text NOT NULL,
    revision bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id),
    CONSTRAINT brand_state_known CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    CONSTRAINT brand_revision_counts CHECK (revision >= 1 AND merge_policy_revision >= 1),
    CONSTRAINT brand_ttl_covers_window CHECK (temporary_account_ttl_seconds >= attribution_window_limit_seconds),
    CONSTRAINT brand_ttl_positive CHECK (attribution_window_limit_seconds > 0 AND client_session_ttl_seconds > 0)
);
COMMENT ON TABLE brand IS 'The shops, and tenants.';
COMMENT ON COLUMN brand.brand_id IS 'The slug. Never changes.';
COMMENT ON COLUMN brand.display_name IS 'The name for people.';
COMMENT ON COLUMN brand.state IS 'ACTIVE or SUSPENDED.';
COMMENT ON COLUMN brand.merge_policy_revision IS 'The merge policy in force; only grows.';
COMMENT ON COLUMN brand.nonce_required IS 'Whether an assertion must carry the nonce of the temporary session that it merges.';
COMMENT ON COLUMN brand.token_algorithms IS 'The algorithms that an ID token may be signed with, as a JSON array of names.';
COMMENT ON COLUMN brand.issuer IS 'The exact iss of an ID token; empty where none is taken.';
COMMENT ON COLUMN brand.audiences IS 'The aud values of which an ID token must carry one, as a JSON array.';
COMMENT ON COLUMN brand.customer_id_claim IS 'The claim of an ID token that holds the customer id.';
COMMENT ON COLUMN brand.widget_policy_version IS 'The widget policy that visitors accept; empty where any will do.';
COMMENT ON COLUMN brand.temporary_account_ttl_seconds IS 'After how many seconds without use a temporary account is erased.';
COMMENT ON COLUMN brand.attribution_window_limit_seconds IS 'The longest attribution window, in seconds; only grows.';
COMMENT ON COLUMN brand.client_session_ttl_seconds IS 'How many seconds a client''s session lives after its last refresh.';
COMMENT ON COLUMN brand.time_zone IS 'The IANA name of the time zone of dates without a time.';
COMMENT ON COLUMN brand.revision IS 'Counts the changes, keys and policies included, from 1.';
COMMENT ON COLUMN brand.create_time IS 'When it was made. Never changes.';
COMMENT ON COLUMN brand.update_time IS 'When it was last changed.';

CREATE TABLE merge_policy (
    brand_id text NOT NULL REFERENCES brand,
    revision bigint NOT NULL,
    on_new_client text NOT NULL,
    on_existing_client text NOT NULL,
    actor_caller text NOT NULL,
    actor_id text NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, revision),
    CONSTRAINT merge_policy_new_client_known
        CHECK (on_new_client IN ('UPGRADE_UNLESS_EMAIL_DIFFERS', 'UPGRADE', 'LINK')),
    CONSTRAINT merge_policy_existing_client_known
        CHECK (on_existing_client IN ('ABANDON', 'LINK_FOR_TRACKING', 'LINK_WITH_HISTORY'))
);
COMMENT ON TABLE merge_policy IS 'The merge policies that a Brand has had (SPEC 6); append-only.';
COMMENT ON COLUMN merge_policy.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN merge_policy.revision IS 'Counts the policies of the Brand, from 1. Never changes.';
COMMENT ON COLUMN merge_policy.on_new_client IS 'The first axis. Never changes.';
COMMENT ON COLUMN merge_policy.on_existing_client IS 'The second axis. Never changes.';
COMMENT ON COLUMN merge_policy.actor_caller IS 'What kind of caller set it. Never changes.';
COMMENT ON COLUMN merge_policy.actor_id IS 'Which one, where it has an id. Never changes.';
COMMENT ON COLUMN merge_policy.create_time IS 'When it was set. Never changes.';

CREATE TABLE assertion_key (
    brand_id text NOT NULL REFERENCES brand,
    assertion_key_id uuid NOT NULL,
    kind text NOT NULL,
    sealed_secret bytea,
    key_set text,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    revoke_time timestamptz,
    PRIMARY KEY (brand_id, assertion_key_id),
    CONSTRAINT assertion_key_holds_its_kind CHECK (
        (kind = 'HMAC_SECRET' AND sealed_secret IS NOT NULL AND key_set IS NULL)
        OR (kind = 'JWK_SET' AND sealed_secret IS NULL AND key_set IS NOT NULL)
    )
);
COMMENT ON TABLE assertion_key IS 'The keys with which a Brand proves who its visitors are (SPEC 4).';
COMMENT ON COLUMN assertion_key.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN assertion_key.assertion_key_id IS 'The key. Never changes.';
COMMENT ON COLUMN assertion_key.kind IS 'HMAC_SECRET or JWK_SET. Never changes.';
COMMENT ON COLUMN assertion_key.sealed_secret IS 'The secret, sealed for the place brand/key under the installation''s encryption key. Never changes.';
COMMENT ON COLUMN assertion_key.key_set IS 'The public keys that can be used, as a JWK set. Never changes.';
COMMENT ON COLUMN assertion_key.create_time IS 'When it was made. Never changes.';
COMMENT ON COLUMN assertion_key.expire_time IS 'From when on it proves nothing; absent where that is left to revocation. Never changes.';
COMMENT ON COLUMN assertion_key.revoke_time IS 'When it was revoked; absent while it is in force.';

CREATE TABLE api_key (
    brand_id text NOT NULL REFERENCES brand,
    api_key_id uuid NOT NULL,
    display_name text NOT NULL,
    scopes text NOT NULL,
    secret_digest bytea NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    revoke_time timestamptz,
    PRIMARY KEY (brand_id, api_key_id),
    CONSTRAINT api_key_secret_unique UNIQUE (brand_id, secret_digest)
);
COMMENT ON TABLE api_key IS 'The keys with which a Brand''s programs get their service tokens.';
COMMENT ON COLUMN api_key.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN api_key.api_key_id IS 'The key. Never changes.';
COMMENT ON COLUMN api_key.display_name IS 'The name for people. Never changes.';
COMMENT ON COLUMN api_key.scopes IS 'What its tokens may do, as a JSON array of names. Never changes.';
COMMENT ON COLUMN api_key.secret_digest IS 'SHA-256 of the secret. Never changes.';
COMMENT ON COLUMN api_key.create_time IS 'When it was made. Never changes.';
COMMENT ON COLUMN api_key.expire_time IS 'From when on it gives no token; absent where that is left to revocation. Never changes.';
COMMENT ON COLUMN api_key.revoke_time IS 'When it was revoked; absent while it is in force.';

CREATE TABLE account (
    brand_id text NOT NULL REFERENCES brand,
    account_id uuid NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    customer_id text,
    username text,
    email text,
    email_provenance text,
    given_name text,
    family_name text,
    locale text,
    picture_uri text,
    nonce_digest bytea,
    link_revision bigint NOT NULL,
    session_epoch bigint NOT NULL,
    session_revocations bigint NOT NULL,
    revision bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    upgrade_time timestamptz,
    expire_time timestamptz,
    PRIMARY KEY (brand_id, account_id),
    CONSTRAINT account_state_known CHECK (state IN ('ACTIVE', 'SETTLED', 'ERASED')),
    CONSTRAINT account_kind_fits CHECK (
        (kind = 'TEMPORARY' AND customer_id IS NULL AND upgrade_time IS NULL AND link_revision = 0)
        OR (kind = 'CLIENT' AND state <> 'SETTLED' AND (customer_id IS NOT NULL OR state = 'ERASED')
            AND expire_time IS NULL AND link_revision >= 1)
    ),
    CONSTRAINT account_email_has_provenance CHECK (
        (email IS NULL AND email_provenance IS NULL)
        OR (email IS NOT NULL AND email_provenance IN ('TYPED', 'ATTESTED'))
    ),
    CONSTRAINT account_revision_counts CHECK (revision >= 1 AND session_epoch >= 0 AND session_revocations >= 0)
);
-- One client account per customer (SPEC 4, 13); an erased one makes room for a new one (SPEC 55).
CREATE UNIQUE INDEX account_by_customer ON account (brand_id, customer_id) WHERE state <> 'ERASED';
COMMENT ON TABLE account IS 'The accounts of visitors, temporary and client.';
COMMENT ON COLUMN account.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN account.account_id IS 'The account; an upgrade keeps it. Never changes.';
COMMENT ON COLUMN account.kind IS 'TEMPORARY or CLIENT; changes once, by an upgrade.';
COMMENT ON COLUMN account.state IS 'ACTIVE; SETTLED for a temporary account that a sign-in has linked, separated or abandoned; ERASED.';
COMMENT ON COLUMN account.customer_id IS 'The customer''s id at the Brand; absent for a temporary account.';
COMMENT ON COLUMN account.username IS 'How the visitor calls himself; personal. Absent for a client who was never a temporary.';
COMMENT ON COLUMN account.email IS 'The e-mail as it was spelled; personal.';
COMMENT ON COLUMN account.email_provenance IS 'TYPED or ATTESTED: who stands for the e-mail.';
COMMENT ON COLUMN account.given_name IS 'The Brand''s word for the given name; personal.';
COMMENT ON COLUMN account.family_name IS 'The Brand''s word for the family name; personal.';
COMMENT ON COLUMN account.locale IS 'The Brand''s word for the language.';
COMMENT ON COLUMN account.picture_uri IS 'The Brand''s word for the address of a picture; personal.';
COMMENT ON COLUMN account.nonce_digest IS 'SHA-256 of the nonce that an assertion shows to merge this temporary account. Never changes.';
COMMENT ON COLUMN account.link_revision IS 'A client''s link revision, from 1; 0 for a temporary account.';
COMMENT ON COLUMN account.session_epoch IS 'Tokens of a smaller epoch are refused; only grows.';
COMMENT ON COLUMN account.session_revocations IS 'Counts the revocations of the account''s sessions.';
COMMENT ON COLUMN account.revision IS 'Counts the changes, from 1.';
COMMENT ON COLUMN account.create_time IS 'When it was made. Never changes.';
COMMENT ON COLUMN account.update_time IS 'When it was last changed.';
COMMENT ON COLUMN account.upgrade_time IS 'When the temporary account became a client account; absent where it never did.';
COMMENT ON COLUMN account.expire_time IS 'When an unused temporary account is to be erased, unless it has an active link; absent for a client.';

CREATE TABLE account_email (
    brand_id text NOT NULL,
    account_id uuid NOT NULL,
    number bigint NOT NULL,
    digest bytea NOT NULL,
    provenance text NOT NULL,
    from_time timestamptz NOT NULL,
    until_time timestamptz,
    PRIMARY KEY (brand_id, account_id, number),
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    CONSTRAINT account_email_provenance_known CHECK (provenance IN ('TYPED', 'ATTESTED')),
    CONSTRAINT account_email_is_a_span CHECK (until_time IS NULL OR until_time >= from_time)
);
COMMENT ON TABLE account_email IS 'The e-mails that an account has or had, as digests, for events.';
COMMENT ON COLUMN account_email.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN account_email.account_id IS 'The account. Never changes.';
COMMENT ON COLUMN account_email.number IS 'Counts the e-mails of the account, from 1. Never changes.';
COMMENT ON COLUMN account_email.digest IS 'HMAC-SHA-256 of the normalised address under the Brand''s digest key. Never changes.';
COMMENT ON COLUMN account_email.provenance IS 'TYPED or ATTESTED. Never changes.';
COMMENT ON COLUMN account_email.from_time IS 'From when the account had it. Never changes.';
COMMENT ON COLUMN account_email.until_time IS 'Until when; absent for the current one.';

CREATE TABLE member (
    brand_id text NOT NULL REFERENCES brand,
    member_id uuid NOT NULL,
    display_name text NOT NULL,
    state text NOT NULL,
    session_epoch bigint NOT NULL,
    session_revocations bigint NOT NULL,
    revision bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    deactivate_time timestamptz,
    PRIMARY KEY (brand_id, member_id),
    CONSTRAINT member_state_known CHECK (
        (state = 'ACTIVE' AND deactivate_time IS NULL)
        OR (state = 'DEACTIVATED' AND deactivate_time IS NOT NULL)
    )
);
COMMENT ON TABLE member IS 'The persons who answer visitors.';
COMMENT ON COLUMN member.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN member.member_id IS 'The Member. Never changes.';
COMMENT ON COLUMN member.display_name IS 'His name for visitors; personal.';
COMMENT ON COLUMN member.state IS 'ACTIVE or DEACTIVATED.';
COMMENT ON COLUMN member.session_epoch IS 'Tokens of a smaller epoch are refused; only grows.';
COMMENT ON COLUMN member.session_revocations IS 'Counts the revocations of his sessions.';
COMMENT ON COLUMN member.revision IS 'Counts the changes, from 1.';
COMMENT ON COLUMN member.create_time IS 'When he was made. Never changes.';
COMMENT ON COLUMN member.update_time IS 'When he was last changed.';
COMMENT ON COLUMN member.deactivate_time IS 'When he was deactivated; absent while he is active.';

CREATE TABLE member_customer (
    brand_id text NOT NULL,
    member_id uuid NOT NULL,
    customer_id text NOT NULL,
    from_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, member_id, customer_id),
    FOREIGN KEY (brand_id, member_id) REFERENCES member
);
COMMENT ON TABLE member_customer IS 'The customer ids by which a Member himself buys (SPEC 41); append-only.';
COMMENT ON COLUMN member_customer.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN member_customer.member_id IS 'The Member. Never changes.';
COMMENT ON COLUMN member_customer.customer_id IS 'A customer id of his own. Never changes.';
COMMENT ON COLUMN member_customer.from_time IS 'From when on it is his. Never changes.';

CREATE TABLE session (
    brand_id text NOT NULL REFERENCES brand,
    session_id uuid NOT NULL,
    kind text NOT NULL,
    account_id uuid,
    member_id uuid,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    end_kind text,
    end_time timestamptz,
    PRIMARY KEY (brand_id, session_id),
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    FOREIGN KEY (brand_id, member_id) REFERENCES member,
    CONSTRAINT session_has_one_owner CHECK (
        (kind IN ('TEMPORARY', 'CLIENT') AND account_id IS NOT NULL AND member_id IS NULL)
        OR (kind = 'MEMBER' AND account_id IS NULL AND member_id IS NOT NULL)
    ),
    CONSTRAINT session_end_known CHECK (
        (end_kind IS NULL AND end_time IS NULL)
        OR (end_kind IN ('ENDED', 'MERGED', 'REVOKED') AND end_time IS NOT NULL)
    )
);
CREATE INDEX session_by_account ON session (brand_id, account_id);
CREATE INDEX session_by_member ON session (brand_id, member_id);
COMMENT ON TABLE session IS 'The sessions of visitors and Members.';
COMMENT ON COLUMN session.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN session.session_id IS 'The session. Never changes.';
COMMENT ON COLUMN session.kind IS 'TEMPORARY, CLIENT or MEMBER: what its owner was when it was opened. Never changes.';
COMMENT ON COLUMN session.account_id IS 'The visitor''s account; absent for a Member. Never changes.';
COMMENT ON COLUMN session.member_id IS 'The Member; absent for a visitor. Never changes.';
COMMENT ON COLUMN session.create_time IS 'When it was opened. Never changes.';
COMMENT ON COLUMN session.expire_time IS 'From when on it is expired; each refresh moves it.';
COMMENT ON COLUMN session.end_kind IS 'ENDED by its owner, MERGED by the sign-in that settled its account, REVOKED otherwise; absent while it is open.';
COMMENT ON COLUMN session.end_time IS 'When it ended; absent while it is open.';

CREATE TABLE session_token (
    brand_id text NOT NULL,
    token_digest bytea NOT NULL,
    session_id uuid NOT NULL,
    previous_digest bytea,
    create_time timestamptz NOT NULL,
    spend_time timestamptz,
    spend_request_id uuid,
    PRIMARY KEY (brand_id, token_digest),
    FOREIGN KEY (brand_id, session_id) REFERENCES session,
    CONSTRAINT session_token_spent_by_a_request CHECK ((spend_time IS NULL) = (spend_request_id IS NULL))
);
-- A session has one token that is good; the spent ones tell a retry from a theft.
CREATE UNIQUE INDEX session_token_unspent ON session_token (brand_id, session_id) WHERE spend_time IS NULL;
COMMENT ON TABLE session_token IS 'The opaque tokens that stand for sessions, as digests.';
COMMENT ON COLUMN session_token.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN session_token.token_digest IS 'SHA-256 of the token. Never changes.';
COMMENT ON COLUMN session_token.session_id IS 'The session. Never changes.';
COMMENT ON COLUMN session_token.previous_digest IS 'The token that was exchanged for this one; absent for a session''s first. Never changes.';
COMMENT ON COLUMN session_token.create_time IS 'When it was given. Never changes.';
COMMENT ON COLUMN session_token.spend_time IS 'When it was exchanged for the next one; absent for the newest.';
COMMENT ON COLUMN session_token.spend_request_id IS 'The request that exchanged it; absent for the newest.';

CREATE TABLE link (
    brand_id text NOT NULL,
    link_id uuid NOT NULL,
    client_account_id uuid NOT NULL,
    temporary_account_id uuid NOT NULL,
    scope text NOT NULL,
    policy_revision bigint NOT NULL,
    revision bigint NOT NULL,
    link_revision bigint NOT NULL,
    link_time timestamptz NOT NULL,
    revoke_time timestamptz,
    revoke_reason text,
    PRIMARY KEY (brand_id, link_id),
    FOREIGN KEY (brand_id, client_account_id) REFERENCES account,
    FOREIGN KEY (brand_id, temporary_account_id) REFERENCES account,
    FOREIGN KEY (brand_id, policy_revision) REFERENCES merge_policy,
    CONSTRAINT link_scope_known CHECK (scope IN ('TRACKING', 'HISTORY')),
    CONSTRAINT link_joins_two CHECK (client_account_id <> temporary_account_id),
    CONSTRAINT link_revision_tells_state CHECK (
        (revision = 1 AND revoke_time IS NULL AND revoke_reason IS NULL)
        OR (revision = 2 AND revoke_time IS NOT NULL AND revoke_reason IS NOT NULL)
    )
);
-- A temporary account has at most one active link (SPEC 10).
CREATE UNIQUE INDEX link_active_by_temporary ON link (brand_id, temporary_account_id) WHERE revoke_time IS NULL;
CREATE INDEX link_by_temporary ON link (brand_id, temporary_account_id);
CREATE INDEX link_by_client ON link (brand_id, client_account_id);
COMMENT ON TABLE link IS 'The links, revoked ones included.';
COMMENT ON COLUMN link.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN link.link_id IS 'The link. Never changes.';
COMMENT ON COLUMN link.client_account_id IS 'The client account. Never changes.';
COMMENT ON COLUMN link.temporary_account_id IS 'The temporary account. Never changes.';
COMMENT ON COLUMN link.scope IS 'TRACKING or HISTORY. Never changes.';
COMMENT ON COLUMN link.policy_revision IS 'The merge policy under which it was made. Never changes.';
COMMENT ON COLUMN link.revision IS '1 when made, 2 when revoked.';
COMMENT ON COLUMN link.link_revision IS 'The client''s link revision after the last change of this link.';
COMMENT ON COLUMN link.link_time IS 'When it was made: the time of the sign-in. Never changes.';
COMMENT ON COLUMN link.revoke_time IS 'When it was revoked; absent while it is active.';
COMMENT ON COLUMN link.revoke_reason IS 'Why, as the caller wrote it; absent while it is active.';

CREATE TABLE settlement (
    brand_id text NOT NULL,
    temporary_account_id uuid NOT NULL,
    outcome text NOT NULL,
    merge_case text NOT NULL,
    client_account_id uuid NOT NULL,
    link_id uuid,
    policy_revision bigint NOT NULL,
    settle_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, temporary_account_id),
    FOREIGN KEY (brand_id, temporary_account_id) REFERENCES account,
    FOREIGN KEY (brand_id, client_account_id) REFERENCES account,
    FOREIGN KEY (brand_id, link_id) REFERENCES link,
    FOREIGN KEY (brand_id, policy_revision) REFERENCES merge_policy,
    CONSTRAINT settlement_outcome_known CHECK (outcome IN ('UPGRADED', 'LINKED', 'SEPARATED', 'ABANDONED')),
    CONSTRAINT settlement_case_known CHECK (merge_case IN ('CASE_1_OR_2', 'CASE_3')),
    CONSTRAINT settlement_names_its_link CHECK ((outcome = 'LINKED') = (link_id IS NOT NULL)),
    CONSTRAINT settlement_keeps_upgraded_id CHECK ((outcome = 'UPGRADED') = (client_account_id = temporary_account_id))
);
COMMENT ON TABLE settlement IS 'How a sign-in settled a temporary account: once, for good (SPEC 11); append-only.';
COMMENT ON COLUMN settlement.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN settlement.temporary_account_id IS 'The temporary account; its key, so that no second sign-in settles it. Never changes.';
COMMENT ON COLUMN settlement.outcome IS 'UPGRADED, LINKED, SEPARATED or ABANDONED. Never changes.';
COMMENT ON COLUMN settlement.merge_case IS 'CASE_1_OR_2 or CASE_3. Never changes.';
COMMENT ON COLUMN settlement.client_account_id IS 'The client account; after an upgrade the account itself. Never changes.';
COMMENT ON COLUMN settlement.link_id IS 'The link, where one was made. Never changes.';
COMMENT ON COLUMN settlement.policy_revision IS 'The merge policy that decided. Never changes.';
COMMENT ON COLUMN settlement.settle_time IS 'When. Never changes.';

CREATE TABLE sign_in (
    brand_id text NOT NULL,
    session_id uuid NOT NULL,
    account_id uuid NOT NULL,
    outcome text NOT NULL,
    merge_case text NOT NULL,
    policy_revision bigint NOT NULL,
    temporary_account_id uuid,
    link_id uuid,
    email_replaced boolean NOT NULL,
    account_created boolean NOT NULL,
    sign_in_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, session_id),
    FOREIGN KEY (brand_id, session_id) REFERENCES session,
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    FOREIGN KEY (brand_id, policy_revision) REFERENCES merge_policy
);
COMMENT ON TABLE sign_in IS 'What each sign-in was decided to be, and under which policy (SPEC 6, 18); append-only.';
COMMENT ON COLUMN sign_in.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN sign_in.session_id IS 'The session that the sign-in opened. Never changes.';
COMMENT ON COLUMN sign_in.account_id IS 'The client account. Never changes.';
COMMENT ON COLUMN sign_in.outcome IS 'The outcome''s name (SPEC 18). Never changes.';
COMMENT ON COLUMN sign_in.merge_case IS 'The case''s name. Never changes.';
COMMENT ON COLUMN sign_in.policy_revision IS 'The merge policy that it was decided under. Never changes.';
COMMENT ON COLUMN sign_in.temporary_account_id IS 'The temporary account that took part, where it may be told. Never changes.';
COMMENT ON COLUMN sign_in.link_id IS 'The link, made or repeated. Never changes.';
COMMENT ON COLUMN sign_in.email_replaced IS 'Whether the Brand''s e-mail replaced a typed one that differed. Never changes.';
COMMENT ON COLUMN sign_in.account_created IS 'Whether the client account was made. Never changes.';
COMMENT ON COLUMN sign_in.sign_in_time IS 'When. Never changes.';

CREATE TABLE audit_entry (
    brand_id text NOT NULL REFERENCES brand,
    audit_entry_id uuid NOT NULL,
    action text NOT NULL,
    actor_caller text NOT NULL,
    actor_id text NOT NULL,
    subject_id text NOT NULL,
    reason text NOT NULL,
    request_id uuid,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (brand_id, audit_entry_id)
);
COMMENT ON TABLE audit_entry IS 'What somebody will be asked about later (SPEC 60); append-only, and free of anything personal.';
COMMENT ON COLUMN audit_entry.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN audit_entry.audit_entry_id IS 'The entry, a UUIDv7. Never changes.';
COMMENT ON COLUMN audit_entry.action IS 'What was done, a name of AuditAction. Never changes.';
COMMENT ON COLUMN audit_entry.actor_caller IS 'What kind of caller did it. Never changes.';
COMMENT ON COLUMN audit_entry.actor_id IS 'Which one, where it has an id. Never changes.';
COMMENT ON COLUMN audit_entry.subject_id IS 'What it was done to. Never changes.';
COMMENT ON COLUMN audit_entry.reason IS 'Why: one word of ours, such as that of a refusal; never a text of a caller. Never changes.';
COMMENT ON COLUMN audit_entry.request_id IS 'The id of the call, where it has one. Never changes.';
COMMENT ON COLUMN audit_entry.create_time IS 'When. Never changes.';

CREATE TABLE signing_key (
    signing_key_id text NOT NULL,
    sealed_private_key bytea NOT NULL,
    public_key bytea NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (signing_key_id)
);
COMMENT ON TABLE signing_key IS 'The keys that sign access tokens: of the installation, not of a Brand, because a token names its Brand.';
COMMENT ON COLUMN signing_key.signing_key_id IS 'The kid. Never changes.';
COMMENT ON COLUMN signing_key.sealed_private_key IS 'The Ed25519 seed, sealed for the place signing_key/kid. Never changes.';
COMMENT ON COLUMN signing_key.public_key IS 'The Ed25519 public key, 32 bytes. Never changes.';
COMMENT ON COLUMN signing_key.create_time IS 'When it was made; the newest signs. Never changes.';
