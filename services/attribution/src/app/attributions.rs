//! Reading what an order is credited to.

use domain::{
    id::{BrandId, OrderId},
    ledger::Booked,
    money::Currency,
};
use kit::{
    consistency::ConsistencyToken,
    db::{Connection, StoreError},
    error::CallError,
};

use super::{App, consistency};
use crate::{
    error::Error,
    store::{
        attributions::{self, StoredAttribution},
        awaited_sign_ins, ledger_entries, orders,
    },
};

/// What is known of an order's attribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttributionView {
    pub(crate) order_id: OrderId,
    pub(crate) currency: Currency,
    /// `None` before the first evaluation.
    pub(crate) stored: Option<StoredAttribution>,
    /// Whether it waits for a sign-in that is not seen yet.
    pub(crate) awaits_sign_in: bool,
    pub(crate) booked: Vec<Booked>,
}

/// Returns an attribution, as known now; after the sign-in of `token`, where one is given.
///
/// # Errors
///
/// [`Error::AttributionNotFound`]; [`CallError::ConsistencyUnavailable`].
pub(crate) async fn get_attribution(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
    token: Option<ConsistencyToken>,
) -> Result<AttributionView, Error> {
    catch_up(app, brand_id, order_id, token).await?;
    let mut connection = app.db.read().await?;
    let found = find(&mut connection, brand_id, order_id).await?;
    found.ok_or_else(|| Error::AttributionNotFound {
        order_id: order_id.clone(),
    })
}

/// Makes what is read next no older than the sign-in of `token`: its facts are known, and the order
/// is evaluated after them (SPEC 54).
pub(crate) async fn catch_up(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
    token: Option<ConsistencyToken>,
) -> Result<(), Error> {
    if token.is_none() {
        return Ok(());
    }
    if consistency::unseen(app, brand_id, token).await?.is_some() {
        return Err(CallError::ConsistencyUnavailable.into());
    }
    crate::evaluate::evaluate_order(app, brand_id, order_id).await?;
    Ok(())
}

/// Returns what is known of an order's attribution, if the order is recorded.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Option<AttributionView>, StoreError> {
    let Some(order) = orders::find(connection, brand_id, order_id).await? else {
        return Ok(None);
    };
    let awaited = awaited_sign_ins::find(connection, brand_id, order_id).await?;
    Ok(Some(AttributionView {
        stored: attributions::find(connection, brand_id, order_id).await?,
        booked: ledger_entries::booked(connection, brand_id, order_id).await?,
        awaits_sign_in: awaited.is_some(),
        currency: order.total.currency(),
        order_id: order.id,
    }))
}
