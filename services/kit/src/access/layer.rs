//! The tower layer that lets a call through or answers it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{Request, Response, header::AUTHORIZATION},
};
use tower::{Layer, Service};

use super::{Principal, Rules, TokenVerifier};
use crate::{
    error::{CallError, Refusal},
    secret,
};

/// Protocols of gRPC itself, open to all.
const OPEN_PREFIXES: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// Authenticates callers and enforces the contract's rules, before any method runs.
#[derive(Clone)]
pub struct AccessLayer(Arc<Access>);

struct Access {
    /// The `ErrorInfo` domain of the service.
    domain: &'static str,
    rules: Rules,
    tokens: TokenVerifier,
    operator_token: Option<SecretString>,
    suite_secret: SecretString,
}

impl AccessLayer {
    /// Returns the layer of the service whose errors carry `domain`.
    pub fn new(
        domain: &'static str,
        tokens: TokenVerifier,
        operator_token: Option<SecretString>,
        suite_secret: SecretString,
    ) -> Self {
        Self(Arc::new(Access {
            domain,
            rules: Rules::from_contract(),
            tokens,
            operator_token,
            suite_secret,
        }))
    }
}

impl Access {
    async fn admit<B>(&self, request: &mut Request<B>) -> Result<(), CallError> {
        // What the contract does not know, the router answers with `UNIMPLEMENTED`.
        let Some(rule) = self.rules.get(request.uri().path()) else {
            return Ok(());
        };
        let principal = if rule.is_open() {
            Principal::Anonymous
        } else {
            let token = bearer(request).ok_or(CallError::Unauthenticated)?;
            let principal = self.authenticate(token).await?;
            if !rule.allows(&principal) {
                return Err(CallError::PermissionDenied);
            }
            principal
        };
        request.extensions_mut().insert(principal);
        Ok(())
    }

    async fn authenticate(&self, token: &str) -> Result<Principal, CallError> {
        if secret::equal(token, self.suite_secret.expose_secret()) {
            return Ok(Principal::Suite);
        }
        if let Some(operator) = &self.operator_token
            && secret::equal(token, operator.expose_secret())
        {
            return Ok(Principal::Operator);
        }
        self.tokens.verify(token).await
    }
}

fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AccessService {
            access: Arc::clone(&self.0),
            inner,
        }
    }
}

/// What [`AccessLayer`] makes of a service.
#[derive(Clone)]
pub struct AccessService<S> {
    access: Arc<Access>,
    inner: S,
}

impl<S> Service<Request<Body>> for AccessService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let access = Arc::clone(&self.access);
        // The instance that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if OPEN_PREFIXES
            .iter()
            .any(|open| request.uri().path().starts_with(open))
        {
            return Box::pin(inner.call(request));
        }
        Box::pin(async move {
            match access.admit(&mut request).await {
                Ok(()) => Ok(with_reason(inner.call(request).await?, access.domain)),
                Err(error) => Ok(error.refusal().into_status(access.domain).into_http()),
            }
        })
    }
}

/// Gives a reason to the answers that the gRPC library makes itself, such as a message too large:
/// no answer but OK is without one.
fn with_reason(response: Response<Body>, domain: &str) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    let (code, reason) = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
        }
        Code::Unimplemented => (Code::Unimplemented, "UNIMPLEMENTED"),
        Code::DeadlineExceeded | Code::Cancelled => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        _ => (status.code(), "INTERNAL"),
    };
    Refusal::new(code, reason, status.message())
        .into_status(domain)
        .into_http()
}
