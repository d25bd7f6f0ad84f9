//! The end of a stream whose caller may not be served any more.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, Response},
    },
};

/// Returns the answer of a streaming method, which ends with the status that `lost` comes to, whether
/// the caller or the service is sending by then.
pub(super) async fn end_when_lost(
    answer: impl Future<Output = Response<Body>>,
    mut lost: BoxFuture<'static, Status>,
) -> Response<Body> {
    tokio::select! {
        status = &mut lost => status.into_http(),
        response = answer => response.map(|body| Body::new(Guarded { body: Some(body), lost })),
    }
}

/// The messages of a stream, as long as its caller may have them.
struct Guarded {
    /// What the method sends; dropped, and with it all that the method works on, when it is over.
    body: Option<Body>,
    lost: BoxFuture<'static, Status>,
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
        match this.lost.poll_unpin(context) {
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
