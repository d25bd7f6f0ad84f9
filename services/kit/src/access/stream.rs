//! The end of a stream that may not go on: its caller lost his standing or gave up, or the connection is to
//! end.

use std::{
    future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, Request, Response},
    },
};

use crate::{error::CallError, server::Connection};

/// Returns why a stream has to end, once it has: also once it is told that its caller's standing is `lost`.
pub(super) fn over<B>(
    request: &Request<B>,
    deadline: Option<Instant>,
    lost: Option<oneshot::Receiver<CallError>>,
) -> impl Future<Output = CallError> + Send + use<B> {
    let connection = request.extensions().get::<Arc<Connection>>();
    let ending = connection.map(|connection| connection.ending.clone());
    async move {
        let ended = OptionFuture::from(ending.map(CancellationToken::cancelled_owned));
        let passed = OptionFuture::from(deadline.map(sleep_until));
        let lost = OptionFuture::from(lost);
        tokio::select! {
            Some(()) = ended => CallError::ShuttingDown,
            Some(()) = passed => CallError::DeadlineExceeded,
            Some(told) = lost => {
                told.unwrap_or_else(|_| CallError::Internal("nobody looks after the stream".into()))
            }
            else => future::pending().await,
        }
    }
}

/// Returns the answer of a streaming method, which ends with the status that `over` comes to, whether
/// the caller or the service is sending by then.
pub(super) async fn end_when(
    mut over: BoxFuture<'static, Status>,
    answer: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    tokio::select! {
        status = &mut over => status.into_http(),
        response = answer => response.map(|body| Body::new(Guarded { body: Some(body), over })),
    }
}

/// The messages of a stream, as long as its caller may have them.
struct Guarded {
    /// What the method sends; dropped, and with it all that the method works on, when it is over.
    body: Option<Body>,
    over: BoxFuture<'static, Status>,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        // A frame holds whole messages, so that nobody is left with half of one.
        match this.over.poll_unpin(context) {
            Poll::Pending => Pin::new(body).poll_frame(context),
            Poll::Ready(status) => {
                this.body = None;
                let mut trailers = HeaderMap::new();
                let ended = status.add_header(&mut trailers);
                Poll::Ready(Some(ended.map(|()| Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(HttpBody::size_hint)
            .unwrap_or_default()
    }
}
