//! Tokens for the programs of a Brand.

use domain::id::{BrandId, KeyId};
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

/// How a program shows that it has an API key.
pub(crate) enum ApiKeyProof {
    /// By the key's secret.
    Secret(SecretString),
    /// By a certificate that stands for the key.
    Certificate(KeyId),
}

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
        proof: &ApiKeyProof,
    ) -> Result<IssuedServiceToken, IdentityError> {
        let now = self.clock.now();
        let check = |subject: Subject<'_>| self.limits.check_account(brand_id, subject);
        let mut connection;
        let key = match proof {
            ApiKeyProof::Secret(secret) => {
                let digest = token_digest(secret.expose_secret());
                check(Subject::Secret(&digest))?;
                connection = self.db.read().await?;
                api_keys::find_by_secret(&mut connection, brand_id, &digest).await?
            }
            ApiKeyProof::Certificate(key_id) => {
                check(Subject::Caller(&format!("service/{key_id}")))?;
                connection = self.db.read().await?;
                api_keys::find(&mut connection, brand_id, *key_id).await?
            }
        };
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
