//! A world on which passing failures leave no trace: every call is repeated until it is answered, and what a lost answer leaves
//! open is settled by looking.
//!
//! ```text
//! commands, engine ─► Retrying ─► aws
//!                       │ throttled, reset, 5xx, nonsense: the same call again, after growing pauses
//!                       └ the repetition is refused: was it carried out the first time? (settle)
//! ```
//!
//! The SDK's own repetitions are off: they would hide that there was a first time.

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

/// Another world, made steady.
pub struct Retrying<W> {
    inner: W,
    pace: Pace,
    sink: Sink,
}

/// A call that came to an end.
struct Attempted<T> {
    result: Remote<T>,
    /// Did an earlier attempt fail, so that it may have been carried out and only its answer lost?
    repeated: bool,
}

impl<W: Send + Sync> Retrying<W> {
    /// Repeats the calls of this world; warns there when that takes long.
    pub const fn new(inner: W, pace: Pace, sink: Sink) -> Self {
        Self { inner, pace, sink }
    }

    /// Makes a call that may be repeated freely.
    async fn retry<T, F>(&self, policy: RetryPolicy, call: impl Fn() -> F + Send) -> Remote<T>
    where
        T: Send,
        F: Future<Output = Remote<T>> + Send,
    {
        self.attempt(policy, call).await.result
    }

    /// Makes a call until it succeeds, fails for good, or patience ends.
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
            if !passing || !policy.allows(attempts, began.elapsed() + pause) {
                let repeated = attempts > 1;
                return Attempted { result, repeated };
            }
            if let Err(error) = &result {
                tracing::debug!(%error, ?pause, "the call is repeated");
                if RetryPolicy::is_worth_a_warning(began.elapsed())
                    && !std::mem::replace(&mut warned, true)
                {
                    self.warn(error);
                }
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(self.pace.slowest);
            attempts += 1;
        }
    }

    fn warn(&self, error: &RemoteError) {
        self.sink.warn(format!("{error}; still retrying"));
    }
}
