//! An answer of many parts, written one after another by a task of its own.
//!
//! The task is a few parts ahead of the reader and then waits for him, so that an answer of any
//! length takes the same memory. It ends when he goes away. A stream that ends without an error is
//! whole: also a panic of the task is told as an error.

use futures_util::{StreamExt, future, stream, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use crate::{deadline, error::CallError};

/// How many parts may wait for the reader.
const PARTS_AHEAD: usize = 8;

/// Where a task hands over the parts of its answer.
pub struct Parts<T>(mpsc::Sender<T>);

impl<T> Parts<T> {
    /// Hands a part over, and waits while the reader is behind. No connection to the database should
    /// be held meanwhile.
    pub async fn send(&self, part: T) {
        if self.0.send(part).await.is_err() {
            // The reader has gone, and the task ends here: to go on would keep it from being ended.
            future::pending().await
        }
    }
}

/// Returns what `write` hands over, and at the end its failure, if it fails.
///
/// `domain` names the service in the answer to a panic, as `ErrorInfo` has it.
pub fn stream<T, E, Writing>(
    domain: &'static str,
    write: impl FnOnce(Parts<T>) -> Writing,
) -> BoxStream<'static, Result<T, Status>>
where
    T: Send + 'static,
    E: Into<Status> + Send + 'static,
    Writing: Future<Output = Result<(), E>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    let reader_gone = sender.clone();
    let writing = write(Parts(sender));
    let task = async move {
        tokio::select! {
            () = reader_gone.closed() => Ok(()),
            result = writing => result,
        }
    };
    let task = tokio::spawn(deadline::inherited(task).in_current_span());
    let end = stream::once(task).filter_map(move |ended| async move {
        match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error.into())),
            Err(panic) => {
                let error = CallError::Internal(Box::new(panic));
                Some(Err(error.refusal().into_status(domain)))
            }
        }
    });
    ReceiverStream::new(receiver).map(Ok).chain(end).boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::TryStreamExt;
    use tokio::sync::oneshot;
    use tonic::Code;

    use super::*;

    const DOMAIN: &str = "test.rapport";

    #[tokio::test]
    async fn the_parts_come_in_order_and_then_the_failure() {
        let mut answer = stream(DOMAIN, |parts| async move {
            for number in 0..100 {
                parts.send(number).await;
            }
            Err(Status::aborted("enough"))
        });
        for number in 0..100 {
            assert_eq!(answer.try_next().await.unwrap(), Some(number));
        }
        assert_eq!(answer.try_next().await.unwrap_err().code(), Code::Aborted);
        assert_eq!(answer.try_next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_answer_that_a_panic_cuts_short_does_not_look_whole() {
        let mut answer = stream(DOMAIN, |parts| async move {
            parts.send(1).await;
            assert_eq!(parts.0.max_capacity(), 0, "a defect");
            Ok::<(), Status>(())
        });
        assert_eq!(answer.try_next().await.unwrap(), Some(1));
        assert_eq!(answer.try_next().await.unwrap_err().code(), Code::Internal);
    }

    #[tokio::test]
    async fn who_writes_waits_for_the_reader_and_ends_with_him() {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let (ending, when_ended) = oneshot::channel::<()>();
        let mut answer = stream(DOMAIN, |parts| async move {
            let _held_until_the_end = ending;
            while count.load(Ordering::SeqCst) < usize::MAX {
                parts.send(()).await;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<(), Status>(())
        });
        for _ in 0..1_000 {
            answer.try_next().await.unwrap();
        }
        assert!(written.load(Ordering::SeqCst) <= 1_000 + PARTS_AHEAD);
        drop(answer);
        assert!(when_ended.await.is_err()); // dropped, never sent
    }
}
