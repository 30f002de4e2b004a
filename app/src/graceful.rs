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
        if !*this.asked {
            let is_ending = this.is_ending.load(Ordering::Acquire);
            if is_ending {
                *this.asked = true;
                this.connection.as_mut().graceful_shutdown();
            } else if !this.registered.will_wake(context.waker()) {
                this.registered.clone_from(context.waker());
                if this.ending.poll(context).is_ready() {
                    *this.asked = true;
                    this.connection.as_mut().graceful_shutdown();
                }
            }
        }
        this.connection.poll(context)
    }
}
