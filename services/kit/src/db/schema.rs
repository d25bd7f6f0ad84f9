//! The tables that every service has.

diesel::table! {
    use diesel::sql_types::{BigInt, Binary};
    use crate::db::{DbText, DbTime, DbUuid};

    event_log (row_number) {
        row_number -> BigInt,
        event_id -> DbUuid,
        brand_id -> DbText,
        create_time -> DbTime,
        event -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::Text;
    use crate::db::DbTime;

    event_cursor (source) {
        source -> Text,
        position -> Text,
        update_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Text};
    use crate::db::{DbText, DbTime, DbUuid};

    request (brand_id, principal, method, request_id) {
        brand_id -> DbText,
        principal -> Text,
        method -> Text,
        request_id -> DbUuid,
        body_digest -> Binary,
        response -> Binary,
        create_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::BigInt;
    use crate::db::{DbText, DbTime, DbUuid};

    revocation (brand_id, subject_id) {
        brand_id -> DbText,
        subject_id -> DbUuid,
        minimum_epoch -> BigInt,
        revoke_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool};
    use crate::db::DbText;

    brand_state (brand_id) {
        brand_id -> DbText,
        revision -> BigInt,
        is_suspended -> Bool,
    }
}
