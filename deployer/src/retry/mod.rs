//! A world on which passing failures leave no trace: every call is repeated until it is answered, and what a lost answer leaves
//! open is settled by looking.
//!
//! ```text
//! commands, engine ─► Steady ─► aws
//!                       │ throttled, reset, 5xx, nonsense: the same call again, after growing pauses
//!                       └ the repetition is refused: was it carried out the first time? (settle)
//! ```
//!
//! The SDK's own repetitions are off: they would hide that there was a first time.

mod calls;
mod patience;
mod settle;

#[cfg(test)]
mod tests;

use tokio::time::{Instant, sleep};

use aws::access::Pace;
use aws::remote::{Remote, RemoteError};
use deployment::event::Sink;
use patience::Patience;
use support::pause::jittered;

/// Another world, made steady.
pub struct Steady<W> {
    inner: W,
    pace: Pace,
    sink: Sink,
}

/// A call that came to an end.
struct Answered<T> {
    result: Remote<T>,
    /// Did an earlier attempt fail, so that it may have been carried out and only its answer lost?
    repeated: bool,
}

impl<W: Send + Sync> Steady<W> {
    /// Repeats the calls of this world; warns there when that takes long.
    pub const fn new(inner: W, pace: Pace, sink: Sink) -> Self {
        Self { inner, pace, sink }
    }

    /// Makes a call that may be repeated freely.
    async fn repeat<T, F>(&self, patience: Patience, call: impl Fn() -> F + Send) -> Remote<T>
    where
        T: Send,
        F: Future<Output = Remote<T>> + Send,
    {
        self.attempt(patience, call).await.result
    }

    /// Makes a call until it succeeds, fails for good, or patience ends.
    async fn attempt<T, F>(&self, patience: Patience, call: impl Fn() -> F + Send) -> Answered<T>
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
            if !passing || !patience.lasts(attempts, began.elapsed() + pause) {
                let repeated = attempts > 1;
                return Answered { result, repeated };
            }
            if let Err(error) = &result {
                tracing::debug!(%error, ?pause, "the call is repeated");
                if Patience::is_worth_a_word(began.elapsed())
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
        self.sink.warn(format!("{error}; trying on"));
    }
}
