//! The list of chatrooms as it was at a moment (SPEC 25).
//!
//! A chatroom that has not moved since the moment stands where its row says: an index gives those
//! by the minute of their newest message, within which few have to be sorted. One that has moved
//! stands where its newest message of then puts it. The caller asks for the first kind before the
//! second, and merges the two: a chatroom that moves in between is found by both or by the second,
//! never by neither, although each query sees another instant.
//!
//! What is archived is judged when a page is read, and moves nothing: a list of what is not archived
//! never shows what is, and whatever nobody archives meanwhile is neither skipped nor repeated.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl,
    SelectableHelper, dsl::not,
};
use diesel_async::RunQueryDsl;
use domain::{
    chatroom::Recency,
    id::{AccountId, BrandId, MemberId},
    instant,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};

use super::{Row, RowWithLast, WithLast, with_last};
use crate::store::{
    messages,
    moments::Moment,
    schema::{chatroom, message},
};

/// Whose list it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A person's: the chatrooms of these accounts.
    Accounts(Vec<AccountId>),
    /// A Member's.
    Member(MemberId),
}

/// A list, or the part of one that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    /// Whose it is.
    pub owner: Owner,
    /// Shown are the chatrooms of which this tells whether the owner's side has archived them.
    pub archived: &'static [bool],
}

/// A chatroom and the place that it had at the moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    /// Where it stood.
    pub place: Recency,
    /// Its present state.
    pub row: WithLast,
}

/// How far the clocks of two replicas may be apart, and a transaction may take, for a chatroom that
/// has moved to be looked for: more than either ever is, and little enough that of a busy Member's
/// chatrooms few are looked at.
const CLOCK_SLACK: TimeDelta = TimeDelta::minutes(2);
/// A message is sent within this time of the beginning of its minute.
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Instantiates `$query` for the list's owner, each of whom has an index of his own.
macro_rules! of_owner {
    ($connection:expr, $brand_id:expr, $list:expr, |$rooms:ident, $c:ident| $query:expr) => {
        match &$list.owner {
            Owner::Accounts(accounts) => {
                let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
                query!($connection, |$c| {
                    let $rooms = rooms_with_last!()
                        .filter(chatroom::brand_id.eq(Sql($brand_id)))
                        .filter(chatroom::account_id.eq_any(&accounts))
                        .filter(chatroom::visitor_archived.eq_any($list.archived));
                    $query
                })
            }
            Owner::Member(member_id) => query!($connection, |$c| {
                let $rooms = rooms_with_last!()
                    .filter(chatroom::brand_id.eq(Sql($brand_id)))
                    .filter(chatroom::member_id.eq(Sql(*member_id)))
                    .filter(chatroom::member_archived.eq_any($list.archived));
                $query
            }),
        }
    };
}

/// Returns the first `limit` chatrooms with a message that have not moved since the moment, most
/// recent first, of those after `after`.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_written(
    connection: &mut Connection,
    brand_id: &BrandId,
    list: &List,
    moment: &Moment,
    after: Option<Recency>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    // Without a place to go on from, everything is after the end of the calendar.
    let (message_time, create_time, id) = match after {
        None => (LAST_INSTANT, LAST_INSTANT, uuid::Uuid::nil().into()),
        Some(Recency {
            last_message_time: None,
            ..
        }) => return Ok(Vec::new()),
        Some(Recency {
            last_message_time: Some(time),
            create_time,
            chatroom,
        }) => (time, create_time, chatroom),
    };
    let rows: Vec<RowWithLast> = of_owner!(connection, brand_id, list, |rooms, c| rooms
        .filter(chatroom::last_transaction_id.lt(moment.before))
        .filter(chatroom::last_transaction_id.ne_all(&moment.running))
        .filter(chatroom::last_message_minute.le(Sql(message_time)))
        .filter(chatroom::last_message_time.le(Sql(message_time)))
        .filter(
            chatroom::last_message_time
                .assume_not_null()
                .lt(Sql(message_time))
                .or(chatroom::create_time
                    .lt(Sql(create_time))
                    .or(chatroom::create_time
                        .eq(Sql(create_time))
                        .and(chatroom::chatroom_id.lt(Sql(id)))))
        )
        .order((
            chatroom::last_message_minute.desc(),
            chatroom::last_message_time.desc(),
            chatroom::create_time.desc(),
            chatroom::chatroom_id.desc(),
        ))
        .limit(limit)
        .select((Row::as_select(), Option::<messages::Row>::as_select()))
        .load(c)
        .await)?;
    rows.into_iter().map(where_it_is).collect()
}

