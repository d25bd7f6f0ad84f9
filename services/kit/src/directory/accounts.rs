//! Accounts, with the digests of their e-mails.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, upsert::excluded};
use diesel_async::RunQueryDsl;
use domain::{
    email::{EmailDigest, Provenance},
    id::{AccountId, BrandId, CustomerId},
};
use rapport_proto::event::v1::{
    self as event, AccountChanged, AccountErased, AccountKind, AccountState, EmailProvenance,
};

use super::{
    read, read_instant, read_optional_instant,
    schema::{account, account_email},
};
use crate::{
    db::{Connection, LockedDsl, Sql, StoreError},
    query,
};

/// An account as the other services know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id; an upgrade keeps it.
    pub id: AccountId,
    /// Temporary or client.
    pub kind: AccountKind,
    /// Active, settled or erased.
    pub state: AccountState,
    /// A client's id at the Brand.
    pub customer_id: Option<CustomerId>,
    /// When it was made; of one of which its erasure alone is known, when it was erased.
    pub create_time: DateTime<Utc>,
    /// When a temporary account became a client.
    pub upgrade_time: Option<DateTime<Utc>>,
    /// When it was erased.
    pub erase_time: Option<DateTime<Utc>>,
}

/// An e-mail that an account has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEmail {
    /// The account.
    pub account_id: AccountId,
    /// What stands for the address.
    pub digest: EmailDigest,
    /// Who stands for it.
    pub provenance: Provenance,
    /// From when the account had it.
    pub from_time: DateTime<Utc>,
    /// Until when; `None` for the current one.
    pub until_time: Option<DateTime<Utc>>,
}

#[derive(Queryable)]
struct Row {
    account_id: Sql<AccountId>,
    kind: Sql<String>,
    state: Sql<String>,
    customer_id: Option<Sql<CustomerId>>,
    create_time: Sql<DateTime<Utc>>,
    upgrade_time: Option<Sql<DateTime<Utc>>>,
    erase_time: Option<Sql<DateTime<Utc>>>,
}

impl TryFrom<Row> for Account {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| move || StoreError::Corrupt { what };
        Ok(Self {
            id: row.account_id.0,
            kind: AccountKind::from_str_name(&row.kind.0).ok_or_else(corrupt("account.kind"))?,
            state: AccountState::from_str_name(&row.state.0)
                .ok_or_else(corrupt("account.state"))?,
            customer_id: row.customer_id.map(|id| id.0),
            create_time: row.create_time.0,
            upgrade_time: row.upgrade_time.map(|time| time.0),
            erase_time: row.erase_time.map(|time| time.0),
        })
    }
}

/// The columns of [`Row`], in its order.
const COLUMNS: (
    account::account_id,
    account::kind,
    account::state,
    account::customer_id,
    account::create_time,
    account::upgrade_time,
    account::erase_time,
) = (
    account::account_id,
    account::kind,
    account::state,
    account::customer_id,
    account::create_time,
    account::upgrade_time,
    account::erase_time,
);

type EmailRow = (
    Sql<AccountId>,
    Vec<u8>,
    Sql<Provenance>,
    Sql<DateTime<Utc>>,
    Option<Sql<DateTime<Utc>>>,
);

/// The columns of [`EmailRow`], in its order.
const EMAIL_COLUMNS: (
    account_email::account_id,
    account_email::digest,
    account_email::provenance,
    account_email::from_time,
    account_email::until_time,
) = (
    account_email::account_id,
    account_email::digest,
    account_email::provenance,
    account_email::from_time,
    account_email::until_time,
);

impl TryFrom<EmailRow> for AccountEmail {
    type Error = StoreError;

    fn try_from(row: EmailRow) -> Result<Self, StoreError> {
        let (account_id, digest, provenance, from_time, until_time) = row;
        let digest = digest.try_into().map_err(|_| StoreError::Corrupt {
            what: "account_email.digest",
        })?;
        Ok(Self {
            account_id: account_id.0,
            digest: EmailDigest::new(digest),
            provenance: provenance.0,
            from_time: from_time.0,
            until_time: until_time.map(|time| time.0),
        })
    }
}

/// Returns an account.
///
/// # Errors
///
/// What the database fails with.
pub async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: AccountId,
) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = query!(connection, |c| account::table
        .find((Sql(brand_id), Sql(id)))
        .select(COLUMNS)
        .first(c)
        .await
        .optional())?;
    row.map(Account::try_from).transpose()
}

/// Keeps others from changing an account, if it is known, until the transaction ends.
///
/// # Errors
///
/// What the database fails with.
pub async fn lock(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: AccountId,
) -> Result<(), StoreError> {
    let _: Option<Sql<AccountId>> = query!(connection, |c| account::table
        .filter(account::brand_id.eq(Sql(brand_id)))
        .filter(account::account_id.eq(Sql(id)))
        .select(account::account_id)
        .locked()
        .get_result(c)
        .await
        .optional())?;
    Ok(())
}

