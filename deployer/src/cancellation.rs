//! Graceful shutdown: a cancellation token, and guards that delay the exit while work must be
//! undone.
//!
//! While no [`ShutdownGuard`] is held, cancelling ends the program immediately. While one is held,
//! its holder observes the cancellation, cleans up, and then lets the program end. A second signal
//! ends the program in any case.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// Cancellation signal of the whole program; clones share it.
#[derive(Debug, Clone)]
pub struct CancellationToken {
    cancelled: Arc<watch::Sender<bool>>,
    guards: Arc<AtomicUsize>,
}

/// Guard that delays the exit for as long as it is held.
#[must_use]
#[derive(Debug)]
pub struct ShutdownGuard(Arc<AtomicUsize>);

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        // Relaxed is enough: the counter protects no other memory.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self {
            cancelled: Arc::new(watch::Sender::new(false)),
            guards: Arc::default(),
        }
    }
}

impl CancellationToken {
    /// Cancels; returns whether a guard is held, so that its holder has to be waited for.
    pub fn cancel(&self) -> bool {
        // Unlike `send`, this sets the value even if nobody has subscribed yet.
        self.cancelled.send_replace(true);
        self.is_guarded()
    }

    /// Returns whether a guard is held.
    pub fn is_guarded(&self) -> bool {
        self.guards.load(Ordering::Relaxed) > 0
    }

    /// Returns a guard that delays the exit.
    pub fn guard(&self) -> ShutdownGuard {
        self.guards.fetch_add(1, Ordering::Relaxed);
        ShutdownGuard(Arc::clone(&self.guards))
    }

    /// Returns whether the token was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until the token is cancelled.
    pub async fn cancelled(&self) {
        // The sender lives as long as this token, so that waiting cannot fail. `wait_for` also
        // checks the current value: a cancellation before this call is not missed.
        let _ = self.cancelled.subscribe().wait_for(|it| *it).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guard_is_waited_for() {
        let token = CancellationToken::default();
        let guard = token.guard();
        assert!(token.clone().cancel());
        token.cancelled().await;
        drop(guard);
        assert!(!token.cancel());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_nobody_cancels_waits() {
        let token = CancellationToken::default();
        let waited = tokio::time::timeout(std::time::Duration::from_hours(1), token.cancelled());
        assert!(waited.await.is_err());
    }
}
