//! `LinkService`.

use std::sync::Arc;

use domain::id::{AccountId, BrandId, CustomerId, LinkId};
use futures_util::stream::BoxStream;
use kit::{
    access::Principal,
    convert::field,
    error::CallError,
    event_log::{Batch, EventFeed},
    page::Page,
    server::Lifetime,
};
use rapport_proto::identity::v1::{
    self as proto, link_service_server::LinkService, resolve_person_request::Key,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{brand_of_call, open, own_brand};
use crate::{
    app::{App, PersonKey},
    convert::{self, link},
    error::IdentityError,
    store::links::Filter,
};

const MAX_REASON: usize = 500;

/// The service over the use cases, and over the event log.
pub(crate) struct LinkRpc {
    app: Arc<App>,
    events: EventFeed,
}

impl LinkRpc {
    pub(crate) fn new(app: &Arc<App>, lifetime: &Lifetime) -> Self {
        Self {
            app: Arc::clone(app),
            events: app.event_feed(lifetime),
        }
    }
}

fn link_page(
    request: &proto::ListLinksRequest,
    brand_id: &BrandId,
) -> Result<Page<Uuid>, CallError> {
    let proto::ListLinksRequest {
        account_id,
        include_revoked,
        page_size,
        page_token,
    } = request;
    let list = ("ListLinks", brand_id.as_str(), account_id, include_revoked);
    Page::open(*page_size, page_token, &list)
}

#[tonic::async_trait]
impl LinkService for LinkRpc {
    async fn get_link(
        &self,
        request: Request<proto::GetLinkRequest>,
    ) -> Result<Response<proto::GetLinkResponse>, Status> {
        let (principal, request) = open(request)?;
        let link_id = field("link_id", request.link_id.parse()).map_err(IdentityError::from)?;
        let found = self.app.get_link(&own_brand(&principal)?, link_id).await?;
        Ok(Response::new(proto::GetLinkResponse {
            link: Some(link::show(&found)),
        }))
    }

    async fn list_links(
        &self,
        request: Request<proto::ListLinksRequest>,
    ) -> Result<Response<proto::ListLinksResponse>, Status> {
        let (principal, request) = open(request)?;
        let account_id: Option<AccountId> = match request.account_id.as_str() {
            "" => None,
            id => Some(field("account_id", id.parse()).map_err(IdentityError::from)?),
        };
        let filter = Filter {
            account_id,
            include_revoked: request.include_revoked,
        };
        let brand_id = own_brand(&principal)?;
        let page = link_page(&request, &brand_id).map_err(IdentityError::from)?;
        let before = page.after().copied().map(LinkId::from);
        let listed = self
            .app
            .list_links(&brand_id, filter, before, page.limit())
            .await?;
        let (links, next_page_token) = page.close(listed, |last| last.link_id.uuid());
        Ok(Response::new(proto::ListLinksResponse {
            links: links.iter().map(link::show).collect(),
            next_page_token,
        }))
    }

    async fn revoke_link(
        &self,
        request: Request<proto::RevokeLinkRequest>,
    ) -> Result<Response<proto::RevokeLinkResponse>, Status> {
        let (principal, request) = open(request)?;
        let link_id = field("link_id", request.link_id.parse()).map_err(IdentityError::from)?;
        let reason = convert::text("reason", &request.reason, MAX_REASON)?;
        let write = self.app.write(
            &principal,
            own_brand(&principal)?,
            "RevokeLink",
            &request.request_id,
            &request,
        )?;
        let revoked = self.app.revoke_link(write, link_id, reason).await?;
        Ok(Response::new(proto::RevokeLinkResponse {
            link: Some(link::show(&revoked.link)),
            consistency_token: revoked.consistency_token.to_text(),
        }))
    }

    async fn resolve_person(
        &self,
        request: Request<proto::ResolvePersonRequest>,
    ) -> Result<Response<proto::ResolvePersonResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let key = match &request.key {
            Some(Key::AccountId(id)) => field("account_id", id.parse()).map(PersonKey::Account),
            Some(Key::CustomerId(id)) => {
                field("customer_id", CustomerId::parse(id)).map(PersonKey::Customer)
            }
            None => return Err(IdentityError::field("key", "is required").into()),
        };
        let key = key.map_err(IdentityError::from)?;
        let person = self.app.resolve_person(&brand_id, &key).await?;
        Ok(Response::new(proto::ResolvePersonResponse {
            person: Some(link::show_person(&person)),
        }))
    }

    type WatchEventsStream = BoxStream<'static, Result<proto::WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<proto::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = match (&principal, request.brand_id.as_str()) {
            // The suite alone reads across Brands.
            (Principal::Suite, "") => None,
            (_, requested) => Some(brand_of_call(&principal, requested)?),
        };
        if let Some(brand_id) = &brand_id {
            self.app.get_brand(brand_id).await?;
        }
        let events = self
            .events
            .watch(brand_id, &request.resume_position, Batch::identity)
            .map_err(IdentityError::from)?;
        Ok(Response::new(events))
    }
}
