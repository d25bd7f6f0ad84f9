//! The one message of a call, which has to come in time: who begins calls and sends nothing would else keep
//! everybody from the places that there are for calls at once.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, http::Request},
};

/// From the moment in which the method first has to wait for it.
const LIMIT: Duration = Duration::from_secs(10);

/// Returns the call, whose message fails where it does not come within ten seconds.
pub(super) fn in_time(request: Request<Body>) -> Request<Body> {
    request.map(|body| Body::new(Awaited { body, limit: None }))
}

struct Awaited {
    body: Body,
    /// Absent as long as nobody has waited: most messages come with their call.
    limit: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let limit = this.limit.get_or_insert_with(|| Box::pin(sleep(LIMIT)));
        let over = limit.as_mut().poll(context);
        over.map(|()| Some(Err(Status::deadline_exceeded("the message did not come"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
