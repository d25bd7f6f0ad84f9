//! The tables, as the migrations make them; the column comments are there.

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    chatroom (brand_id, chatroom_id) {
        brand_id -> DbText,
        chatroom_id -> DbUuid,
        account_id -> DbUuid,
        member_id -> DbUuid,
        create_time -> DbTime,
        transaction_id -> BigInt,
        last_sequence -> BigInt,
        last_message_time -> Nullable<DbTime>,
        last_message_minute -> Nullable<DbTime>,
        last_transaction_id -> BigInt,
        visitor_first_time -> Nullable<DbTime>,
        member_first_time -> Nullable<DbTime>,
        visitor_read_sequence -> BigInt,
        visitor_unread_count -> BigInt,
        member_read_sequence -> BigInt,
        member_unread_count -> BigInt,
        visitor_archived -> Bool,
        member_archived -> Bool,
        visitor_blocked -> Bool,
        visitor_erased -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    message (brand_id, chatroom_id, sequence) {
        brand_id -> DbText,
        chatroom_id -> DbUuid,
        sequence -> BigInt,
        message_id -> DbUuid,
        message_time -> DbTime,
        transaction_id -> BigInt,
        side -> DbText,
        author_id -> DbUuid,
        kind -> DbText,
        origin -> DbText,
        content -> Nullable<Binary>,
        erase_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    account_erasure (brand_id, account_id) {
        brand_id -> DbText,
        account_id -> DbUuid,
        erasure_id -> DbUuid,
        message_count -> BigInt,
        image_count -> BigInt,
        create_time -> DbTime,
        complete_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    chatroom_change (row_number) {
        row_number -> BigInt,
        brand_id -> DbText,
        kind -> DbText,
        chatroom_id -> Nullable<DbUuid>,
        account_id -> Nullable<DbUuid>,
        member_id -> Nullable<DbUuid>,
        sequence -> Nullable<BigInt>,
        change_time -> DbTime,
    }
}

diesel::table! {
    use diesel::sql_types::Nullable;
    use kit::db::{DbText, DbTime, DbUuid};

    member_block (brand_id, member_id, account_id) {
        brand_id -> DbText,
        member_id -> DbUuid,
        account_id -> DbUuid,
        block_time -> Nullable<DbTime>,
        unblock_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable};
    use kit::db::{DbText, DbTime, DbUuid};

    phygital_code (brand_id, code_digest) {
        brand_id -> DbText,
        code_digest -> Binary,
        member_id -> DbUuid,
        create_time -> DbTime,
        expire_time -> DbTime,
        redeem_time -> Nullable<DbTime>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer};
    use kit::db::{DbText, DbTime, DbUuid};

    image (brand_id, image_id) {
        brand_id -> DbText,
        image_id -> DbUuid,
        chatroom_id -> DbUuid,
        side -> DbText,
        uploader_id -> DbUuid,
        create_time -> DbTime,
        format -> DbText,
        width_pixels -> Integer,
        height_pixels -> Integer,
        size_bytes -> BigInt,
        thumbnail_format -> DbText,
        thumbnail_width_pixels -> Integer,
        thumbnail_height_pixels -> Integer,
        thumbnail_size_bytes -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(chatroom, message);
