//! Why a call is refused, and how that looks on the wire.

use domain::id::{CartId, LinkId, MemberId, OrderId, RefundId};
use kit::{
    db::{StoreError, TxError},
    error::{CallError, Refusal},
};
use tonic::{Code, Status};

/// The `ErrorInfo` domain of this service.
pub(crate) const DOMAIN: &str = "attribution.rapport";

/// A refusal of this service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// One that all services share.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The Brand has no such order.
    #[error("there is no order {order_id}")]
    OrderNotFound { order_id: OrderId },
    /// The Brand has no such order, hence no attribution of it.
    #[error("nothing is attributed for order {order_id}")]
    AttributionNotFound { order_id: OrderId },
    /// The buyer's person has no such link.
    #[error("the buyer of the order has no link {link_id}")]
    LinkNotFound { link_id: LinkId },
    /// The Brand has no such Member, or the caller is another one.
    #[error("there is no Member {member_id}")]
    MemberNotFound { member_id: MemberId },
    /// The order was recorded with another body.
    #[error("order {order_id} was recorded with another body")]
    OrderIdReused { order_id: OrderId },
    /// The order is dated too far ahead.
    #[error("the order's time is more than five minutes ahead")]
    OrderInFuture,
    /// The cart has a checkout by another account at that instant.
    #[error("cart {cart_id} has a checkout by another account at that instant")]
    CheckoutReused { cart_id: CartId },
    /// The refund was recorded with another body.
    #[error("refund {refund_id} was recorded with another body")]
    RefundIdReused { refund_id: RefundId },
    /// A recomputation that was requested earlier is under way.
    #[error("a recomputation is under way: repeat its call to see how far it is")]
    RecomputationRunning,
    /// Who watches has taken nothing for too long.
    #[error(
        "what there is to tell was not taken for too long: connect again with the last position"
    )]
    WatcherTooSlow,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Call(error.into())
    }
}

impl TxError for Error {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Call(error) => error.store_error(),
            _ => None,
        }
    }
}

impl Error {
    /// Returns the answer.
    pub(crate) fn into_status(self) -> Status {
        self.refusal().into_status(DOMAIN)
    }

    /// Returns the answer before it is tied to a call.
    pub(crate) fn refusal(&self) -> Refusal {
        let refusal = |code, reason| Refusal::new(code, reason, self.to_string());
        match self {
            Self::Call(error) => error.refusal(),
            Self::OrderNotFound { order_id } => {
                refusal(Code::NotFound, "ORDER_NOT_FOUND").with("orderId", order_id)
            }
            Self::AttributionNotFound { order_id } => {
                refusal(Code::NotFound, "ATTRIBUTION_NOT_FOUND").with("orderId", order_id)
            }
            Self::LinkNotFound { link_id } => {
                refusal(Code::NotFound, "LINK_NOT_FOUND").with("linkId", link_id)
            }
            Self::MemberNotFound { member_id } => {
                refusal(Code::NotFound, "MEMBER_NOT_FOUND").with("memberId", member_id)
            }
            Self::OrderIdReused { order_id } => {
                refusal(Code::AlreadyExists, "ORDER_ID_REUSED").with("orderId", order_id)
            }
            Self::OrderInFuture => refusal(Code::InvalidArgument, "ORDER_IN_FUTURE"),
            Self::CheckoutReused { cart_id } => {
                refusal(Code::AlreadyExists, "CHECKOUT_REUSED").with("cartId", cart_id)
            }
            Self::RefundIdReused { refund_id } => {
                refusal(Code::AlreadyExists, "REFUND_ID_REUSED").with("refundId", refund_id)
            }
            Self::WatcherTooSlow => refusal(Code::ResourceExhausted, "WATCHER_TOO_SLOW"),
            Self::RecomputationRunning => {
                refusal(Code::FailedPrecondition, "RECOMPUTATION_RUNNING")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rapport_proto::attribution::v1::ErrorReason;
    use tonic_types::StatusExt;

    use super::*;

    fn check(error: Error, code: Code, reason: ErrorReason) {
        let message = error.to_string();
        let status = error.into_status();
        let info = status.get_details_error_info().unwrap();
        let full_name = format!("ERROR_REASON_{}", info.reason);
        assert_eq!(ErrorReason::from_str_name(&full_name), Some(reason));
        assert_eq!((status.code(), info.domain.as_str()), (code, DOMAIN));
        for value in info.metadata.values() {
            assert!(message.contains(value), "{message}");
        }
    }

    #[test]
    fn what_is_not_there_has_a_reason_of_the_contract() {
        let order_id = OrderId::parse("order-7").unwrap();
        let error = Error::OrderNotFound {
            order_id: order_id.clone(),
        };
        check(error, Code::NotFound, ErrorReason::OrderNotFound);
        let error = Error::AttributionNotFound { order_id };
        check(error, Code::NotFound, ErrorReason::AttributionNotFound);
        let link_id = uuid::Uuid::nil().into();
        let error = Error::LinkNotFound { link_id };
        check(error, Code::NotFound, ErrorReason::LinkNotFound);
        let member_id = uuid::Uuid::nil().into();
        let error = Error::MemberNotFound { member_id };
        check(error, Code::NotFound, ErrorReason::MemberNotFound);
    }

    #[test]
    fn what_is_there_already_has_a_reason_of_the_contract() {
        let order_id = OrderId::parse("order-7").unwrap();
        let error = Error::OrderIdReused { order_id };
        check(error, Code::AlreadyExists, ErrorReason::OrderIdReused);
        let cart_id = CartId::parse("cart-7").unwrap();
        let error = Error::CheckoutReused { cart_id };
        check(error, Code::AlreadyExists, ErrorReason::CheckoutReused);
        let refund_id = RefundId::parse("refund-7").unwrap();
        let error = Error::RefundIdReused { refund_id };
        check(error, Code::AlreadyExists, ErrorReason::RefundIdReused);
    }

    #[test]
    fn the_other_refusals_have_a_reason_of_the_contract() {
        let (code, error) = (Code::InvalidArgument, CallError::PageTokenInvalid);
        check(error.into(), code, ErrorReason::PageTokenInvalid);
        check(Error::OrderInFuture, code, ErrorReason::OrderInFuture);
        let (error, reason) = (
            Error::RecomputationRunning,
            ErrorReason::RecomputationRunning,
        );
        check(error, Code::FailedPrecondition, reason);
        let (code, reason) = (Code::ResourceExhausted, ErrorReason::WatcherTooSlow);
        check(Error::WatcherTooSlow, code, reason);
    }
}
