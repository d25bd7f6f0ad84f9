//! The tower layer that lets a call through or answers it.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
};

use domain::id::BrandId;
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{Request, Response, header::AUTHORIZATION},
};
use tower::{Layer, Service};

use super::{Principal, Rules, Standing, TokenVerifier, message, standing::Lookout, stream};
use crate::{
    deadline,
    error::{CallError, Refusal},
    limit::Limits,
    secret,
    server::Connection,
    tls::Certified,
};

/// Protocols of gRPC itself, open to all.
const OPEN_PREFIXES: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// Answered at once, from memory: there is nothing to look after.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

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
    limits: Limits,
    lookout: Lookout,
}

/// Who calls.
enum Caller {
    /// Whom identity's token speaks for, as long as it does.
    Token(Standing),
    /// Who is known by the installation's own secrets, for good, or nobody in particular.
    Installation(Principal),
}

/// How a call goes on.
enum Admission {
    /// With one message from each side; it is carried out once it has begun.
    Single,
    /// With many, as long as its caller may have them; of the installation's own that is for good.
    Stream(Option<Standing>),
}

impl Caller {
    fn principal(&self) -> &Principal {
        match self {
            Self::Token(standing) => standing.principal(),
            Self::Installation(principal) => principal,
        }
    }
}

impl AccessLayer {
    /// Returns the layer of the service whose errors carry `domain`; the methods that are open to all
    /// are held to `limits`. It looks after its streams in a task of the runtime that this is called in.
    pub fn new(
        domain: &'static str,
        tokens: TokenVerifier,
        operator_token: Option<SecretString>,
        suite_secret: SecretString,
        limits: Limits,
    ) -> Self {
        Self(Arc::new(Access {
            domain,
            rules: Rules::from_contract(),
            tokens,
            operator_token,
            suite_secret,
            limits,
            lookout: Lookout::start(),
        }))
    }
}

impl Access {
    /// Finds out who calls, and returns what his call goes on under.
    async fn admit<B>(&self, request: &mut Request<B>) -> Result<Admission, Refusal> {
        let Some(rule) = self.rules.get(request.uri().path()) else {
            // No rule, no access (SPEC 59): what the contract does not know is not in this suite.
            let message = "there is no such method";
            return Err(Refusal::new(Code::Unimplemented, "UNIMPLEMENTED", message));
        };
        let caller = if rule.is_open() {
            let backend_of = self.backend_of(bearer(request)).await;
            let origin = self.limits.origin(request, backend_of);
            let within = self.limits.check_origin(&origin);
            within.map_err(|error| error.refusal())?;
            request.extensions_mut().insert(origin);
            Caller::Installation(Principal::Anonymous)
        } else {
            let connection = request.extensions().get::<Arc<Connection>>();
            let connection = connection.map(AsRef::as_ref);
            let authenticated = self.authenticate(bearer(request), connection).await;
            authenticated.map_err(|error| error.refusal())?
        };
        if !rule.allows(caller.principal()) {
            return Err(CallError::PermissionDenied.refusal());
        }
        request.extensions_mut().insert(caller.principal().clone());
        Ok(match caller {
            _ if !rule.is_stream() => Admission::Single,
            Caller::Token(standing) => Admission::Stream(Some(standing)),
            Caller::Installation(_) => Admission::Stream(None),
        })
    }

    /// Admits and carries out a call; a stream ends at `deadline`, however long ago it began.
    async fn answer<S>(
        &self,
        inner: S,
        mut request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let _call = match self.limits.begin_call() {
            Ok(call) => call,
            Err(error) => return self.refused()(error).into_http(),
        };
        match self.admit(&mut request).await {
            Err(refusal) => refusal.into_status(self.domain).into_http(),
            Ok(Admission::Single) => self.carry_out(inner, message::in_time(request)).await,
            Ok(Admission::Stream(standing)) => {
                let lost = standing.map(|standing| self.lookout.watch(standing));
                let over = stream::over(&request, deadline, lost);
                let over = over.map(self.refused()).boxed();
                stream::end_when(over, self.carry_out(inner, request)).await
            }
        }
    }

