-- Who is who. What each table and column means is said once, in the PostgreSQL migration of the same
-- name; instants are INTEGER microseconds since 1970, ids BLOBs, truth values 0 and 1.

CREATE TABLE brand (
    brand_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,
    merge_policy_revision INTEGER NOT NULL,
    nonce_required INTEGER NOT NULL,
    token_algorithms TEXT NOT NULL,
    issuer TEXT NOT NULL,
    audiences TEXT NOT NULL,
    customer_id_claim TEXT NOT NULL,
    widget_policy_version TEXT NOT NULL,
    temporary_account_ttl_seconds INTEGER NOT NULL,
    attribution_window_limit_seconds INTEGER NOT NULL,
    client_session_ttl_seconds INTEGER NOT NULL,
    time_zone TEXT NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id),
    CONSTRAINT brand_state_known CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    CONSTRAINT brand_revision_counts CHECK (revision >= 1 AND merge_policy_revision >= 1),
    CONSTRAINT brand_ttl_covers_window CHECK (temporary_account_ttl_seconds >= attribution_window_limit_seconds),
    CONSTRAINT brand_ttl_positive CHECK (attribution_window_limit_seconds > 0 AND client_session_ttl_seconds > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE merge_policy (
    brand_id TEXT NOT NULL REFERENCES brand,
    revision INTEGER NOT NULL,
    on_new_client TEXT NOT NULL,
    on_existing_client TEXT NOT NULL,
    actor_caller TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, revision),
    CONSTRAINT merge_policy_new_client_known
        CHECK (on_new_client IN ('UPGRADE_UNLESS_EMAIL_DIFFERS', 'UPGRADE', 'LINK')),
    CONSTRAINT merge_policy_existing_client_known
        CHECK (on_existing_client IN ('ABANDON', 'LINK_FOR_TRACKING', 'LINK_WITH_HISTORY'))
) STRICT, WITHOUT ROWID;

