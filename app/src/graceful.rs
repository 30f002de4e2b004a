//! Connections that can be asked to end after the request they are at.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use hyper_util::server::graceful::GracefulConnection;
use pin_project_lite::pin_project;
use tokio::sync::watch;

/// Asks all connections that it watches to end.
///
/// hyper-util's own asks a channel each time something happens on a connection. This one asks it once,
/// and then looks at a flag.
pub(crate) struct Graceful {
    is_ending: Arc<AtomicBool>,
    wake: watch::Sender<()>,
}

impl Graceful {
    pub(crate) fn new() -> Self {
        let (wake, _) = watch::channel(());
        Self {
            is_ending: Arc::default(),
            wake,
        }
    }

    /// Watches over `connection`, which is a future that goes on as long as the connection.
    pub(crate) fn watch<C: GracefulConnection>(
        &self,
        connection: C,
    ) -> impl Future<Output = C::Output> + use<C> {
        let mut wake = self.wake.subscribe();
        Watched {
            connection,
            is_ending: Arc::clone(&self.is_ending),
            // The sender being gone means the same.
            ending: async move { drop(wake.changed().await) },
            registered: Waker::noop().clone(),
            asked: false,
        }
    }

    /// Asks them. They end on their own time.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        let _ = self.wake.send(());
    }
}

pin_project! {
    struct Watched<C, F> {
        #[pin]
        connection: C,
        is_ending: Arc<AtomicBool>,
        #[pin]
        ending: F,
        // Whom `ending` wakes.
        registered: Waker,
        // The connection knows that it should end.
        asked: bool,
    }
}

impl<C: GracefulConnection, F: Future<Output = ()>> Future for Watched<C, F> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        // First, so that a request that is there already is seen: asked to end before, the connection would close on it.
        let polled = this.connection.as_mut().poll(context);
        if polled.is_ready() || *this.asked {
            return polled;
        }
        let mut is_ending = this.is_ending.load(Ordering::Acquire);
        if !is_ending && !this.registered.will_wake(context.waker()) {
            this.registered.clone_from(context.waker());
            is_ending = this.ending.poll(context).is_ready();
        }
        if !is_ending {
            return polled;
        }
        *this.asked = true;
        this.connection.as_mut().graceful_shutdown();
        this.connection.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;

    use futures_util::poll;
    use http_body_util::Empty;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use warp::http::{Request, Response};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

    #[tokio::test]
    async fn a_request_that_is_there_when_the_end_comes_is_answered() {
        let (mut client, server) = tokio::io::duplex(4096);
        let answer = |_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        };
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(answer));
        let graceful = Graceful::new();
        let mut watched = pin!(graceful.watch(connection));
        let mut buffer = [0; 4096];

        client.write_all(REQUEST).await.unwrap();
        assert!(poll!(watched.as_mut()).is_pending());
        assert!(client.read(&mut buffer).await.unwrap() > 0);
        assert!(poll!(watched.as_mut()).is_pending());

        client.write_all(REQUEST).await.unwrap();
        graceful.end();
        assert!(poll!(watched.as_mut()).is_ready());
        let length = client.read(&mut buffer).await.unwrap();
        assert!(buffer[..length].starts_with(b"HTTP/1.1 200"));
    }
}
