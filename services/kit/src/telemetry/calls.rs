//! One span and one measurement for each call that a service answers.

use std::{
    array,
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{LazyLock, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use http_body::{Body as HttpBody, Frame, SizeHint};
use opentelemetry::{KeyValue, metrics::BoundHistogram, trace};
use prost_reflect::DescriptorPool;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, Request, Response},
    },
};
use tower::{Layer, Service};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Timing, traces};

/// The last of gRPC's status codes, which count from zero.
const LAST_CODE: Code = Code::Unauthenticated;
const CODES: usize = LAST_CODE as usize + 1;

static DURATION: Timing<0> = Timing::new(
    "rpc.server.call.duration",
    "How long a call took, of a stream until its end",
    [],
);

/// All that may be called. A path that no contract knows is a stranger's text, and is not repeated.
static METHODS: LazyLock<Methods> = LazyLock::new(Methods::from_contracts);

struct Methods {
    by_path: HashMap<String, Method>,
    other: Method,
}

struct Method {
    /// As the RPC conventions have it: without the slash at the beginning of the path.
    name: String,
    /// The service sends many messages.
    is_stream: bool,
    /// It is of our contract, and not one of gRPC's own, with which programs look after us.
    is_ours: bool,
    durations: [OnceLock<BoundHistogram<f64>>; CODES],
}

impl Methods {
    fn from_contracts() -> Self {
        let sets = [
            rapport_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut by_path = HashMap::new();
        for set in sets {
            let pool = DescriptorPool::decode(set).expect("the set was made by a build");
            for service in pool.services() {
                for method in service.methods() {
                    let name = format!("{}/{}", service.full_name(), method.name());
                    let path = format!("/{name}");
                    let is_ours = name.starts_with("rapport.");
                    let method = Method::new(name, method.is_server_streaming(), is_ours);
                    by_path.insert(path, method);
                }
            }
        }
        Self {
            by_path,
            other: Method::new("_OTHER".to_owned(), false, false),
        }
    }

    fn get(&self, path: &str) -> &Method {
        self.by_path.get(path).unwrap_or(&self.other)
    }
}

impl Method {
    fn new(name: String, is_stream: bool, is_ours: bool) -> Self {
        Self {
            name,
            is_stream,
            is_ours,
            durations: array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Returns the span of a call with these headers. That of one of gRPC's own methods is none.
    fn span(&'static self, headers: &HeaderMap) -> Span {
        if !self.is_ours {
            return Span::none();
        }
        if !traces::are_on() {
            return tracing::info_span!("rpc", method = self.name);
        }
        let span = tracing::info_span!(
            "rpc",
            method = self.name,
            otel.name = self.name,
            otel.kind = "server"
        );
        traces::continue_call(&span, headers);
        span.set_attribute("rpc.system.name", "grpc");
        span.set_attribute("rpc.method", self.name.as_str());
        span
    }

    /// Returns where the durations of calls go that end so, with its labels resolved for good.
    fn duration(&self, code: Code) -> &BoundHistogram<f64> {
        self.durations[code as usize].get_or_init(|| {
            let mut labels = vec![
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", self.name.clone()),
                KeyValue::new("rpc.response.status_code", code_name(code)),
            ];
            if is_fault(code) {
                labels.push(KeyValue::new("error.type", code_name(code)));
            }
            DURATION.histogram().bind(&labels)
        })
    }
}

/// Tells whether the service is to blame, as the RPC conventions have it.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A call under way. One that is dropped before its end was cancelled by its caller.
struct Call {
    method: &'static Method,
    begin: Instant,
    span: Span,
    has_ended: bool,
}

impl Call {
    fn begin(request: &Request<Body>) -> Self {
        let method = METHODS.get(request.uri().path());
        Self {
            method,
            begin: Instant::now(),
            span: method.span(request.headers()),
            has_ended: false,
        }
    }

    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let duration = self.begin.elapsed().as_secs_f64();
            self.method.duration(code).record(duration);
            if traces::are_on() {
                self.span
                    .set_attribute("rpc.response.status_code", code_name(code));
                if is_fault(code) {
                    self.span.set_attribute("error.type", code_name(code));
                    self.span.set_status(trace::Status::error(""));
                }
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Puts every call under a span, and measures it; the outermost layer, so that refusals count too.
#[derive(Clone, Copy)]
pub(crate) struct CallLayer;

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls(inner)
    }
}

/// What [`CallLayer`] makes of a service.
#[derive(Clone)]
pub(crate) struct Calls<S>(S);

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Call::begin(&request);
        let answer = {
            let _entered = call.span.enter();
            self.0.call(request)
        };
        Answering {
            answer,
            call: Some(call),
        }
    }
}

/// The answer to a call, until it begins.
pub(crate) struct Answering<F> {
    answer: F,
    /// Taken when the answer begins.
    call: Option<Call>,
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let response = {
            let _entered = this.call.as_ref().map(|call| call.span.enter());
            match Pin::new(&mut this.answer).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(response)) => response,
                Poll::Ready(Err(never)) => match never {},
            }
        };
        let Some(mut call) = this.call.take() else {
            return Poll::Ready(Ok(response));
        };
        Poll::Ready(Ok(match Status::from_header_map(response.headers()) {
            Some(status) => {
                call.end(status.code());
                response
            }
            None if call.method.is_stream => {
                response.map(|body| Body::new(Messages { body, call }))
            }
            // The one message is made; what is left is to send it.
            None => {
                call.end(Code::Ok);
                response
            }
        }))
    }
}

/// The messages of a stream, and the call that they answer.
struct Messages {
    body: Body,
    call: Call,
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let frame = {
            let _entered = this.call.span.enter();
            Pin::new(&mut this.body).poll_frame(context)
        };
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(status) = frame.trailers_ref().and_then(Status::from_header_map)
        {
            this.call.end(status.code());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
