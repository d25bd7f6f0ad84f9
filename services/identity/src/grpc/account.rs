//! `AccountService`.

use std::sync::Arc;

use domain::id::AccountId;
use kit::convert::field;
use rapport_proto::identity::v1::{self as proto, account_service_server::AccountService};
use tonic::{Request, Response, Status};

use super::{export, open, own_brand};
use crate::{
    app::App,
    convert::{WirePlace, account, erasure},
    error::IdentityError,
};

/// The service over the use cases.
pub(crate) struct AccountRpc {
    app: Arc<App>,
}

impl AccountRpc {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self {
            app: Arc::clone(app),
        }
    }
}

fn optional_account_id(name: &'static str, text: &str) -> Result<Option<AccountId>, IdentityError> {
    match text {
        "" => Ok(None),
        id => Ok(Some(field(name, id.parse())?)),
    }
}

#[tonic::async_trait]
impl AccountService for AccountRpc {
    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Result<Response<proto::GetAccountResponse>, Status> {
        let (principal, request) = open(request)?;
        let account_id = optional_account_id("account_id", &request.account_id)?;
        let shown = self.app.get_account(&principal, account_id).await?;
        Ok(Response::new(proto::GetAccountResponse {
            account: Some(account::show(&shown)),
        }))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let filter = account::filter(&request)?;
        let page = account::page(&request, &brand_id).map_err(IdentityError::from)?;
        let after = page.after().map(WirePlace::read).transpose();
        let after = after.map_err(IdentityError::from)?;
        let listed = self
            .app
            .list_accounts(&brand_id, &filter, after, page.limit())
            .await?;
        let (accounts, next_page_token) = page.close(listed, |last| {
            WirePlace::of(last.account.create_time, last.account.account_id)
        });
        Ok(Response::new(proto::ListAccountsResponse {
            accounts: accounts.iter().map(account::show).collect(),
            next_page_token,
        }))
    }

    async fn update_account(
        &self,
        request: Request<proto::UpdateAccountRequest>,
    ) -> Result<Response<proto::UpdateAccountResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let values = request.account.clone().unwrap_or_default();
        let account_id = optional_account_id("account.account_id", &values.account_id)?;
        let change = account::change(&values, request.update_mask.as_ref())?;
        let write = self.app.write(
            &principal,
            brand_id,
            "UpdateAccount",
            &request.request_id,
            &request,
        )?;
        let updating = self
            .app
            .update_account(write, &principal, account_id, change);
        Ok(Response::new(proto::UpdateAccountResponse {
            account: Some(account::show(&updating.await?)),
        }))
    }

    async fn create_member(
        &self,
        request: Request<proto::CreateMemberRequest>,
    ) -> Result<Response<proto::CreateMemberResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let new = account::create_member(&request)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "CreateMember",
            &request.request_id,
            &request,
        )?;
        let made = self.app.create_member(write, new).await?;
        Ok(Response::new(proto::CreateMemberResponse {
            member: Some(account::show_member(&made)),
        }))
    }

    async fn update_member(
        &self,
        request: Request<proto::UpdateMemberRequest>,
    ) -> Result<Response<proto::UpdateMemberResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let member = request.member.clone().unwrap_or_default();
        let member_id =
            field("member.member_id", member.member_id.parse()).map_err(IdentityError::from)?;
        let change = account::change_member(&member, request.update_mask.as_ref())?;
        let write = self.app.write(
            &principal,
            brand_id,
            "UpdateMember",
            &request.request_id,
            &request,
        )?;
        let changed = self.app.update_member(write, member_id, change).await?;
        Ok(Response::new(proto::UpdateMemberResponse {
            member: Some(account::show_member(&changed)),
        }))
    }

    async fn erase_account(
        &self,
        request: Request<proto::EraseAccountRequest>,
    ) -> Result<Response<proto::EraseAccountResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let account_id =
            field("account_id", request.account_id.parse()).map_err(IdentityError::from)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "EraseAccount",
            &request.request_id,
            &request,
        )?;
        let erased = self.app.erase_account(write, account_id).await?;
        Ok(Response::new(proto::EraseAccountResponse {
            erasure: Some(erasure::show(&erased)),
        }))
    }

    async fn get_erasure(
        &self,
        request: Request<proto::GetErasureRequest>,
    ) -> Result<Response<proto::GetErasureResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let erasure_id =
            field("erasure_id", request.erasure_id.parse()).map_err(IdentityError::from)?;
        let found = self.app.get_erasure(&brand_id, erasure_id).await?;
        Ok(Response::new(proto::GetErasureResponse {
            erasure: Some(erasure::show(&found)),
        }))
    }

    type ExportAccountStream = export::Export;

    async fn export_account(
        &self,
        request: Request<proto::ExportAccountRequest>,
    ) -> Result<Response<Self::ExportAccountStream>, Status> {
        let (principal, request) = open(request)?;
        let account_id =
            field("account_id", request.account_id.parse()).map_err(IdentityError::from)?;
        let told = export::export(&self.app, &principal, account_id).await?;
        Ok(Response::new(told))
    }
}
