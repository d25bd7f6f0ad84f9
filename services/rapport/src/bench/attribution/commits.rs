//! When identity's links were committed, by PostgreSQL's own clock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Bool},
};
use diesel_async::RunQueryDsl;
use kit::db::{Connection, Db};
use prost::Message;
use rapport_proto::event::v1::{Event, event::Payload};

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Bool)]
    is_kept: bool,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Binary)]
    event: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    commit_micros: i64,
}

/// Returns when each link was committed, as far as the server keeps that (`track_commit_timestamp`).
///
/// # Errors
///
/// When the database fails, or an event is none.
pub(super) async fn of_links(identity_db: &Db) -> anyhow::Result<HashMap<String, DateTime<Utc>>> {
    let mut connection = identity_db.read().await?;
    let Connection::Postgres(c) = &mut *connection else {
        return Ok(HashMap::new());
    };
    let setting = "SELECT current_setting('track_commit_timestamp')::boolean AS is_kept";
    let setting: Setting = diesel::sql_query(setting).get_result(c).await?;
    if !setting.is_kept {
        return Ok(HashMap::new());
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT event, (extract(epoch FROM pg_xact_commit_timestamp(transaction_id::xid)) \
         * 1000000)::bigint AS commit_micros FROM event_log",
    )
    .load(c)
    .await?;
    let mut times = HashMap::new();
    for row in rows {
        if let Some(Payload::LinkChanged(link)) = Event::decode(&*row.event)?.payload {
            let time = DateTime::from_timestamp_micros(row.commit_micros);
            times.extend(time.map(|time| (link.link_id, time)));
        }
    }
    Ok(times)
}
