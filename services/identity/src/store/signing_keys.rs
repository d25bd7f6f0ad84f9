//! The table `signing_key`.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use kit::{
    db::{Connection, StoreError},
    query,
};

use super::{entity::row, schema::signing_key};
use crate::model::SigningKey;

row!(Row of SigningKey as signing_key (signing_key_id) {
    signing_key_id: String,
    sealed_private_key: Vec<u8>,
    public_key: Vec<u8>,
    create_time: DateTime<Utc>,
});

/// Lists all keys, newest first.
pub(crate) async fn list(connection: &mut Connection) -> Result<Vec<SigningKey>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| signing_key::table
        .order((
            signing_key::create_time.desc(),
            signing_key::signing_key_id.desc()
        ))
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(SigningKey::from).collect())
}

/// Deletes a key that nothing is verified with any more.
pub(crate) async fn delete(
    connection: &mut Connection,
    signing_key_id: &str,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(
        signing_key::table.find(signing_key_id)
    )
    .execute(c)
    .await)?;
    Ok(())
}

pub(crate) async fn insert(
    connection: &mut Connection,
    key: &SigningKey,
) -> Result<(), StoreError> {
    let row = Row::from(key);
    query!(connection, |c| diesel::insert_into(signing_key::table)
        .values(&row)
        .execute(c)
        .await)?;
    Ok(())
}
