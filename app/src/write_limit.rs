//! A time limit for what is written: a client that does not read its answers is let go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream on which no write may wait for longer than a limit.
///
/// A write waits once the kernel's buffer is full, and goes on once a third of that is free again: a client that
/// reads a byte now and then has to read that much within each limit, and cannot hold a connection for the price of one.
/// The kernel's own limit for such connections, `TCP_USER_TIMEOUT`, is content with the byte.
#[derive(Debug)]
pub(crate) struct WriteLimit<S> {
    stream: S,
    limit: Duration,
    /// Of the write that waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteLimit<S> {
    pub(crate) const fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            deadline: None,
        }
    }

    /// What becomes of a write that waits.
    #[cold]
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(result) => {
                self.deadline = None;
                Poll::Ready(result)
            }
            Poll::Pending => self.wait(context).map(Err),
        }
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    /// Of a client that is slow, and not too slow.
    const SLOW: Duration = Duration::from_secs(29);

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go() {
        let (_client, server) = duplex(4);
        let start = Instant::now();
        let written = WriteLimit::new(server, LIMIT).write_all(b"12345678").await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn each_write_has_its_own_time() {
        let (mut client, server) = duplex(4);
        let slow = tokio::spawn(async move {
            let mut read = Vec::new();
            while read.len() < 40 {
                tokio::time::sleep(SLOW).await;
                let mut some = [0; 4];
                client.read_exact(&mut some).await.unwrap();
                read.extend(some);
            }
            read
        });
        let start = Instant::now();
        let written = WriteLimit::new(server, LIMIT).write_all(&[7; 40]).await;
        written.unwrap();
        assert_eq!(slow.await.unwrap(), [7; 40]);
        assert!(start.elapsed() > 9 * SLOW);
    }
}
