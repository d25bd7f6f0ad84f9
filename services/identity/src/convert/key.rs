//! Keys on the wire.

use chrono::{DateTime, Utc};
use kit::{
    access::Principal,
    convert::{field, optional_instant, timestamp},
    error::CallError,
};
use rapport_proto::{
    access::v1::Scope,
    identity::v1::{self as proto, create_assertion_key_request::Material},
};

use super::{MAX_DISPLAY_NAME, optional_timestamp, text};
use crate::{
    app::{KeyMaterial, MadeApiKey, MadeAssertionKey, NewApiKey, NewAssertionKey},
    assertion::{JwksUri, KeySet, Reach},
    error::IdentityError,
    model::{ApiKey, AssertionKey},
};

const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=256;

/// Returns the assertion key that a request asks for.
pub(crate) fn create_assertion_key(
    request: &proto::CreateAssertionKeyRequest,
    reach: Reach,
    now: DateTime<Utc>,
) -> Result<NewAssertionKey, IdentityError> {
    let material = match &request.material {
        Some(Material::HmacSecret(secret)) if secret.imported_secret.is_empty() => {
            KeyMaterial::NewHmacSecret
        }
        Some(Material::HmacSecret(secret)) => {
            if !SECRET_BYTES.contains(&secret.imported_secret.len()) {
                let name = "hmac_secret.imported_secret";
                return Err(IdentityError::field(name, "must be 32 to 256 bytes"));
            }
            KeyMaterial::ImportedHmacSecret(secret.imported_secret.clone().into())
        }
        Some(Material::JwkSetJson(json)) => {
            KeyMaterial::KeySet(field("jwk_set_json", KeySet::import(json))?)
        }
        Some(Material::JwksUri(uri)) => {
            KeyMaterial::JwksUri(field("jwks_uri", JwksUri::parse(uri, reach))?)
        }
        None => return Err(IdentityError::field("material", "is required")),
    };
    Ok(NewAssertionKey {
        material,
        expire_time: expire_time(request.expire_time.as_ref(), now)?,
    })
}

/// Returns the API key that a request asks for. A service gives away no more than it has.
pub(crate) fn create_api_key(
    request: &proto::CreateApiKeyRequest,
    principal: &Principal,
    now: DateTime<Utc>,
) -> Result<NewApiKey, IdentityError> {
    let mut scopes: Vec<Scope> = Vec::new();
    for scope in &request.scopes {
        let scope = Scope::try_from(*scope).unwrap_or_default();
        if scope == Scope::Unspecified {
            return Err(IdentityError::field("scopes", "names an unknown scope"));
        }
        if matches!(principal, Principal::Service { .. }) && !principal.has_scope(scope) {
            return Err(CallError::PermissionDenied.into());
        }
        scopes.push(scope);
    }
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(IdentityError::field("scopes", "must name at least one"));
    }
    Ok(NewApiKey {
        display_name: text("display_name", &request.display_name, MAX_DISPLAY_NAME)?,
        scopes: scopes.into_iter().map(scope_name).collect(),
        expire_time: expire_time(request.expire_time.as_ref(), now)?,
    })
}

fn scope_name(scope: Scope) -> String {
    let name = scope.as_str_name();
    name.strip_prefix("SCOPE_").unwrap_or(name).to_owned()
}

fn expire_time(
    time: Option<&prost_types::Timestamp>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, IdentityError> {
    let time = optional_instant("expire_time", time)?;
    if time.is_some_and(|time| time <= now) {
        return Err(IdentityError::field("expire_time", "must be in the future"));
    }
    Ok(time)
}

/// Shows an assertion key, without what is secret in it.
pub(crate) fn show_assertion_key(key: &AssertionKey) -> proto::AssertionKey {
    let key_set = key.key_set.as_deref().and_then(KeySet::from_json);
    proto::AssertionKey {
        assertion_key_id: key.assertion_key_id.to_string(),
        brand_id: key.brand_id.to_string(),
        kind: proto::AssertionKeyKind::from(key.kind).into(),
        jwks_uri: key.jwks_uri.clone().unwrap_or_default(),
        key_ids: key_set.map(|set| set.key_ids()).unwrap_or_default(),
        create_time: Some(timestamp(key.create_time)),
        expire_time: optional_timestamp(key.expire_time),
        revoke_time: optional_timestamp(key.revoke_time),
    }
}

/// Shows an assertion key just made, with the secret where the server made it.
pub(crate) fn show_made_assertion_key(
    made: &MadeAssertionKey,
) -> proto::CreateAssertionKeyResponse {
    use secrecy::ExposeSecret;
    proto::CreateAssertionKeyResponse {
        assertion_key: Some(show_assertion_key(&made.key)),
        hmac_secret: made
            .secret
            .as_ref()
            .map(|secret| secret.expose_secret().to_vec())
            .unwrap_or_default(),
    }
}

/// Shows an API key, without its secret.
pub(crate) fn show_api_key(key: &ApiKey) -> proto::ApiKey {
    proto::ApiKey {
        api_key_id: key.api_key_id.to_string(),
        brand_id: key.brand_id.to_string(),
        display_name: key.display_name.clone(),
        scopes: key
            .scopes
            .0
            .iter()
            .filter_map(|name| Scope::from_str_name(&format!("SCOPE_{name}")))
            .map(i32::from)
            .collect(),
        create_time: Some(timestamp(key.create_time)),
        expire_time: optional_timestamp(key.expire_time),
        revoke_time: optional_timestamp(key.revoke_time),
    }
}

/// Shows an API key just made, with its secret.
pub(crate) fn show_made_api_key(made: &MadeApiKey) -> proto::CreateApiKeyResponse {
    use secrecy::ExposeSecret;
    proto::CreateApiKeyResponse {
        api_key: Some(show_api_key(&made.key)),
        secret: made.secret.expose_secret().to_owned(),
    }
}
