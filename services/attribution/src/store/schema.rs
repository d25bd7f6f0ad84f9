//! The tables, as the migrations make them. Instants are `DbTime`, ids `DbUuid` or `DbText`.

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use kit::db::DbText;

    brand (brand_id) {
        brand_id -> DbText,
        revision -> BigInt,
        window_limit_microseconds -> Nullable<BigInt>,
    }
}

diesel::table! {
    use kit::db::{DbText, DbUuid};

    chatroom (brand_id, chatroom_id) {
        brand_id -> DbText,
        chatroom_id -> DbUuid,
        account_id -> DbUuid,
        member_id -> DbUuid,
    }
}

diesel::table! {
    use diesel::sql_types::Bool;
    use kit::db::{DbText, DbTime, DbUuid};

    message (brand_id, chatroom_id, message_id) {
        brand_id -> DbText,
        chatroom_id -> DbUuid,
        message_id -> DbUuid,
        side -> DbText,
        kind -> DbText,
        origin -> DbText,
        is_evidence -> Bool,
        message_time -> DbTime,
    }
}

diesel::table! {
    use kit::db::{DbText, DbTime, DbUuid};

    checkout (brand_id, cart_id, checkout_time) {
        brand_id -> DbText,
        cart_id -> DbText,
        checkout_time -> DbTime,
        account_id -> DbUuid,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    order (brand_id, order_id) {
        brand_id -> DbText,
        order_id -> DbText,
        order_time -> DbTime,
        receive_time -> DbTime,
        account_id -> Nullable<DbUuid>,
        customer_id -> Nullable<DbText>,
        cart_id -> Nullable<DbText>,
        email_digest -> Nullable<Binary>,
        currency_code -> DbText,
        total_minor_units -> BigInt,
        shipping_minor_units -> BigInt,
        report_digest -> Binary,
    }
}

diesel::table! {
    use kit::db::{DbText, DbTime};

    order_status (brand_id, order_id, status_time, label) {
        brand_id -> DbText,
        order_id -> DbText,
        status_time -> DbTime,
        label -> DbText,
        receive_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::BigInt;
    use kit::db::{DbText, DbTime};

    refund (brand_id, order_id, refund_id) {
        brand_id -> DbText,
        order_id -> DbText,
        refund_id -> DbText,
        currency_code -> DbText,
        minor_units -> BigInt,
        refund_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Integer, Text};
    use kit::db::{DbText, DbTime};

    attribution_policy (brand_id, revision) {
        brand_id -> DbText,
        revision -> BigInt,
        effective_time -> DbTime,
        model -> DbText,
        window_microseconds -> BigInt,
        clock_tolerance_microseconds -> BigInt,
        commission_rate_ppm -> Integer,
        retroactive_links -> Bool,
        typed_email_allowed -> Bool,
        create_time -> DbTime,
        service_id -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    // On PostgreSQL it has a transaction_id as well, which only its own text reads.
    attribution (brand_id, order_id) {
        brand_id -> DbText,
        order_id -> DbText,
        revision -> BigInt,
        outcome -> DbText,
        buyer_key -> Nullable<DbText>,
        buyer_account_id -> Nullable<DbUuid>,
        person_account_id -> Nullable<DbUuid>,
        policy_revision -> BigInt,
        link_revision -> BigInt,
        is_frozen -> Bool,
        evaluate_time -> DbTime,
        change_number -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer, Nullable};
    use kit::db::{DbText, DbUuid};

    credit (brand_id, order_id, member_id) {
        brand_id -> DbText,
        order_id -> DbText,
        member_id -> DbUuid,
        chatroom_id -> DbUuid,
        link_id -> Nullable<DbUuid>,
        share_ppm -> Integer,
        target_minor_units -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer};
    use kit::db::{DbText, DbTime, DbUuid};

    // On PostgreSQL it has a transaction_id as well, which only its own text reads.
    ledger_entry (brand_id, order_id, member_id, number) {
        brand_id -> DbText,
        order_id -> DbText,
        member_id -> DbUuid,
        number -> Integer,
        ledger_entry_id -> DbUuid,
        currency_code -> DbText,
        minor_units -> BigInt,
        target_minor_units -> BigInt,
        attribution_revision -> BigInt,
        policy_revision -> BigInt,
        book_time -> DbTime,
        change_number -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::BigInt;
    use kit::db::{DbText, DbUuid};

    awaited_sign_in (brand_id, order_id) {
        brand_id -> DbText,
        order_id -> DbText,
        account_id -> DbUuid,
        link_revision -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use kit::db::{DbText, DbTime};

    dirty_mark (brand_id, mark_number) {
        brand_id -> DbText,
        mark_number -> BigInt,
        subject_kind -> DbText,
        subject -> DbText,
        from_time -> Nullable<DbTime>,
        trace_parent -> Nullable<DbText>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    recomputation (brand_id, recomputation_id) {
        brand_id -> DbText,
        recomputation_id -> DbUuid,
        cause -> DbText,
        from_time -> DbTime,
        until_time -> DbTime,
        last_order_time -> Nullable<DbTime>,
        last_order_id -> Nullable<DbText>,
        evaluated_count -> BigInt,
        changed_count -> BigInt,
        claim_time -> Nullable<DbTime>,
        create_time -> DbTime,
        complete_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use kit::db::{DbText, DbTime, DbUuid};

    account_erasure (brand_id, account_id) {
        brand_id -> DbText,
        account_id -> DbUuid,
        erasure_id -> DbUuid,
        apply_time -> DbTime,
    }
}

diesel::allow_tables_to_appear_in_same_query!(attribution, order);
