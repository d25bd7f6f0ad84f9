//! A stream of bytes on which those who write at once are sent together.
//!
//! What wakes a connection's task runs it next, before all others that are about to write to it too, so
//! that each frame would be a system call, a packet and a wake-up of its own. When the task is about to
//! send, it therefore first lets everything run that can. Where nothing can, that takes no time.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// Keeps what is written until it is flushed by a task that has let the others run.
pub(super) struct Gathered<S> {
    stream: BufWriter<S>,
    /// Whether they ran since the last flush.
    have_run: bool,
}

impl<S: AsyncWrite> Gathered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream: BufWriter::new(stream),
            have_run: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stream.buffer().is_empty() && !mem::replace(&mut self.have_run, true) {
            // A task that wakes itself goes behind all that can run.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.have_run = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_written_by_all_who_can_run_is_sent_together() {
        let (near, mut far) = duplex(64);
        let mut stream = Gathered::new(near);
        let mut bytes = [0; 64];
        for _ in 0..2 {
            stream.write_all(b"one").await.unwrap();
            assert!(stream.flush().now_or_never().is_none());
            assert!(far.read(&mut bytes).now_or_never().is_none());
            stream.write_all(b" and two").await.unwrap();
            stream.flush().await.unwrap();
            let count = far.read(&mut bytes).await.unwrap();
            assert_eq!(&bytes[..count], b"one and two");
        }
        stream.write_all(b"the rest").await.unwrap();
        stream.shutdown().await.unwrap();
        let count = far.read(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..count], b"the rest");
    }

    #[tokio::test]
    async fn all_bytes_arrive_in_order_where_few_can_be_sent_at_once() {
        let (near, mut far) = duplex(100);
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let sent = bytes.clone();
        let sending = tokio::spawn(async move {
            let mut stream = Gathered::new(near);
            for part in sent.chunks(251) {
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap();
        assert_eq!(received, bytes);
    }
}
