//! Retrying decorator over `World`: retries transient errors with backoff, and reads the effect
//! back after a lost response.
//!
//! ```text
//! commands, engine ─► Retrying ─► aws
//!                       │ throttled, reset, 5xx, invalid: the same call again, with backoff
//!                       └ the retry is refused: did the first attempt succeed? (confirm)
//! ```
//!
//! The SDK's own retries are disabled: they would hide that there was an earlier attempt.

mod calls;
mod confirm;
mod policy;

#[cfg(test)]
mod tests;

use tokio::time::{Instant, sleep};

use aws::access::Pace;
use aws::remote::{Remote, RemoteError};
use deployment::event::Sink;
use policy::RetryPolicy;
use support::pause::jittered;

/// Retrying decorator over another world.
pub struct Retrying<W> {
    inner: W,
    pace: Pace,
    sink: Sink,
}

/// Result of a call after all its attempts.
struct Attempted<T> {
    result: Remote<T>,
    /// Set if an earlier attempt failed. It may have been carried out, with only its response lost.
    repeated: bool,
}

impl<W: Send + Sync> Retrying<W> {
    /// Wraps `inner`; warns on `sink` when retries take long.
    pub const fn new(inner: W, pace: Pace, sink: Sink) -> Self {
        Self { inner, pace, sink }
    }

    /// Makes a call that is safe to repeat.
    async fn retry<T, F>(&self, policy: RetryPolicy, call: impl Fn() -> F + Send) -> Remote<T>
    where
        T: Send,
        F: Future<Output = Remote<T>> + Send,
    {
        self.attempt(policy, call).await.result
    }

    /// Makes a call until it succeeds, fails permanently, or exhausts the retry policy.
    async fn attempt<T, F>(&self, policy: RetryPolicy, call: impl Fn() -> F + Send) -> Attempted<T>
    where
        T: Send,
        F: Future<Output = Remote<T>> + Send,
    {
        let began = Instant::now();
        let mut pause = self.pace.first_pause();
        let mut warned = false;
        let mut attempts = 1;
        loop {
            let result = call().await;
            let passing = matches!(&result, Err(error) if error.kind.is_passing());
            // Jitter keeps clients that were throttled together from retrying together.
            let wait = jittered(pause);
            // The next pause counts, so that the last attempt does not start after the limit.
            if !passing || !policy.allows(attempts, began.elapsed() + wait) {
                let repeated = attempts > 1;
                return Attempted { result, repeated };
            }
            if let Err(error) = &result {
                tracing::debug!(%error, ?wait, "the call is repeated");
                // One warning a call is enough, however often it is repeated.
                if RetryPolicy::is_worth_a_warning(began.elapsed())
                    && !std::mem::replace(&mut warned, true)
                {
                    self.warn(error);
                }
            }
            sleep(wait).await;
            pause = (pause * 2).min(self.pace.slowest);
            attempts += 1;
        }
    }

    fn warn(&self, error: &RemoteError) {
        self.sink.warn(format!("{error}; still retrying"));
    }
}
