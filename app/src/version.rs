//! Answers 505 to other major versions of HTTP. hyper answers 400 or, to the preface of HTTP/2,
//! nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ANSWER: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    cache-control: no-store\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Bytes of `HTTP/2.0` and the space before it.
const TAIL: usize = 9;

/// Stream that inspects the first line of a connection.
///
/// A client uses one version on a connection, so later lines are left to hyper, which answers 400.
/// It does so for minor versions after 1.1 as well: its parser knows only 1.0 and 1.1.
#[derive(Debug)]
pub(crate) struct VersionGuard<S> {
    stream: S,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In the first line. These are its last bytes, the latest at the end.
    Watching([u8; TAIL]),
    /// Passes everything to hyper.
    Passing,
    /// Answers another major version. This many bytes of the answer are written.
    Refusing(usize),
}

impl<S> VersionGuard<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self {
            stream,
            state: State::Watching([0; TAIL]),
        }
    }

    /// Continues in the first line and returns how many of these bytes are for hyper.
    #[cold]
    fn watch(&mut self, mut tail: [u8; TAIL], bytes: &[u8]) -> usize {
        for (position, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\r' => {}
                // Empty lines before the first one are ignored, as by hyper (RFC 9112 §2.2).
                b'\n' if tail == [0; TAIL] => {}
                b'\n' if is_other_version(tail) => {
                    self.state = State::Refusing(0);
                    // hyper does not answer the whole preface of HTTP/2, only this line alone.
                    return position + 1;
                }
                b'\n' => {
                    self.state = State::Passing;
                    return bytes.len();
                }
                byte => {
                    tail.rotate_left(1);
                    tail[TAIL - 1] = byte;
                }
            }
        }
        self.state = State::Watching(tail);
        bytes.len()
    }
}

/// Returns whether this is an `HTTP-version` of RFC 9112 §2.3 with another major version than 1.
fn is_other_version(tail: [u8; TAIL]) -> bool {
    matches!(tail, [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && major != b'1' && minor.is_ascii_digit())
}

impl<S: AsyncRead + Unpin> AsyncRead for VersionGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let State::Watching(tail) = self.state {
            let kept = self.watch(tail, &buffer.filled()[before..]);
            buffer.set_filled(before + kept);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for VersionGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let State::Refusing(written) = &mut this.state else {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        // Replaces the 400, which is all that hyper writes after such a line.
        while *written < ANSWER.len() {
            let stream = Pin::new(&mut this.stream);
            match ready!(stream.poll_write(context, &ANSWER[*written..]))? {
                0 => return Poll::Ready(Ok(0)),
                count => *written += count,
            }
        }
        Poll::Ready(Ok(bytes.len()))
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

    use super::*;

    /// Sends `sent` in pieces of `size`, and returns what hyper reads and what the client gets for
    /// hyper's answer.
    async fn exchange(sent: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut client, server) = duplex(4);
        let mut guard = VersionGuard::new(server);
        let sent = sent.to_vec();
        let client = tokio::spawn(async move {
            for piece in sent.chunks(size) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut read = Vec::new();
        guard.read_to_end(&mut read).await.unwrap();
        guard.write_all(b"hyper's answer").await.unwrap();
        drop(guard);
        (read, client.await.unwrap())
    }

    #[tokio::test]
    async fn another_major_version_is_told_so() {
        for line in [
            "GET / HTTP/2.0\r\n",
            "\r\n\nGET / HTTP/2.0\n",
            "PRI * HTTP/2.0\r\n",
            "GET /HTTP/1.1 HTTP/3.0\r\n",
            "GET / HTTP/0.9\r\n",
        ] {
            for size in 1..line.len() {
                let (_, answer) = exchange(format!("{line}\r\nSM\r\n\r\n").as_bytes(), size).await;
                assert_eq!(answer, ANSWER, "{line:?} in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn everything_else_is_hypers() {
        for sent in [
            "",
            "GET / HTTP/2.0",
            "GET / HTTP/1.1\r\nX: HTTP/2.0\r\n\r\nGET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET /HTTP/2.0\r\n\r\n",
            "GET / HTTP/2.x\r\n\r\n",
            "GET / http/2.0\r\n\r\n",
        ] {
            for size in 1..=sent.len().max(1) {
                let (read, answer) = exchange(sent.as_bytes(), size).await;
                assert_eq!(read, sent.as_bytes(), "in pieces of {size}");
                assert_eq!(answer, b"hyper's answer", "{sent:?} in pieces of {size}");
            }
        }
    }
}