    /// Returns what makes an answer of the failure of a call.
    fn refused(&self) -> impl FnOnce(CallError) -> Status + Send + use<> {
        let domain = self.domain;
        move |error| error.refusal().into_status(domain)
    }

    /// Carries out a call; a panic of the method ends this call alone.
    async fn carry_out<S>(&self, mut inner: S, request: Request<Body>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let answered = AssertUnwindSafe(async { inner.call(request).await })
            .catch_unwind()
            .await;
        match answered {
            Ok(Ok(response)) => with_reason(response, self.domain),
            Ok(Err(never)) => match never {},
            // The panic itself was printed where it happened.
            Err(_) => CallError::Internal("the method panicked".into())
                .refusal()
                .into_status(self.domain)
                .into_http(),
        }
    }

    /// Returns the Brand whose service calls a method that is open to all. Any other token there, also
    /// one that is not valid, is no token.
    async fn backend_of(&self, token: Option<&str>) -> Option<BrandId> {
        match self.tokens.verify(token?).await {
            Ok(standing) => match standing.principal() {
                Principal::Service { brand_id, .. } => Some(brand_id.clone()),
                _ => None,
            },
            Err(_) => None,
        }
    }

    /// Finds out who calls by his token, or, if he shows none, by the certificate of his connection.
    async fn authenticate(
        &self,
        token: Option<&str>,
        connection: Option<&Connection>,
    ) -> Result<Caller, CallError> {
        let Some(token) = token else {
            return match connection.and_then(|connection| connection.certified.as_ref()) {
                Some(Certified::Suite) => Ok(Caller::Installation(Principal::Suite)),
                // It stands for the key's secret, where that is exchanged for a token.
                Some(Certified::ApiKey { .. }) | None => Err(CallError::Unauthenticated),
            };
        };
        let is_near = connection.is_some_and(Connection::is_on_loopback);
        if is_near && secret::equal(token, self.suite_secret.expose_secret()) {
            return Ok(Caller::Installation(Principal::Suite));
        }
        if let Some(operator) = &self.operator_token
            && secret::equal(token, operator.expose_secret())
        {
            return Ok(Caller::Installation(Principal::Operator));
        }
        self.tokens.verify(token).await.map(Caller::Token)
    }
}

fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    // An empty token is none, whatever secret was left empty.
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let access = Arc::clone(&self.access);
        // The instance that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if request.uri().path() == HEALTH_CHECK {
            return Box::pin(inner.call(request));
        }
        let deadline = deadline::read(request.headers());
        let is_protocol = OPEN_PREFIXES
            .iter()
            .any(|open| request.uri().path().starts_with(open));
        Box::pin(async move {
            let response = match deadline {
                Err(error) => access.refused()(error).into_http(),
                Ok(deadline) if is_protocol => {
                    let over = stream::over(&request, deadline, None).map(access.refused());
                    let answer = inner.call(request).map(|Ok(response)| response);
                    stream::end_when(over.boxed(), answer).await
                }
                Ok(None) => access.answer(inner, request, None).await,
                Ok(Some(deadline)) => {
                    let answer = access.answer(inner, request, Some(deadline));
                    let response = deadline::within(deadline, answer).await;
                    response.unwrap_or_else(|| {
                        access.refused()(CallError::DeadlineExceeded).into_http()
                    })
                }
            };
            let code = Status::from_header_map(response.headers()).map(|status| status.code());
            tracing::debug!(code = ?code.unwrap_or(Code::Ok), "call answered");
            Ok(response)
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
    let refusal = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => CallError::RequestTooLarge.refusal(),
        Code::DeadlineExceeded | Code::Cancelled => CallError::DeadlineExceeded.refusal(),
        Code::Unimplemented => {
            let message = "the server does not take such a request";
            Refusal::new(Code::Unimplemented, "UNIMPLEMENTED", message)
        }
        code => Refusal::new(
            code,
            "INTERNAL",
            "the request could not be read or answered",
        ),
    };
    refusal.into_status(domain).into_http()
}

#[cfg(test)]
mod tests;
