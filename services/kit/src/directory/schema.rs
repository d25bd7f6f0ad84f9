//! The tables of what is known of identity.

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use crate::db::{DbText, DbTime, DbUuid};

    account (brand_id, account_id) {
        brand_id -> DbText,
        account_id -> DbUuid,
        revision -> BigInt,
        kind -> DbText,
        state -> DbText,
        customer_id -> Nullable<DbText>,
        create_time -> DbTime,
        upgrade_time -> Nullable<DbTime>,
        erase_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable};
    use crate::db::{DbText, DbTime, DbUuid};

    account_email (brand_id, account_id, digest, provenance, from_time) {
        brand_id -> DbText,
        account_id -> DbUuid,
        digest -> Binary,
        provenance -> DbText,
        from_time -> DbTime,
        until_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use crate::db::{DbText, DbTime, DbUuid};

    link (brand_id, link_id) {
        brand_id -> DbText,
        link_id -> DbUuid,
        revision -> BigInt,
        client_account_id -> DbUuid,
        temporary_account_id -> DbUuid,
        scope -> DbText,
        link_time -> DbTime,
        revoke_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::BigInt;
    use crate::db::{DbText, DbUuid};

    person (brand_id, client_account_id) {
        brand_id -> DbText,
        client_account_id -> DbUuid,
        link_revision -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::BigInt;
    use crate::db::{DbText, DbUuid};

    member (brand_id, member_id) {
        brand_id -> DbText,
        member_id -> DbUuid,
        revision -> BigInt,
        state -> DbText,
    }
}

diesel::table! {
    use crate::db::{DbText, DbTime, DbUuid};

    member_customer (brand_id, member_id, customer_id) {
        brand_id -> DbText,
        member_id -> DbUuid,
        customer_id -> DbText,
        from_time -> DbTime,
    }
}
