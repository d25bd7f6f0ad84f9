//! Tokens for the programs of a Brand.

use domain::id::BrandId;
use kit::{error::CallError, limit::Subject, secret::token_digest};
use rapport_proto::access::v1::{Caller, Scope};
use secrecy::{ExposeSecret, SecretString};

use super::super::{App, api_keys::TOKEN_EPOCH, find_brand};
use crate::{
    error::IdentityError,
    model::BrandState,
    store::api_keys,
    token::{AccessToken, Bearer},
};

/// A token for calls, and what it allows.
pub(crate) struct IssuedServiceToken {
    pub(crate) access: AccessToken,
    pub(crate) scopes: Vec<Scope>,
}

impl App {
    /// Gives a program a token for its API key. Writes nothing.
    ///
    /// An unknown Brand is answered like an unknown key, so that nobody learns which Brands there are.
    pub(crate) async fn issue_service_token(
        &self,
        brand_id: &BrandId,
        api_key: &SecretString,
    ) -> Result<IssuedServiceToken, IdentityError> {
        let now = self.clock.now();
        let digest = token_digest(api_key.expose_secret());
        self.limits
            .check_account(brand_id, Subject::Secret(&digest))?;
        let mut connection = self.db.read().await?;
        let key = api_keys::find_by_secret(&mut connection, brand_id, &digest).await?;
        let key = key
            .filter(|key| key.is_in_force(now))
            .ok_or(IdentityError::ApiKeyRefused)?;
        if find_brand(&mut connection, brand_id).await?.state == BrandState::Suspended {
            return Err(CallError::BrandSuspended.into());
        }
        let scopes: Vec<Scope> = key
            .scopes
            .0
            .iter()
            .filter_map(|name| Scope::from_str_name(&format!("SCOPE_{name}")))
            .collect();
        let bearer = Bearer {
            caller: Caller::Service,
            brand: brand_id.to_string(),
            subject: key.api_key_id.uuid(),
            session: None,
            epoch: TOKEN_EPOCH,
            link_revision: 0,
            scopes: scopes.iter().map(|scope| i32::from(*scope)).collect(),
        };
        Ok(IssuedServiceToken {
            access: self.signer.sign(bearer)?,
            scopes,
        })
    }
}