/// As [`list_written`], of the chatrooms without a message.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_empty(
    connection: &mut Connection,
    brand_id: &BrandId,
    list: &List,
    moment: &Moment,
    after: Option<Recency>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let (create_time, id) = match after {
        Some(Recency {
            last_message_time: None,
            create_time,
            chatroom,
        }) => (create_time, chatroom),
        // All empty ones come after each that has a message.
        Some(Recency {
            last_message_time: Some(_),
            ..
        })
        | None => (LAST_INSTANT, uuid::Uuid::nil().into()),
    };
    let rows: Vec<RowWithLast> = of_owner!(connection, brand_id, list, |rooms, c| rooms
        .filter(chatroom::last_transaction_id.lt(moment.before))
        .filter(chatroom::last_transaction_id.ne_all(&moment.running))
        .filter(chatroom::last_message_minute.is_null())
        .filter(
            chatroom::create_time
                .lt(Sql(create_time))
                .or(chatroom::create_time
                    .eq(Sql(create_time))
                    .and(chatroom::chatroom_id.lt(Sql(id))))
        )
        .order((
            chatroom::last_message_minute.desc(),
            chatroom::create_time.desc(),
            chatroom::chatroom_id.desc(),
        ))
        .limit(limit)
        .select((Row::as_select(), Option::<messages::Row>::as_select()))
        .load(c)
        .await)?;
    rows.into_iter().map(where_it_is).collect()
}

/// Returns the chatrooms that were there at the moment and have moved since, in no order, with the
/// places that they had.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_moved(
    connection: &mut Connection,
    brand_id: &BrandId,
    list: &List,
    moment: &Moment,
) -> Result<Vec<Listed>, StoreError> {
    type Moved = (Row, Option<messages::Row>, Option<Sql<DateTime<Utc>>>);
    let moment_time = DateTime::from_timestamp_micros(moment.time_micros).unwrap_or(LAST_INSTANT);
    let since = instant::before(moment_time, CLOCK_SLACK + MINUTE);
    let earlier = diesel::alias!(message as earlier);
    let rows: Vec<Moved> = of_owner!(connection, brand_id, list, |rooms, c| rooms
        .filter(chatroom::last_message_minute.ge(Sql(since)))
        .filter(not(chatroom::last_transaction_id
            .lt(moment.before)
            .and(chatroom::last_transaction_id.ne_all(&moment.running))))
        .filter(chatroom::transaction_id.lt(moment.before))
        .filter(chatroom::transaction_id.ne_all(&moment.running))
        .select((
            Row::as_select(),
            Option::<messages::Row>::as_select(),
            earlier
                .filter(earlier.field(message::brand_id).eq(chatroom::brand_id))
                .filter(
                    earlier
                        .field(message::chatroom_id)
                        .eq(chatroom::chatroom_id)
                )
                .filter(earlier.field(message::transaction_id).lt(moment.before))
                .filter(
                    earlier
                        .field(message::transaction_id)
                        .ne_all(&moment.running)
                )
                .order(earlier.field(message::sequence).desc())
                .limit(1)
                .select(earlier.field(message::message_time))
                .single_value(),
        ))
        .load(c)
        .await)?;
    rows.into_iter()
        .map(|(chatroom, last_message, last_message_time)| {
            let row = with_last((chatroom, last_message))?;
            let place = Recency {
                last_message_time: last_message_time.map(|time| time.0),
                ..row.chatroom.recency()
            };
            Ok(Listed { place, row })
        })
        .collect()
}

/// Later than every instant that either engine keeps.
const LAST_INSTANT: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(instant) => instant,
    None => DateTime::<Utc>::MAX_UTC,
};

fn where_it_is(row: RowWithLast) -> Result<Listed, StoreError> {
    let row = with_last(row)?;
    Ok(Listed {
        place: row.chatroom.recency(),
        row,
    })
}
