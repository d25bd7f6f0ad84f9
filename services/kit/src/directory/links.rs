//! Links, and how far they are known.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, Queryable,
    query_dsl::methods::FilterDsl as _, upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{AccountId, BrandId, LinkId},
    person::{Link, LinkScope, Links},
};
use rapport_proto::event::v1::{self as event, LinkChanged};

use super::{
    read, read_instant, read_optional_instant,
    schema::{link, person},
};
use crate::{
    db::{Connection, Sql, StoreError},
    query,
};

#[derive(Queryable)]
struct Row {
    link_id: Sql<LinkId>,
    revision: i64,
    client_account_id: Sql<AccountId>,
    temporary_account_id: Sql<AccountId>,
    scope: Sql<LinkScope>,
    link_time: Sql<DateTime<Utc>>,
    revoke_time: Option<Sql<DateTime<Utc>>>,
}

impl From<Row> for Link {
    fn from(row: Row) -> Self {
        Self {
            revision: row.revision.unsigned_abs(),
            revoke_time: row.revoke_time.map(|time| time.0),
            id: row.link_id.0,
            temporary: row.temporary_account_id.0,
            client: row.client_account_id.0,
            scope: row.scope.0,
            link_time: row.link_time.0,
        }
    }
}

/// Returns every link, revoked ones included, of the star that an account is in.
///
/// # Errors
///
/// What the database fails with.
pub async fn around(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<Links, StoreError> {
    let mut links = Links::default();
    let mut clients = vec![account_id];
    for link in of_temporary(connection, brand_id, account_id).await? {
        clients.push(link.client);
    }
    for client in clients {
        for link in of_client(connection, brand_id, client).await? {
            links.record(link);
        }
    }
    Ok(links)
}

/// Returns the links, revoked ones included, in which one of `accounts` is the temporary account:
/// enough to tell the client that each of them belongs to.
///
/// # Errors
///
/// What the database fails with.
pub async fn list_by_temporaries(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Links, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| QueryDsl::filter(
        link::table,
        link::brand_id
            .eq(Sql(brand_id))
            .and(link::temporary_account_id.eq_any(&accounts))
    )
    .select(COLUMNS)
    .load(c)
    .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// Returns every link, revoked ones included, that leads from one of `accounts` to another account,
/// and on from there, and so on: all that bears on who is one person with any of them, at any time.
///
/// # Errors
///
/// What the database fails with.
pub async fn connected(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Links, StoreError> {
    let mut links = Links::default();
    let mut known: BTreeSet<AccountId> = accounts.iter().copied().collect();
    let mut ends: Vec<AccountId> = known.iter().copied().collect();
    while !ends.is_empty() {
        let mut reached = Vec::new();
        for link in of_ends(connection, brand_id, &ends).await? {
            reached.extend([link.client, link.temporary]);
            links.record(link);
        }
        ends = reached
            .into_iter()
            .filter(|end| known.insert(*end))
            .collect();
    }
    Ok(links)
}

/// Returns the links with one of `accounts` at either end.
async fn of_ends(
    connection: &mut Connection,
    brand_id: &BrandId,
    accounts: &[AccountId],
) -> Result<Vec<Link>, StoreError> {
    let accounts: Vec<Sql<AccountId>> = accounts.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| QueryDsl::filter(
        link::table,
        link::brand_id.eq(Sql(brand_id)).and(
            link::client_account_id
                .eq_any(&accounts)
                .or(link::temporary_account_id.eq_any(&accounts))
        )
    )
    .select(COLUMNS)
    .load(c)
    .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// Returns the link revision up to which a client account's links are known; 0 for others.
///
/// # Errors
///
/// What the database fails with.
pub async fn known_revision(
    connection: &mut Connection,
    brand_id: &BrandId,
    client: AccountId,
) -> Result<i64, StoreError> {
    let revision: Option<i64> = query!(connection, |c| person::table
        .find((Sql(brand_id), Sql(client)))
        .select(person::link_revision)
        .first(c)
        .await
        .optional())?;
    Ok(revision.unwrap_or(0))
}

/// Returns up to which link revision the links of each of `clients` are known; one of whom nothing
/// is known is left out.
///
/// # Errors
///
/// What the database fails with.
pub async fn known_revisions(
    connection: &mut Connection,
    brand_id: &BrandId,
    clients: &[AccountId],
) -> Result<BTreeMap<AccountId, i64>, StoreError> {
    let clients: Vec<Sql<AccountId>> = clients.iter().copied().map(Sql).collect();
    let rows: Vec<(Sql<AccountId>, i64)> = query!(connection, |c| QueryDsl::filter(
        person::table,
        person::brand_id
            .eq(Sql(brand_id))
            .and(person::client_account_id.eq_any(&clients))
    )
    .select((person::client_account_id, person::link_revision))
    .load(c)
    .await)?;
    Ok(rows
        .into_iter()
        .map(|(client, revision)| (client.0, revision))
        .collect())
}

async fn of_client(
    connection: &mut Connection,
    brand_id: &BrandId,
    client: AccountId,
) -> Result<Vec<Link>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| QueryDsl::filter(
        link::table,
        link::brand_id
            .eq(Sql(brand_id))
            .and(link::client_account_id.eq(Sql(client)))
    )
    .select(COLUMNS)
    .load(c)
    .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

async fn of_temporary(
    connection: &mut Connection,
    brand_id: &BrandId,
    temporary: AccountId,
) -> Result<Vec<Link>, StoreError> {
    let rows: Vec<Row> = query!(connection, |c| QueryDsl::filter(
        link::table,
        link::brand_id
            .eq(Sql(brand_id))
            .and(link::temporary_account_id.eq(Sql(temporary)))
    )
    .select(COLUMNS)
    .load(c)
    .await)?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// The columns of [`Row`], in its order.
const COLUMNS: (
    link::link_id,
    link::revision,
    link::client_account_id,
    link::temporary_account_id,
    link::scope,
    link::link_time,
    link::revoke_time,
) = (
    link::link_id,
    link::revision,
    link::client_account_id,
    link::temporary_account_id,
    link::scope,
    link::link_time,
    link::revoke_time,
);

/// Keeps the state of a link, unless a later one is known: a revocation is never undone (SPEC 16).
pub(super) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    state: &LinkChanged,
) -> Result<AccountId, StoreError> {
    let link_id: LinkId = read("link_id", state.link_id.parse())?;
    let client: AccountId = read("client_account_id", state.client_account_id.parse())?;
    let temporary: AccountId = read("temporary_account_id", state.temporary_account_id.parse())?;
    let scope = match state.scope() {
        event::LinkScope::Tracking => LinkScope::Tracking,
        event::LinkScope::History => LinkScope::History,
        event::LinkScope::Unspecified => return Err(StoreError::Corrupt { what: "scope" }),
    };
    let link_time = read_instant("link_time", state.link_time.as_ref())?;
    let revoke_time = read_optional_instant("revoke_time", state.revoke_time.as_ref())?;
    query!(connection, |c| diesel::insert_into(link::table)
        .values((
            link::brand_id.eq(Sql(brand_id)),
            link::link_id.eq(Sql(link_id)),
            link::revision.eq(state.revision),
            link::client_account_id.eq(Sql(client)),
            link::temporary_account_id.eq(Sql(temporary)),
            link::scope.eq(Sql(scope)),
            link::link_time.eq(Sql(link_time)),
            link::revoke_time.eq(revoke_time.map(Sql)),
        ))
        .on_conflict((link::brand_id, link::link_id))
        .do_update()
        .set((
            link::revision.eq(excluded(link::revision)),
            link::revoke_time.eq(excluded(link::revoke_time)),
        ))
        .filter(link::revision.lt(state.revision))
        .execute(c)
        .await)?;
    Ok(client)
}

/// Remembers that a client account's links are known up to a revision; it only grows.
pub(super) async fn keep_revision(
    connection: &mut Connection,
    brand_id: &BrandId,
    client: AccountId,
    link_revision: i64,
) -> Result<(), StoreError> {
    if link_revision == 0 {
        return Ok(()); // No client account, or none that was ever linked.
    }
    query!(connection, |c| diesel::insert_into(person::table)
        .values((
            person::brand_id.eq(Sql(brand_id)),
            person::client_account_id.eq(Sql(client)),
            person::link_revision.eq(link_revision),
        ))
        .on_conflict((person::brand_id, person::client_account_id))
        .do_update()
        .set(person::link_revision.eq(excluded(person::link_revision)))
        .filter(person::link_revision.lt(link_revision))
        .execute(c)
        .await)?;
    Ok(())
}
