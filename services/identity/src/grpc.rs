//! The gRPC services: they parse a request, call the use case, and show its result. No rules.

mod account;
mod brand;
mod export;
mod link;
mod session;

use std::sync::Arc;

use domain::id::BrandId;
use kit::{
    access::{self, Principal},
    server::Lifetime,
};
use rapport_proto::identity::v1::{
    account_service_server::AccountServiceServer, brand_service_server::BrandServiceServer,
    link_service_server::LinkServiceServer, session_service_server::SessionServiceServer,
};
use tonic::{Request, service::RoutesBuilder};

use crate::{app::App, error::IdentityError};

/// The full names of the services, for health and reflection.
pub(crate) const SERVICE_NAMES: [&str; 4] = [
    "rapport.identity.v1.BrandService",
    "rapport.identity.v1.SessionService",
    "rapport.identity.v1.AccountService",
    "rapport.identity.v1.LinkService",
];

/// Returns the routes of all services.
pub(crate) fn routes(app: &Arc<App>, lifetime: &Lifetime) -> RoutesBuilder {
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(BrandServiceServer::new(brand::BrandRpc::new(app)))
        .add_service(SessionServiceServer::new(session::SessionRpc::new(app)))
        .add_service(AccountServiceServer::new(account::AccountRpc::new(app)))
        .add_service(LinkServiceServer::new(link::LinkRpc::new(app, lifetime)));
    routes
}

/// Returns who calls, and what he asks.
fn open<T>(request: Request<T>) -> Result<(Principal, T), IdentityError> {
    let principal = access::principal(&request)?;
    Ok((principal, request.into_inner()))
}

/// Returns the Brand that a call is about, where the request may name it.
fn brand_of_call(principal: &Principal, requested: &str) -> Result<BrandId, IdentityError> {
    let brand_id = principal.brand_of_call(requested)?;
    brand_id.ok_or(IdentityError::BrandNotFound)
}

/// Returns the Brand that the caller's token names.
fn own_brand(principal: &Principal) -> Result<BrandId, IdentityError> {
    principal
        .brand_id()
        .cloned()
        .ok_or(IdentityError::BrandNotFound)
}