/// Returns those of `ids` that are known.
///
/// # Errors
///
/// What the database fails with.
pub async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[AccountId],
) -> Result<Vec<Account>, StoreError> {
    let ids: Vec<Sql<AccountId>> = ids.iter().copied().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| account::table
        .filter(account::brand_id.eq(Sql(brand_id)))
        .filter(account::account_id.eq_any(&ids))
        .order(account::account_id)
        .select(COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(Account::try_from).collect()
}

/// Returns the accounts that have or had one of `customers`, erased ones included.
///
/// # Errors
///
/// What the database fails with.
pub async fn list_by_customers(
    connection: &mut Connection,
    brand_id: &BrandId,
    customers: &[CustomerId],
) -> Result<Vec<Account>, StoreError> {
    let customers: Vec<Sql<&CustomerId>> = customers.iter().map(Sql).collect();
    let rows: Vec<Row> = query!(connection, |c| account::table
        .filter(account::brand_id.eq(Sql(brand_id)))
        .filter(account::customer_id.eq_any(&customers))
        .order(account::account_id)
        .select(COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(Account::try_from).collect()
}

/// Returns who has or had one of the e-mails, and when.
///
/// # Errors
///
/// What the database fails with.
pub async fn list_by_emails(
    connection: &mut Connection,
    brand_id: &BrandId,
    digests: &[EmailDigest],
) -> Result<Vec<AccountEmail>, StoreError> {
    let digests: Vec<&[u8]> = digests
        .iter()
        .map(|digest| digest.as_bytes().as_slice())
        .collect();
    let rows: Vec<EmailRow> = query!(connection, |c| account_email::table
        .filter(account_email::brand_id.eq(Sql(brand_id)))
        .filter(account_email::digest.eq_any(&digests))
        .order((account_email::account_id, account_email::from_time))
        .select(EMAIL_COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(AccountEmail::try_from).collect()
}

/// Returns every e-mail that one of `ids` has or had.
///
/// # Errors
///
/// What the database fails with.
pub async fn list_emails(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[AccountId],
) -> Result<Vec<AccountEmail>, StoreError> {
    let ids: Vec<Sql<AccountId>> = ids.iter().copied().map(Sql).collect();
    let rows: Vec<EmailRow> = query!(connection, |c| account_email::table
        .filter(account_email::brand_id.eq(Sql(brand_id)))
        .filter(account_email::account_id.eq_any(&ids))
        .order((account_email::account_id, account_email::from_time))
        .select(EMAIL_COLUMNS)
        .load(c)
        .await)?;
    rows.into_iter().map(AccountEmail::try_from).collect()
}

/// What is known of an account before a fact about it is kept.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The greatest revision that was told; 0 where only its erasure was.
    revision: i64,
    erase_time: Option<DateTime<Utc>>,
}

/// Keeps the state of an account, unless a later one is known.
///
/// Of an erased account it keeps only the times: what its erasure said of it stays, whichever of the
/// two comes first (SPEC 51, 55).
pub(super) async fn keep(
    connection: &mut Connection,
    brand_id: &BrandId,
    state: &AccountChanged,
) -> Result<(), StoreError> {
    let id: AccountId = read("account_id", state.account_id.parse())?;
    super::links::keep_revision(connection, brand_id, id, state.link_revision).await?;
    let known = known(connection, brand_id, id).await?;
    if known.revision >= state.revision {
        return Ok(());
    }
    let create_time = read_instant("create_time", state.create_time.as_ref())?;
    let upgrade_time = read_optional_instant("upgrade_time", state.upgrade_time.as_ref())?;
    if known.erase_time.is_some() {
        query!(connection, |c| diesel::update(
            account::table.find((Sql(brand_id), Sql(id)))
        )
        .set((
            account::revision.eq(state.revision),
            account::create_time.eq(Sql(create_time)),
            account::upgrade_time.eq(upgrade_time.map(Sql)),
        ))
        .execute(c)
        .await)?;
        return Ok(());
    }
    let customer_id = customer(&state.customer_id)?;
    query!(connection, |c| diesel::insert_into(account::table)
        .values((
            account::brand_id.eq(Sql(brand_id)),
            account::account_id.eq(Sql(id)),
            account::revision.eq(state.revision),
            account::kind.eq(Sql(state.kind().as_str_name())),
            account::state.eq(Sql(state.state().as_str_name())),
            account::customer_id.eq(customer_id.as_ref().map(Sql)),
            account::create_time.eq(Sql(create_time)),
            account::upgrade_time.eq(upgrade_time.map(Sql)),
        ))
        .on_conflict((account::brand_id, account::account_id))
        .do_update()
        .set((
            account::revision.eq(excluded(account::revision)),
            account::kind.eq(excluded(account::kind)),
            account::state.eq(excluded(account::state)),
            account::customer_id.eq(excluded(account::customer_id)),
            account::create_time.eq(excluded(account::create_time)),
            account::upgrade_time.eq(excluded(account::upgrade_time)),
        ))
        .execute(c)
        .await)?;
    replace_emails(connection, brand_id, id, &state.email_digests).await
}

/// Keeps an erasure, which beats whatever else is said of the account (SPEC 55); of several the first.
pub(super) async fn keep_erased(
    connection: &mut Connection,
    brand_id: &BrandId,
    erased: &AccountErased,
) -> Result<(), StoreError> {
    let id: AccountId = read("account_id", erased.account_id.parse())?;
    if erased.link_revision > 0 {
        let person: AccountId = read("person_id", erased.person_id.parse())?;
        super::links::keep_revision(connection, brand_id, person, erased.link_revision).await?;
    }
    let erase_time = read_instant("erase_time", erased.erase_time.as_ref())?;
    let known = known(connection, brand_id, id).await?;
    if known.erase_time.is_some_and(|known| known <= erase_time) {
        return Ok(());
    }
    let customer_id = customer(&erased.customer_id)?;
    let kind = match customer_id {
        Some(_) => AccountKind::Client,
        None => AccountKind::Temporary,
    };
    query!(connection, |c| diesel::insert_into(account::table)
        .values((
            account::brand_id.eq(Sql(brand_id)),
            account::account_id.eq(Sql(id)),
            account::revision.eq(known.revision),
            account::kind.eq(Sql(kind.as_str_name())),
            account::state.eq(Sql(AccountState::Erased.as_str_name())),
            account::customer_id.eq(customer_id.as_ref().map(Sql)),
            // Until a fact tells when it was made.
            account::create_time.eq(Sql(erase_time)),
            account::erase_time.eq(Sql(erase_time)),
        ))
        .on_conflict((account::brand_id, account::account_id))
        .do_update()
        .set((
            account::kind.eq(excluded(account::kind)),
            account::state.eq(excluded(account::state)),
            account::customer_id.eq(excluded(account::customer_id)),
            account::erase_time.eq(excluded(account::erase_time)),
        ))
        .execute(c)
        .await)?;
    replace_emails(connection, brand_id, id, &erased.email_digests).await
}

/// Marks an account as erased before its erasure was told: what the erasure says, when it comes, takes
/// the place of the mark, and what an older fact says does not (SPEC 55).
///
/// # Errors
///
/// What the database fails with.
pub async fn mark_erased(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: AccountId,
    erase_time: DateTime<Utc>,
) -> Result<(), StoreError> {
    let known = known(connection, brand_id, id).await?;
    if known.erase_time.is_some() {
        return Ok(());
    }
    query!(connection, |c| diesel::insert_into(account::table)
        .values((
            account::brand_id.eq(Sql(brand_id)),
            account::account_id.eq(Sql(id)),
            account::revision.eq(known.revision),
            account::kind.eq(Sql(AccountKind::Temporary.as_str_name())),
            account::state.eq(Sql(AccountState::Erased.as_str_name())),
            account::create_time.eq(Sql(erase_time)),
            account::erase_time.eq(Sql(erase_time)),
        ))
        .on_conflict((account::brand_id, account::account_id))
        .do_update()
        .set((
            account::state.eq(excluded(account::state)),
            account::erase_time.eq(excluded(account::erase_time)),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

async fn known(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: AccountId,
) -> Result<Known, StoreError> {
    let row: Option<(i64, Option<Sql<DateTime<Utc>>>)> = query!(connection, |c| account::table
        .find((Sql(brand_id), Sql(id)))
        .select((account::revision, account::erase_time))
        .first(c)
        .await
        .optional())?;
    Ok(
        row.map_or_else(Known::default, |(revision, erase_time)| Known {
            revision,
            erase_time: erase_time.map(|time| time.0),
        }),
    )
}

/// Each fact names every e-mail that the account has or had, so its list takes the place of the one
/// before.
async fn replace_emails(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    emails: &[event::EmailDigest],
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::delete(
        account_email::table
            .filter(account_email::brand_id.eq(Sql(brand_id)))
            .filter(account_email::account_id.eq(Sql(account_id)))
    )
    .execute(c)
    .await)?;
    for email in emails {
        let provenance = match email.provenance() {
            EmailProvenance::Attested => Provenance::Attested,
            EmailProvenance::Typed | EmailProvenance::Unspecified => Provenance::Typed,
        };
        let from_time = read_instant("from_time", email.from_time.as_ref())?;
        let until_time = read_optional_instant("until_time", email.until_time.as_ref())?;
        query!(connection, |c| diesel::insert_into(account_email::table)
            .values((
                account_email::brand_id.eq(Sql(brand_id)),
                account_email::account_id.eq(Sql(account_id)),
                account_email::digest.eq(&email.digest),
                account_email::provenance.eq(Sql(provenance)),
                account_email::from_time.eq(Sql(from_time)),
                account_email::until_time.eq(until_time.map(Sql)),
            ))
            .on_conflict_do_nothing()
            .execute(c)
            .await)?;
    }
    Ok(())
}

fn customer(text: &str) -> Result<Option<CustomerId>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    read("customer_id", text.parse()).map(Some)
}
