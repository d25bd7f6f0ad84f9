//! `rapport.attribution.v1.OrderService`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::id::OrderId;
use kit::{
    consistency::ConsistencyToken,
    convert::optional_instant,
    error::CallError,
    page::{self, Page},
};
use rapport_proto::attribution::v1::{
    self as wire, GetOrderRequest, GetOrderResponse, ImportOrdersRequest, ListOrdersRequest,
    ListOrdersResponse, RecordCheckoutRequest, RecordCheckoutResponse, RecordOrderRequest,
    RecordOrderResponse, RecordOrderStatusRequest, RecordOrderStatusResponse, RecordRefundRequest,
    RecordRefundResponse, order_service_server::OrderService,
};
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status, Streaming};

use super::{Caller, answer, imports};
use crate::{
    app::{
        App, orders, record_checkout::record_checkout, record_order::record_order,
        record_refund::record_refund, record_status::record_status,
    },
    convert::{self, RefundField},
    error::Error,
    store::{first_instant, last_instant, orders::pages::Filter},
};

/// The methods of the service.
pub(crate) struct OrderMethods(pub(crate) Arc<App>);

/// Where the next page of orders begins.
#[derive(Deserialize, Serialize)]
struct Cursor {
    /// In microseconds since 1970.
    order_time: i64,
    order_id: String,
}

impl OrderMethods {
    async fn do_record_checkout(
        &self,
        request: Request<RecordCheckoutRequest>,
    ) -> Result<RecordCheckoutResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let report = convert::checkout_report(request.checkout.as_ref())?;
        let key = caller.request_key(&self.0, "RecordCheckout", &request.request_id, &request)?;
        let checkout = record_checkout(&self.0, &caller.brand_id, key, report).await?;
        Ok(RecordCheckoutResponse {
            checkout: Some(checkout),
        })
    }

    async fn do_record_order(
        &self,
        request: Request<RecordOrderRequest>,
    ) -> Result<RecordOrderResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let brand_id = &caller.brand_id;
        let digest_key = &self.0.email_digest_key;
        let report = convert::order_report(digest_key, brand_id, request.order.as_ref())?;
        let token = ConsistencyToken::parse(&request.consistency_token)?;
        // The e-mail is in no digest that is kept but the Brand's keyed one.
        let body = RecordOrderRequest {
            order: Some(convert::without_email(&report)),
            ..request
        };
        let key = caller.request_key(&self.0, "RecordOrder", &body.request_id, &body)?;
        let (order, view) = record_order(&self.0, brand_id, key, report, token).await?;
        Ok(RecordOrderResponse {
            order: Some(convert::order(&order)),
            attribution: Some(convert::attribution::attribution(&view)),
        })
    }

    async fn do_record_order_status(
        &self,
        request: Request<RecordOrderStatusRequest>,
    ) -> Result<RecordOrderStatusResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let order_id = convert::order_id(&request.order_id)?;
        let status = request
            .status
            .as_ref()
            .ok_or_else(|| CallError::field("status", "is required"))?;
        let report = convert::status_report("status.label", "status.status_time", status)?;
        let key =
            caller.request_key(&self.0, "RecordOrderStatus", &request.request_id, &request)?;
        let status = record_status(&self.0, &caller.brand_id, key, &order_id, report).await?;
        Ok(RecordOrderStatusResponse {
            status: Some(status),
            order: self.find_order(&caller, &order_id).await?,
        })
    }

    async fn do_record_refund(
        &self,
        request: Request<RecordRefundRequest>,
    ) -> Result<RecordRefundResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let order_id = convert::order_id(&request.order_id)?;
        let report = convert::refund_report(&RefundField::ONE, request.refund.as_ref())?;
        let key = caller.request_key(&self.0, "RecordRefund", &request.request_id, &request)?;
        let refund = record_refund(&self.0, &caller.brand_id, key, &order_id, report).await?;
        Ok(RecordRefundResponse {
            refund: Some(refund),
            order: self.find_order(&caller, &order_id).await?,
        })
    }

    async fn do_get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<GetOrderResponse, Error> {
        let caller = Caller::of(&request)?;
        let order_id = convert::order_id(&request.get_ref().order_id)?;
        let order = orders::get_order(&self.0, &caller.brand_id, &order_id).await?;
        Ok(GetOrderResponse {
            order: Some(convert::order(&order)),
        })
    }

    async fn do_list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<ListOrdersResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from_time = optional_instant("from_time", request.from_time.as_ref())?;
        let until_time = optional_instant("until_time", request.until_time.as_ref())?;
        let (outcomes, with_unevaluated) = convert::attribution::outcomes(request.outcome)?;
        let filter = Filter {
            from_time: from_time.unwrap_or_else(first_instant),
            until_time: until_time.unwrap_or_else(last_instant),
            outcomes,
            with_unevaluated,
        };
        let list = (
            "ListOrders",
            caller.brand_id.as_str(),
            request.outcome,
            from_time.map(|time| time.timestamp_micros()),
            until_time.map(|time| time.timestamp_micros()),
        );
        let page = Page::<Cursor>::open(request.page_size, &request.page_token, &list)?;
        let after = page.after().map(place).transpose()?;
        let (brand_id, limit) = (&caller.brand_id, page.limit());
        let found = orders::list_orders(&self.0, brand_id, &filter, after.as_ref(), limit).await?;
        let (found, next_page_token) = page.close(found, |last| Cursor {
            order_time: last.order.order_time.timestamp_micros(),
            order_id: last.order.id.to_string(),
        });
        Ok(ListOrdersResponse {
            orders: found.iter().map(convert::order).collect(),
            next_page_token,
        })
    }

    async fn find_order(
        &self,
        caller: &Caller,
        order_id: &OrderId,
    ) -> Result<Option<wire::Order>, Error> {
        let found = orders::find_order(&self.0, &caller.brand_id, order_id).await?;
        Ok(found.as_ref().map(convert::order))
    }
}

fn place(cursor: &Cursor) -> Result<(DateTime<Utc>, OrderId), CallError> {
    let time = page::instant(cursor.order_time)?;
    let order_id = cursor.order_id.parse();
    Ok((time, order_id.map_err(|_| CallError::PageTokenInvalid)?))
}

#[tonic::async_trait]
impl OrderService for OrderMethods {
    type ImportOrdersStream = imports::Import;

    async fn record_checkout(
        &self,
        request: Request<RecordCheckoutRequest>,
    ) -> Result<Response<RecordCheckoutResponse>, Status> {
        answer(self.do_record_checkout(request).await)
    }

    async fn record_order(
        &self,
        request: Request<RecordOrderRequest>,
    ) -> Result<Response<RecordOrderResponse>, Status> {
        answer(self.do_record_order(request).await)
    }

    async fn import_orders(
        &self,
        request: Request<Streaming<ImportOrdersRequest>>,
    ) -> Result<Response<Self::ImportOrdersStream>, Status> {
        let caller = Caller::of(&request).map_err(Error::from);
        answer(caller.map(|caller| imports::import(&self.0, caller.brand_id, request.into_inner())))
    }

    async fn record_order_status(
        &self,
        request: Request<RecordOrderStatusRequest>,
    ) -> Result<Response<RecordOrderStatusResponse>, Status> {
        answer(self.do_record_order_status(request).await)
    }

    async fn record_refund(
        &self,
        request: Request<RecordRefundRequest>,
    ) -> Result<Response<RecordRefundResponse>, Status> {
        answer(self.do_record_refund(request).await)
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        answer(self.do_get_order(request).await)
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        answer(self.do_list_orders(request).await)
    }
}
