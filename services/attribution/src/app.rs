//! What the service does: one function per use case, each one transaction over facts.

pub(crate) mod attributions;
pub(crate) mod consistency;
pub(crate) mod digest;
pub(crate) mod erasures;
pub(crate) mod explanations;
pub(crate) mod export_person;
pub(crate) mod import_orders;
pub(crate) mod ledger;
pub(crate) mod orders;
pub(crate) mod policies;
pub(crate) mod recomputations;
pub(crate) mod record_checkout;
pub(crate) mod record_order;
pub(crate) mod record_refund;
pub(crate) mod record_status;
pub(crate) mod recorder;
pub(crate) mod simulations;
pub(crate) mod watch;

use domain::id::{BrandId, OrderId};
use kit::{
    access::SuiteChannel, clock::Clock, db::Db, ids::Ids, request::RequestKeys,
    secret::EmailDigestKey,
};
use rapport_proto::identity::v1::link_service_client::LinkServiceClient;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{app::recorder::Recorder, evaluate};

/// What the use cases share.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) email_digest_key: EmailDigestKey,
    /// Makes the keys of repeatable calls.
    pub(crate) request_keys: RequestKeys,
    /// Whom to ask for a sign-in that is not seen yet.
    pub(crate) identity: LinkServiceClient<SuiteChannel>,
    /// Ends the streams when the service stops.
    pub(crate) shutdown: CancellationToken,
    /// Records orders one by one, together with those of others.
    pub(crate) recorder: Recorder,
    /// Wakes the evaluation.
    pub(crate) wake: Notify,
    /// Wakes the recomputation.
    pub(crate) recompute_wake: Notify,
}

impl App {
    /// Evaluates an order for the sake of who reads it next, and deletes the mark on it. Where that
    /// fails the mark is left, so it is evaluated later, and what was recorded stays recorded.
    pub(crate) async fn evaluate_now(
        &self,
        brand_id: &BrandId,
        order_id: &OrderId,
        mark: Option<i64>,
    ) {
        let (orders, marks) = (vec![order_id.clone()], mark.into_iter().collect());
        if let Err(error) = evaluate::evaluate_orders(self, brand_id, orders, marks).await {
            tracing::warn!(
                order.id = %order_id,
                error = &error as &dyn std::error::Error,
                "order is evaluated later"
            );
        }
    }
}
