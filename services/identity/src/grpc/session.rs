//! `SessionService`.

use std::sync::Arc;

use domain::id::BrandId;
use kit::{
    access::{Principal, certified_api_key},
    convert::{field, timestamp},
    limit,
};
use prost_types::Duration;
use rapport_proto::identity::v1::{self as proto, session_service_server::SessionService};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::{open, own_brand};
use crate::{
    app::{Actor, ApiKeyProof, App, ShownAccount, SignInCommand},
    convert::{account, session},
    error::IdentityError,
};

/// How long a key set may be kept: as long as that is shorter than the overlap of a rotation.
const KEY_SET_MAX_AGE: Duration = Duration {
    seconds: 300,
    nanos: 0,
};

/// The service over the use cases.
pub(crate) struct SessionRpc {
    app: Arc<App>,
}

impl SessionRpc {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self {
            app: Arc::clone(app),
        }
    }
}

/// Returns what an anonymous caller asks, of which Brand, if his calls about it are not too many.
fn open_anonymous<T>(
    app: &App,
    request: Request<T>,
    brand_id: impl Fn(&T) -> &str,
) -> Result<(Principal, BrandId, T), IdentityError> {
    let origin = limit::origin(&request)?;
    let (principal, request) = open(request)?;
    let brand_id = field("brand_id", BrandId::parse(brand_id(&request)))?;
    app.limits().check_brand(&origin, &brand_id)?;
    Ok((principal, brand_id, request))
}

#[tonic::async_trait]
impl SessionService for SessionRpc {
    async fn start_temporary_session(
        &self,
        request: Request<proto::StartTemporarySessionRequest>,
    ) -> Result<Response<proto::StartTemporarySessionResponse>, Status> {
        let (principal, brand_id, request) =
            open_anonymous(&self.app, request, |request| &request.brand_id)?;
        let new = session::start(&request)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "StartTemporarySession",
            &request.request_id,
            &request,
        )?;
        let started = self.app.start_temporary_session(write, new).await?;
        let person_id = started.account.account_id;
        Ok(Response::new(proto::StartTemporarySessionResponse {
            session: Some(session::show(&started.session)),
            nonce: started.nonce.expose_secret().to_owned(),
            account: Some(account::show(&ShownAccount {
                account: started.account,
                person_id,
            })),
        }))
    }

    async fn sign_in(
        &self,
        request: Request<proto::SignInRequest>,
    ) -> Result<Response<proto::SignInResponse>, Status> {
        let (principal, brand_id, request) =
            open_anonymous(&self.app, request, |request| &request.brand_id)?;
        session::widget(request.widget())?;
        let key = if request.validate_only {
            None
        } else {
            let key = self.app.request_keys.key(
                brand_id.clone(),
                principal.name(),
                "SignIn",
                &request.request_id,
                &request,
            );
            Some(key.map_err(IdentityError::from)?)
        };
        let command = SignInCommand {
            brand_id,
            actor: Actor::from(&principal),
            assertion: session::assertion(request.assertion)?,
            temporary_session_token: session::optional_secret(request.temporary_session_token),
            accepted_policy: request.accepted_widget_policy_version,
            key,
        };
        let result = self.app.sign_in(command).await?;
        Ok(Response::new(session::show_sign_in(&result)))
    }

    async fn refresh_session(
        &self,
        request: Request<proto::RefreshSessionRequest>,
    ) -> Result<Response<proto::RefreshSessionResponse>, Status> {
        let (principal, brand_id, request) =
            open_anonymous(&self.app, request, |request| &request.brand_id)?;
        let request_id =
            field("request_id", request.request_id.parse()).map_err(IdentityError::from)?;
        let session_token = session::optional_secret(request.session_token)
            .ok_or_else(|| IdentityError::field("session_token", "is required"))?;
        let renewed = self
            .app
            .refresh_session(
                &brand_id,
                Actor::from(&principal),
                &session_token,
                request_id,
            )
            .await?;
        Ok(Response::new(proto::RefreshSessionResponse {
            session: Some(session::show(&renewed)),
        }))
    }

    async fn end_session(
        &self,
        request: Request<proto::EndSessionRequest>,
    ) -> Result<Response<proto::EndSessionResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "EndSession",
            &request.request_id,
            &request,
        )?;
        let ended = self
            .app
            .end_session(write, &principal, request.all_sessions)
            .await?;
        Ok(Response::new(proto::EndSessionResponse {
            revoke_time: Some(timestamp(ended)),
        }))
    }

    async fn issue_service_token(
        &self,
        request: Request<proto::IssueServiceTokenRequest>,
    ) -> Result<Response<proto::IssueServiceTokenResponse>, Status> {
        let certified = certified_api_key(&request);
        let certified = certified.map(|(brand_id, key_id)| (brand_id.clone(), key_id));
        let (_, brand_id, request) =
            open_anonymous(&self.app, request, |request| &request.brand_id)?;
        let proof = match (session::optional_secret(request.api_key), certified) {
            (Some(secret), _) => ApiKeyProof::Secret(secret),
            (None, Some((of, key_id))) if of == brand_id => ApiKeyProof::Certificate(key_id),
            (None, Some(_)) => return Err(IdentityError::ApiKeyRefused.into()),
            (None, None) => return Err(IdentityError::field("api_key", "is required").into()),
        };
        let issued = self.app.issue_service_token(&brand_id, &proof).await?;
        Ok(Response::new(proto::IssueServiceTokenResponse {
            access_token: issued.access.token.expose_secret().to_owned(),
            access_token_expire_time: Some(timestamp(issued.access.expire_time)),
            scopes: issued.scopes.into_iter().map(i32::from).collect(),
        }))
    }

    async fn issue_member_session(
        &self,
        request: Request<proto::IssueMemberSessionRequest>,
    ) -> Result<Response<proto::IssueMemberSessionResponse>, Status> {
        let (principal, request) = open(request)?;
        let brand_id = own_brand(&principal)?;
        let member_id =
            field("member_id", request.member_id.parse()).map_err(IdentityError::from)?;
        let write = self.app.write(
            &principal,
            brand_id,
            "IssueMemberSession",
            &request.request_id,
            &request,
        )?;
        let (opened, member) = self.app.issue_member_session(write, member_id).await?;
        Ok(Response::new(proto::IssueMemberSessionResponse {
            session: Some(session::show(&opened)),
            member: Some(account::show_member(&member)),
        }))
    }

    async fn get_key_set(
        &self,
        _request: Request<proto::GetKeySetRequest>,
    ) -> Result<Response<proto::GetKeySetResponse>, Status> {
        Ok(Response::new(proto::GetKeySetResponse {
            keys: self.app.signer().published_keys(),
            max_age: Some(KEY_SET_MAX_AGE),
        }))
    }
}
