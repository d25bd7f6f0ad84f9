//! Who calls, and whether he may.
//!
//! Each method says in the proto who may call it (`rapport.access.v1.allow`); [`AccessLayer`] reads
//! that from the descriptor set and enforces it before the method runs. A method that says nothing
//! is refused to all (SPEC 59). It also ends a stream when its caller may not be served any more: a
//! method need not look. What a caller may see of a Brand's data is decided by the method, which finds
//! the [`Principal`] in the request's extensions.

mod layer;
mod message;
mod principal;
mod revocation;
mod rule;
mod standing;
mod stream;
mod token;

use std::sync::Arc;

use domain::id::{BrandId, KeyId};
use secrecy::{ExposeSecret, SecretString};
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{deadline, server::Connection, telemetry, tls::Certified};

pub use layer::AccessLayer;
pub use principal::{Principal, Subject, principal};
pub use revocation::{Revocations, keep as keep_revocations};
pub use rule::Rules;
pub use standing::Standing;
pub use token::{ACCESS_TOKEN_TTL, Claims, ISSUER, KeySet, TokenVerifier};

/// Returns the API key that the certificate of the caller's connection stands for, and its Brand.
pub fn certified_api_key<T>(request: &Request<T>) -> Option<(&BrandId, KeyId)> {
    let connection = request.extensions().get::<Arc<Connection>>()?;
    match connection.certified.as_ref()? {
        Certified::ApiKey { brand_id, key_id } => Some((brand_id, *key_id)),
        Certified::Suite => None,
    }
}

/// A channel to another service of the suite, with the suite's credential.
pub type SuiteChannel = InterceptedService<Channel, Bearer>;

/// Shows a token with each call, in the metadata `authorization` (RFC 6750), and the trace in which it is
/// made.
#[derive(Clone)]
pub struct Bearer {
    authorization: Option<MetadataValue<tonic::metadata::Ascii>>,
}

/// A token with characters that no header may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token holds characters that a header cannot carry")]
pub struct InvalidToken;

impl Bearer {
    /// Returns what shows `token`.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when a header cannot carry it.
    pub fn new(token: &SecretString) -> Result<Self, InvalidToken> {
        let mut authorization: MetadataValue<_> = format!("Bearer {}", token.expose_secret())
            .parse()
            .map_err(|_| InvalidToken)?;
        authorization.set_sensitive(true);
        Ok(Self {
            authorization: Some(authorization),
        })
    }

    /// Returns what shows no token, for whom the certificate of the connection names.
    pub fn without_token() -> Self {
        Self {
            authorization: None,
        }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        telemetry::pass_on(request.metadata_mut());
        // Who is called for somebody works no longer than he waits.
        if let Some(remaining) = deadline::remaining()
            && deadline::of(&request).is_none_or(|own| remaining < own)
        {
            request.set_timeout(remaining);
        }
        Ok(request)
    }
}
