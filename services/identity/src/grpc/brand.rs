//! `BrandService`.

use std::sync::Arc;

use domain::id::{BrandId, KeyId};
use kit::{convert::field, error::CallError, page::Page};
use rapport_proto::identity::v1::{self as proto, brand_service_server::BrandService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{brand_of_call, open};
use crate::{
    app::App,
    convert::{WirePlace, audit_entry, brand, key},
    error::IdentityError,
};

/// The service over the use cases.
pub(crate) struct BrandRpc {
    app: Arc<App>,
}

impl BrandRpc {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self {
            app: Arc::clone(app),
        }
    }
}

#[tonic::async_trait]
impl BrandService for BrandRpc {
    async fn create_brand(
        &self,
        request: Request<proto::CreateBrandRequest>,
    ) -> Result<Response<proto::CreateBrandResponse>, Status> {
        let (principal, request) = open(request)?;
        let new = brand::create(request.brand.as_ref(), self.app.now())?;
        let write = self.app.write(
            &principal,
            new.brand_id.clone(),
            "CreateBrand",
            &request.request_id,
            &request,
        )?;
        let made = self.app.create_brand(write, new).await?;
        Ok(Response::new(proto::CreateBrandResponse {
            brand: Some(brand::show(&made)),
        }))
    }

    async fn get_brand(
        &self,
        request: Request<proto::GetBrandRequest>,
    ) -> Result<Response<proto::GetBrandResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let found = self.app.get_brand(&brand_id).await?;
        Ok(Response::new(proto::GetBrandResponse {
            brand: Some(brand::show(&found)),
        }))
    }

    async fn update_brand(
        &self,
        request: Request<proto::UpdateBrandRequest>,
    ) -> Result<Response<proto::UpdateBrandResponse>, Status> {
        let (principal, request) = open(request)?;
        let values = request.brand.clone().unwrap_or_default();
        let brand_id = brand_of_call(&principal, &values.brand_id)?;
        let change = brand::change(&values, request.update_mask.as_ref(), principal.caller())?;
        let write = self.app.write(
            &principal,
            brand_id,
            "UpdateBrand",
            &request.request_id,
            &request,
        )?;
        let changed = self.app.update_brand(write, change).await?;
        Ok(Response::new(proto::UpdateBrandResponse {
            brand: Some(brand::show(&changed)),
        }))
    }

    async fn list_brands(
        &self,
        request: Request<proto::ListBrandsRequest>,
    ) -> Result<Response<proto::ListBrandsResponse>, Status> {
        let (_, request) = open(request)?;
        let page = Page::<String>::open(request.page_size, &request.page_token, &"ListBrands")
            .map_err(IdentityError::from)?;
        let after = page
            .after()
            .map(|after| BrandId::parse(after).map_err(|_| CallError::PageTokenInvalid))
            .transpose()
            .map_err(IdentityError::from)?;
        let listed = self.app.list_brands(after.as_ref(), page.limit()).await?;
        let (brands, next_page_token) = page.close(listed, |last| last.brand.brand_id.to_string());
        Ok(Response::new(proto::ListBrandsResponse {
            brands: brands.iter().map(brand::show).collect(),
            next_page_token,
        }))
    }

    async fn set_merge_policy(
        &self,
        request: Request<proto::SetMergePolicyRequest>,
    ) -> Result<Response<proto::SetMergePolicyResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let policy = brand::merge_policy(request.choice.as_ref())?;
        let write = self.app.write(
            &principal,
            brand_id,
            "SetMergePolicy",
            &request.request_id,
            &request,
        )?;
        let made = self.app.set_merge_policy(write, policy).await?;
        Ok(Response::new(proto::SetMergePolicyResponse {
            merge_policy: Some(brand::show_merge_policy(&made)),
        }))
    }

    async fn list_merge_policy_revisions(
        &self,
        request: Request<proto::ListMergePolicyRevisionsRequest>,
    ) -> Result<Response<proto::ListMergePolicyRevisionsResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let list = ("ListMergePolicyRevisions", brand_id.as_str());
        let page = Page::open(request.page_size, &request.page_token, &list)
            .map_err(IdentityError::from)?;
        let listed = self
            .app
            .list_merge_policies(&brand_id, page.after().copied(), page.limit())
            .await?;
        let (policies, next_page_token) = page.close(listed, |last| last.revision);
        Ok(Response::new(proto::ListMergePolicyRevisionsResponse {
            merge_policy_revisions: policies.iter().map(brand::show_merge_policy).collect(),
            next_page_token,
        }))
    }

    async fn create_assertion_key(
        &self,
        request: Request<proto::CreateAssertionKeyRequest>,
    ) -> Result<Response<proto::CreateAssertionKeyResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let new = key::create_assertion_key(&request, self.app.key_reach(), self.app.now())?;
        let write = self.app.write(
            &principal,
            brand_id,
            "CreateAssertionKey",
            &request.request_id,
            &request,
        )?;
        let made = self.app.create_assertion_key(write, new).await?;
        Ok(Response::new(key::show_made_assertion_key(&made)))
    }

    async fn list_assertion_keys(
        &self,
        request: Request<proto::ListAssertionKeysRequest>,
    ) -> Result<Response<proto::ListAssertionKeysResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let include_revoked = request.include_revoked;
        let list = ("ListAssertionKeys", brand_id.as_str(), include_revoked);
        let page = Page::<Uuid>::open(request.page_size, &request.page_token, &list)
            .map_err(IdentityError::from)?;
        let before = page.after().copied().map(KeyId::from);
        let listed = self
            .app
            .list_assertion_keys(&brand_id, include_revoked, before, page.limit())
            .await?;
        let (keys, next_page_token) = page.close(listed, |last| last.assertion_key_id.uuid());
        Ok(Response::new(proto::ListAssertionKeysResponse {
            assertion_keys: keys.iter().map(key::show_assertion_key).collect(),
            next_page_token,
        }))
    }

    async fn revoke_assertion_key(
        &self,
        request: Request<proto::RevokeAssertionKeyRequest>,
    ) -> Result<Response<proto::RevokeAssertionKeyResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let key_id = field("assertion_key_id", request.assertion_key_id.parse())
            .map_err(IdentityError::from)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "RevokeAssertionKey",
            &request.request_id,
            &request,
        )?;
        let revoked = self.app.revoke_assertion_key(write, key_id).await?;
        Ok(Response::new(proto::RevokeAssertionKeyResponse {
            assertion_key: Some(key::show_assertion_key(&revoked)),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Result<Response<proto::CreateApiKeyResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let new = key::create_api_key(&request, &principal, self.app.now())?;
        let write = self.app.write(
            &principal,
            brand_id,
            "CreateApiKey",
            &request.request_id,
            &request,
        )?;
        let made = self.app.create_api_key(write, new).await?;
        Ok(Response::new(key::show_made_api_key(&made)))
    }

    async fn list_api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Result<Response<proto::ListApiKeysResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let include_revoked = request.include_revoked;
        let list = ("ListApiKeys", brand_id.as_str(), include_revoked);
        let page = Page::<Uuid>::open(request.page_size, &request.page_token, &list)
            .map_err(IdentityError::from)?;
        let before = page.after().copied().map(KeyId::from);
        let listed = self
            .app
            .list_api_keys(&brand_id, include_revoked, before, page.limit())
            .await?;
        let (keys, next_page_token) = page.close(listed, |last| last.api_key_id.uuid());
        Ok(Response::new(proto::ListApiKeysResponse {
            api_keys: keys.iter().map(key::show_api_key).collect(),
            next_page_token,
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Result<Response<proto::RevokeApiKeyResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let key_id =
            field("api_key_id", request.api_key_id.parse()).map_err(IdentityError::from)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "RevokeApiKey",
            &request.request_id,
            &request,
        )?;
        let revoked = self.app.revoke_api_key(write, key_id).await?;
        Ok(Response::new(proto::RevokeApiKeyResponse {
            api_key: Some(key::show_api_key(&revoked)),
        }))
    }

    async fn list_audit_entries(
        &self,
        request: Request<proto::ListAuditEntriesRequest>,
    ) -> Result<Response<proto::ListAuditEntriesResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = brand_of_call(&principal, &request.brand_id)?;
        let filter = audit_entry::filter(&request)?;
        let page = audit_entry::page(&request, &brand_id).map_err(IdentityError::from)?;
        let before = page.after().map(WirePlace::read).transpose();
        let before = before.map_err(IdentityError::from)?;
        let listed = self
            .app
            .list_audit_entries(&brand_id, &filter, before, page.limit())
            .await?;
        let (entries, next_page_token) = page.close(listed, |last| {
            WirePlace::of(last.create_time, last.audit_entry_id)
        });
        Ok(Response::new(proto::ListAuditEntriesResponse {
            audit_entries: entries.iter().map(audit_entry::show).collect(),
            next_page_token,
        }))
    }
}
