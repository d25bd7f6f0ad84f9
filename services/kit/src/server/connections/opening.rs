//! The beginning of a connection, which has to come in time.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What a client sends first (RFC 9113, 3.4): 24 bytes.
const PREFACE_LENGTH: usize = 24;
/// Pings find the clients that fall silent, but only once the preface is there.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// A stream of bytes that fails unless as many bytes as HTTP/2's preface has come within ten seconds.
pub(super) struct Opening<S> {
    stream: S,
    /// Until the preface has come: how much of it did, and when it is too late.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Opening<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            awaited: Some((0, Box::pin(sleep(LIMIT)))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some((received, limit)) = &mut this.awaited else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        if limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        *received += buffer.filled().len() - before;
        if *received >= PREFACE_LENGTH {
            this.awaited = None;
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
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
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Returns what comes of reading a connection on which a client has said `hello` and no more.
    async fn read_to_end(hello: &[u8]) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let mut server = Opening::new(listener.accept().await?.0);
        assert_eq!(client.try_write(hello)?, hello.len());
        let mut bytes = vec![0; hello.len()];
        server.read_exact(&mut bytes).await?;
        // Long after the limit: time passes by itself while everybody waits.
        let more = tokio::time::timeout(LIMIT * 2, server.read_u8()).await;
        more.map_or(Ok(()), |read| read.map(|_| ()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_say_hello_in_time_is_cut() {
        let error = read_to_end(&[b'P'; PREFACE_LENGTH - 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        read_to_end(&[b'P'; PREFACE_LENGTH]).await.unwrap();
    }
}
