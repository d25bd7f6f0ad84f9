//! The tables, as the migrations make them.

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Text};
    use kit::db::{DbText, DbTime};

    brand (brand_id) {
        brand_id -> DbText,
        display_name -> Text,
        state -> DbText,
        merge_policy_revision -> BigInt,
        nonce_required -> Bool,
        token_algorithms -> DbText,
        issuer -> Text,
        audiences -> DbText,
        customer_id_claim -> Text,
        widget_policy_version -> Text,
        temporary_account_ttl_seconds -> BigInt,
        attribution_window_limit_seconds -> BigInt,
        client_session_ttl_seconds -> BigInt,
        time_zone -> Text,
        revision -> BigInt,
        create_time -> DbTime,
        update_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use kit::db::{DbText, DbTime};

    merge_policy (brand_id, revision) {
        brand_id -> DbText,
        revision -> BigInt,
        on_new_client -> DbText,
        on_existing_client -> DbText,
        actor_caller -> Text,
        actor_id -> Text,
        create_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable, Text};
    use kit::db::{DbText, DbTime, DbUuid};

    assertion_key (brand_id, assertion_key_id) {
        brand_id -> DbText,
        assertion_key_id -> DbUuid,
        kind -> DbText,
        sealed_secret -> Nullable<Binary>,
        key_set -> Nullable<Text>,
        jwks_uri -> Nullable<Text>,
        create_time -> DbTime,
        expire_time -> Nullable<DbTime>,
        revoke_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable, Text};
    use kit::db::{DbText, DbTime, DbUuid};

    api_key (brand_id, api_key_id) {
        brand_id -> DbText,
        api_key_id -> DbUuid,
        display_name -> Text,
        scopes -> DbText,
        secret_digest -> Binary,
        create_time -> DbTime,
        expire_time -> Nullable<DbTime>,
        revoke_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};
    use kit::db::{DbText, DbTime, DbUuid};

    account (brand_id, account_id) {
        brand_id -> DbText,
        account_id -> DbUuid,
        kind -> DbText,
        state -> DbText,
        customer_id -> Nullable<DbText>,
        username -> Nullable<Text>,
        email -> Nullable<Text>,
        email_provenance -> Nullable<DbText>,
        given_name -> Nullable<Text>,
        family_name -> Nullable<Text>,
        locale -> Nullable<Text>,
        picture_uri -> Nullable<Text>,
        nonce_digest -> Nullable<Binary>,
        link_revision -> BigInt,
        session_epoch -> BigInt,
        session_revocations -> BigInt,
        revision -> BigInt,
        create_time -> DbTime,
        update_time -> DbTime,
        upgrade_time -> Nullable<DbTime>,
        expire_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    account_email (brand_id, account_id, number) {
        brand_id -> DbText,
        account_id -> DbUuid,
        number -> BigInt,
        digest -> Binary,
        provenance -> DbText,
        from_time -> DbTime,
        until_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use kit::db::{DbText, DbTime, DbUuid};

    member (brand_id, member_id) {
        brand_id -> DbText,
        member_id -> DbUuid,
        display_name -> Text,
        state -> DbText,
        session_epoch -> BigInt,
        session_revocations -> BigInt,
        revision -> BigInt,
        create_time -> DbTime,
        update_time -> DbTime,
        deactivate_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use kit::db::{DbText, DbTime, DbUuid};

    member_customer (brand_id, member_id, customer_id) {
        brand_id -> DbText,
        member_id -> DbUuid,
        customer_id -> DbText,
        from_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::Nullable;
    use kit::db::{DbText, DbTime, DbUuid};

    session (brand_id, session_id) {
        brand_id -> DbText,
        session_id -> DbUuid,
        kind -> DbText,
        account_id -> Nullable<DbUuid>,
        member_id -> Nullable<DbUuid>,
        create_time -> DbTime,
        expire_time -> DbTime,
        end_kind -> Nullable<DbText>,
        end_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    session_token (brand_id, token_digest) {
        brand_id -> DbText,
        token_digest -> Binary,
        session_id -> DbUuid,
        previous_digest -> Nullable<Binary>,
        create_time -> DbTime,
        spend_time -> Nullable<DbTime>,
        spend_request_id -> Nullable<DbUuid>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use kit::db::{DbText, DbTime, DbUuid};

    link (brand_id, link_id) {
        brand_id -> DbText,
        link_id -> DbUuid,
        client_account_id -> DbUuid,
        temporary_account_id -> DbUuid,
        scope -> DbText,
        policy_revision -> BigInt,
        revision -> BigInt,
        link_revision -> BigInt,
        link_time -> DbTime,
        revoke_time -> Nullable<DbTime>,
        revoke_reason -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    settlement (brand_id, temporary_account_id) {
        brand_id -> DbText,
        temporary_account_id -> DbUuid,
        outcome -> DbText,
        merge_case -> DbText,
        client_account_id -> DbUuid,
        link_id -> Nullable<DbUuid>,
        policy_revision -> BigInt,
        settle_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    sign_in (brand_id, session_id) {
        brand_id -> DbText,
        session_id -> DbUuid,
        account_id -> DbUuid,
        outcome -> DbText,
        merge_case -> DbText,
        policy_revision -> BigInt,
        temporary_account_id -> Nullable<DbUuid>,
        link_id -> Nullable<DbUuid>,
        email_replaced -> Bool,
        account_created -> Bool,
        sign_in_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use kit::db::{DbText, DbTime, DbUuid};

    audit_entry (brand_id, audit_entry_id) {
        brand_id -> DbText,
        audit_entry_id -> DbUuid,
        action -> Text,
        actor_caller -> Text,
        actor_id -> Text,
        subject_id -> Text,
        reason -> Text,
        request_id -> Nullable<DbUuid>,
        create_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Text};
    use kit::db::DbTime;

    signing_key (signing_key_id) {
        signing_key_id -> Text,
        sealed_private_key -> Binary,
        public_key -> Binary,
        create_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::Nullable;
    use kit::db::{DbText, DbTime, DbUuid};

    erasure (brand_id, erasure_id) {
        brand_id -> DbText,
        erasure_id -> DbUuid,
        person_id -> DbUuid,
        create_time -> DbTime,
        chat_complete_time -> Nullable<DbTime>,
        attribution_complete_time -> Nullable<DbTime>,
        complete_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use kit::db::{DbText, DbUuid};

    erased_account (brand_id, account_id) {
        brand_id -> DbText,
        account_id -> DbUuid,
        erasure_id -> DbUuid,
    }
}
