//! Reading what an order is credited to.

use std::collections::BTreeSet;

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
    crate::evaluate::evaluate_orders(app, brand_id, vec![order_id.clone()], Vec::new()).await?;
    Ok(())
}

/// Returns what is known of an order's attribution, if the order is recorded.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    order_id: &OrderId,
) -> Result<Option<AttributionView>, StoreError> {
    let views = list(connection, brand_id, std::slice::from_ref(order_id)).await?;
    Ok(views.into_iter().next())
}

/// Returns what is known of the attributions of those of `orders` that are recorded, by id.
pub(crate) async fn list(
    connection: &mut Connection,
    brand_id: &BrandId,
    orders: &[OrderId],
) -> Result<Vec<AttributionView>, StoreError> {
    let recorded = orders::list(connection, brand_id, orders).await?;
    let awaited = awaited_sign_ins::list_of_orders(connection, brand_id, orders).await?;
    let awaited: BTreeSet<OrderId> = awaited.into_iter().map(|(id, _)| id).collect();
    let mut stored = attributions::list(connection, brand_id, orders).await?;
    let mut booked = ledger_entries::booked(connection, brand_id, orders).await?;
    Ok(recorded
        .into_iter()
        .map(|order| AttributionView {
            stored: stored.remove(&order.id),
            booked: booked.remove(&order.id).unwrap_or_default(),
            awaits_sign_in: awaited.contains(&order.id),
            currency: order.total.currency(),
            order_id: order.id,
        })
        .collect())
}