CREATE TABLE assertion_key (
    brand_id TEXT NOT NULL REFERENCES brand,
    assertion_key_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    sealed_secret BLOB,
    key_set TEXT,
    create_time INTEGER NOT NULL,
    expire_time INTEGER,
    revoke_time INTEGER,
    PRIMARY KEY (brand_id, assertion_key_id),
    CONSTRAINT assertion_key_holds_its_kind CHECK (
        (kind = 'HMAC_SECRET' AND sealed_secret IS NOT NULL AND key_set IS NULL)
        OR (kind = 'JWK_SET' AND sealed_secret IS NULL AND key_set IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
    brand_id TEXT NOT NULL REFERENCES brand,
    api_key_id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    secret_digest BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER,
    revoke_time INTEGER,
    PRIMARY KEY (brand_id, api_key_id),
    CONSTRAINT api_key_secret_unique UNIQUE (brand_id, secret_digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    brand_id TEXT NOT NULL REFERENCES brand,
    account_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    customer_id TEXT,
    username TEXT,
    email TEXT,
    email_provenance TEXT,
    given_name TEXT,
    family_name TEXT,
    locale TEXT,
    picture_uri TEXT,
    nonce_digest BLOB,
    link_revision INTEGER NOT NULL,
    session_epoch INTEGER NOT NULL,
    session_revocations INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    upgrade_time INTEGER,
    expire_time INTEGER,
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
) STRICT, WITHOUT ROWID;
-- One client account per customer (SPEC 4, 13); an erased one makes room for a new one (SPEC 55).
CREATE UNIQUE INDEX account_by_customer ON account (brand_id, customer_id) WHERE state <> 'ERASED';

CREATE TABLE account_email (
    brand_id TEXT NOT NULL,
    account_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    digest BLOB NOT NULL,
    provenance TEXT NOT NULL,
    from_time INTEGER NOT NULL,
    until_time INTEGER,
    PRIMARY KEY (brand_id, account_id, number),
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    CONSTRAINT account_email_provenance_known CHECK (provenance IN ('TYPED', 'ATTESTED')),
    CONSTRAINT account_email_is_a_span CHECK (until_time IS NULL OR until_time >= from_time)
) STRICT, WITHOUT ROWID;

CREATE TABLE member (
    brand_id TEXT NOT NULL REFERENCES brand,
    member_id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,
    session_epoch INTEGER NOT NULL,
    session_revocations INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    deactivate_time INTEGER,
    PRIMARY KEY (brand_id, member_id),
    CONSTRAINT member_state_known CHECK (
        (state = 'ACTIVE' AND deactivate_time IS NULL)
        OR (state = 'DEACTIVATED' AND deactivate_time IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;

CREATE TABLE member_customer (
    brand_id TEXT NOT NULL,
    member_id BLOB NOT NULL,
    customer_id TEXT NOT NULL,
    from_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, member_id, customer_id),
    FOREIGN KEY (brand_id, member_id) REFERENCES member
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    brand_id TEXT NOT NULL REFERENCES brand,
    session_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    account_id BLOB,
    member_id BLOB,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    end_kind TEXT,
    end_time INTEGER,
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
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_account ON session (brand_id, account_id);
CREATE INDEX session_by_member ON session (brand_id, member_id);

CREATE TABLE session_token (
    brand_id TEXT NOT NULL,
    token_digest BLOB NOT NULL,
    session_id BLOB NOT NULL,
    previous_digest BLOB,
    create_time INTEGER NOT NULL,
    spend_time INTEGER,
    spend_request_id BLOB,
    PRIMARY KEY (brand_id, token_digest),
    FOREIGN KEY (brand_id, session_id) REFERENCES session,
    CONSTRAINT session_token_spent_by_a_request CHECK ((spend_time IS NULL) = (spend_request_id IS NULL))
) STRICT, WITHOUT ROWID;
-- A session has one token that is good; the spent ones tell a retry from a theft.
CREATE UNIQUE INDEX session_token_unspent ON session_token (brand_id, session_id) WHERE spend_time IS NULL;

CREATE TABLE link (
    brand_id TEXT NOT NULL,
    link_id BLOB NOT NULL,
    client_account_id BLOB NOT NULL,
    temporary_account_id BLOB NOT NULL,
    scope TEXT NOT NULL,
    policy_revision INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    link_revision INTEGER NOT NULL,
    link_time INTEGER NOT NULL,
    revoke_time INTEGER,
    revoke_reason TEXT,
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
) STRICT, WITHOUT ROWID;
-- A temporary account has at most one active link (SPEC 10).
CREATE UNIQUE INDEX link_active_by_temporary ON link (brand_id, temporary_account_id) WHERE revoke_time IS NULL;
CREATE INDEX link_by_temporary ON link (brand_id, temporary_account_id);
CREATE INDEX link_by_client ON link (brand_id, client_account_id);

CREATE TABLE settlement (
    brand_id TEXT NOT NULL,
    temporary_account_id BLOB NOT NULL,
    outcome TEXT NOT NULL,
    merge_case TEXT NOT NULL,
    client_account_id BLOB NOT NULL,
    link_id BLOB,
    policy_revision INTEGER NOT NULL,
    settle_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, temporary_account_id),
    FOREIGN KEY (brand_id, temporary_account_id) REFERENCES account,
    FOREIGN KEY (brand_id, client_account_id) REFERENCES account,
    FOREIGN KEY (brand_id, link_id) REFERENCES link,
    FOREIGN KEY (brand_id, policy_revision) REFERENCES merge_policy,
    CONSTRAINT settlement_outcome_known CHECK (outcome IN ('UPGRADED', 'LINKED', 'SEPARATED', 'ABANDONED')),
    CONSTRAINT settlement_case_known CHECK (merge_case IN ('CASE_1_OR_2', 'CASE_3')),
    CONSTRAINT settlement_names_its_link CHECK ((outcome = 'LINKED') = (link_id IS NOT NULL)),
    CONSTRAINT settlement_keeps_upgraded_id CHECK ((outcome = 'UPGRADED') = (client_account_id = temporary_account_id))
) STRICT, WITHOUT ROWID;

CREATE TABLE sign_in (
    brand_id TEXT NOT NULL,
    session_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    outcome TEXT NOT NULL,
    merge_case TEXT NOT NULL,
    policy_revision INTEGER NOT NULL,
    temporary_account_id BLOB,
    link_id BLOB,
    email_replaced INTEGER NOT NULL,
    account_created INTEGER NOT NULL,
    sign_in_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, session_id),
    FOREIGN KEY (brand_id, session_id) REFERENCES session,
    FOREIGN KEY (brand_id, account_id) REFERENCES account,
    FOREIGN KEY (brand_id, policy_revision) REFERENCES merge_policy
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_entry (
    brand_id TEXT NOT NULL REFERENCES brand,
    audit_entry_id BLOB NOT NULL,
    action TEXT NOT NULL,
    actor_caller TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    request_id BLOB,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (brand_id, audit_entry_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    signing_key_id TEXT NOT NULL,
    sealed_private_key BLOB NOT NULL,
    public_key BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (signing_key_id)
) STRICT, WITHOUT ROWID;
