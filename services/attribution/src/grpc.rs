//! The gRPC methods: they parse, hand over, and answer.

mod attribution_service;
pub(crate) mod imports;
mod order_service;
mod persons;
pub(crate) mod watching;

use domain::id::{BrandId, MemberId};
use kit::{
    access::{Principal, principal},
    error::CallError,
    request::RequestKey,
};
use prost::Message;
use tonic::{Request, Response, Status};

pub(crate) use attribution_service::AttributionMethods;
pub(crate) use order_service::OrderMethods;

use crate::{app::App, error::Error};

/// Who calls, of which Brand. The access layer has let him in.
struct Caller {
    brand_id: BrandId,
    /// As kind and id.
    name: String,
    /// Who a service is, as records of what it did have it.
    service_id: String,
    /// The Member, where it is one.
    member: Option<MemberId>,
}

impl Caller {
    fn of<T>(request: &Request<T>) -> Result<Self, CallError> {
        let principal = principal(request)?;
        let brand_id = principal.brand_id().ok_or(CallError::PermissionDenied)?;
        Ok(Self {
            brand_id: brand_id.clone(),
            name: principal.name(),
            service_id: match &principal {
                Principal::Service { key_id, .. } => key_id.to_string(),
                _ => String::new(),
            },
            member: match &principal {
                Principal::Member(subject) => Some(subject.id),
                _ => None,
            },
        })
    }

    /// Returns what makes two calls the same call.
    fn request_key(
        &self,
        app: &App,
        method: &'static str,
        request_id: &str,
        body: &impl Message,
    ) -> Result<RequestKey, CallError> {
        let (brand_id, name) = (self.brand_id.clone(), self.name.clone());
        app.request_keys
            .key(brand_id, name, method, request_id, body)
    }
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Error::into_status)
}
