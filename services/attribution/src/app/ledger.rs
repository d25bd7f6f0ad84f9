//! Statements and balances of Members.

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, LedgerEntryId, MemberId},
    money::Money,
};
use kit::directory::members;

use super::App;
use crate::{
    error::Error,
    store::ledger_entries::{self, Filter, LedgerEntry, Moment},
};

/// Whose entries a caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A Member: his own.
    Member(MemberId),
    /// A service of the Brand: anybody's.
    Service,
}

/// Returns whose entries are to be read, `None` for everybody's: a Member's own, or whom a service
/// asks for. A Member who asks for another's is told that there is none.
///
/// # Errors
///
/// [`Error::MemberNotFound`].
pub(crate) async fn member_to_read(
    app: &App,
    brand_id: &BrandId,
    reader: Reader,
    requested: Option<MemberId>,
) -> Result<Option<MemberId>, Error> {
    let member_id = match (reader, requested) {
        (Reader::Member(own), None) => return Ok(Some(own)),
        (Reader::Member(own), Some(requested)) if own == requested => return Ok(Some(own)),
        (Reader::Member(_), Some(member_id)) => return Err(Error::MemberNotFound { member_id }),
        (Reader::Service, None) => return Ok(None),
        (Reader::Service, Some(member_id)) => member_id,
    };
    let mut connection = app.db.read().await?;
    match members::find_active(&mut connection, brand_id, member_id).await? {
        Some(_) => Ok(Some(member_id)),
        None => Err(Error::MemberNotFound { member_id }),
    }
}

/// A place in a statement, behind an entry.
pub(crate) type Place = (DateTime<Utc>, LedgerEntryId);

/// Returns the next `limit` entries by booking time, then by id, behind `after`, and the moment of which
/// the statement is: that of its first page.
pub(crate) async fn list_entries(
    app: &App,
    brand_id: &BrandId,
    filter: &Filter,
    after: Option<(Place, Moment)>,
    limit: i64,
) -> Result<(Vec<LedgerEntry>, Moment), Error> {
    let mut connection = app.db.read().await?;
    let (place, moment) = match after {
        Some((place, moment)) => (Some(place), moment),
        None => (
            None,
            ledger_entries::moment(&mut connection, brand_id).await?,
        ),
    };
    let entries =
        ledger_entries::list(&mut connection, brand_id, filter, &moment, place, limit).await?;
    Ok((entries, moment))
}

/// Returns what was booked for a Member before `until_time`, by currency.
pub(crate) async fn balance(
    app: &App,
    brand_id: &BrandId,
    member: MemberId,
    until_time: DateTime<Utc>,
) -> Result<Vec<Money>, Error> {
    let mut connection = app.db.read().await?;
    let sums =
        ledger_entries::balances(&mut connection, brand_id, Some(member), until_time).await?;
    Ok(sums.into_iter().map(|(_, amount)| amount).collect())
}
