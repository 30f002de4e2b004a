//! Polling loop: polls until the subject completes, through transient errors and up to a deadline.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::cancellation::CancellationToken;
use aws::access::Pace;
use aws::remote::{Remote, RemoteError};
use deployment::event::Sink;
use support::pause::jittered;

/// Extra time after the deadline for a poll that started before it.
const LAST_POLL: Duration = Duration::from_secs(30);

/// Subject of polling: something that changes on its own and eventually completes.
#[async_trait]
pub trait Poller: Send {
    /// Result when the subject completes.
    type End: Send;

    /// Polls once, reports news, and returns the result if the subject has completed.
    async fn poll(&mut self) -> Remote<Option<Self::End>>;

    /// Returns whether the last poll made the subject go on, so that it changes soon.
    fn changes_soon(&self) -> bool {
        false
    }
}

/// Conditions under which a subject is polled.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Poll interval and backoff.
    pub pace: Pace,
    /// Time at which polling ends.
    pub deadline: Instant,
    /// Cancellation to observe, if any.
    pub cancellation: Option<&'a CancellationToken>,
}

impl Terms<'_> {
    /// Returns the conditions for something quick on this machine.
    pub const fn local(deadline: Instant) -> Self {
        Self {
            pace: Pace::LOCAL,
            deadline,
            cancellation: None,
        }
    }
}

/// Outcome of polling a subject.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The subject completed with this result.
    Completed(T),
    /// The deadline passed first; the subject continues.
    TimedOut,
    /// Polling was cancelled; the subject continues.
    Cancelled,
}

/// Polls until the subject completes, the deadline passes, or polling is cancelled.
///
/// Transient errors (throttled, reset, 5xx) are reported once and retried with backoff; they never
/// decide the outcome. Other errors, such as expired credentials, end polling with that error.
pub async fn to_end<S: Poller>(
    poller: &mut S,
    terms: Terms<'_>,
    sink: &Sink,
) -> Result<Outcome<S::End>, RemoteError> {
    let cancelled = async {
        match terms.cancellation {
            Some(stop) => stop.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // A cancellation wins over a result that is ready at the same time.
        biased;
        () = cancelled => Ok(Outcome::Cancelled),
        outcome = poll_until(poller, terms.pace, terms.deadline, sink) => outcome,
    }
}

async fn poll_until<S: Poller>(
    poller: &mut S,
    pace: Pace,
    deadline: Instant,
    sink: &Sink,
) -> Result<Outcome<S::End>, RemoteError> {
    let mut pause = pace.poll;
    let mut failing = false;
    loop {
        // A call that hangs must not extend the deadline by more than this.
        let Ok(polled) = timeout_at(deadline + LAST_POLL, poller.poll()).await else {
            return Ok(Outcome::TimedOut);
        };
        match polled {
            Ok(Some(end)) => return Ok(Outcome::Completed(end)),
            // One success ends the backoff, and the next error is reported again.
            Ok(None) => {
                pause = if poller.changes_soon() {
                    pace.soon()
                } else {
                    pace.poll
                };
                failing = false;
            }
            Err(error) if error.kind.is_passing() => {
                if !failing {
                    sink.warn(format!("{error}; looking again"));
                }
                failing = true;
                pause = (pause * 2).min(pace.slowest);
            }
            Err(error) => return Err(error),
        }
        // Jitter spreads the calls of runs that start at the same time, as in CI.
        let next = Instant::now() + jittered(pause);
        // Returns early, because sleeping past the deadline would not change the outcome.
        if next > deadline {
            return Ok(Outcome::TimedOut);
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use aws::access::Pace;
    use aws::remote::RemoteErrorKind;
    use deployment::event::Silent;

    fn sink() -> Sink {
        Sink::new(Box::new(Silent))
    }

    struct Script(VecDeque<Remote<Option<u32>>>);

    #[async_trait]
    impl Poller for Script {
        type End = u32;

        async fn poll(&mut self) -> Remote<Option<u32>> {
            self.0.pop_front().unwrap_or(Ok(None))
        }
    }

    fn error(kind: RemoteErrorKind) -> Remote<Option<u32>> {
        Err(RemoteError {
            kind,
            operation: "DescribeStacks",
            code: None,
            message: "no".to_owned(),
            request_id: None,
        })
    }

    fn for_a_minute() -> Terms<'static> {
        Terms {
            pace: Pace::REMOTE,
            deadline: Instant::now() + Duration::from_mins(1),
            cancellation: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_to_stop_is_heeded_at_once() {
        let token = crate::cancellation::CancellationToken::default();
        let terms = Terms {
            cancellation: Some(&token),
            ..for_a_minute()
        };
        let press = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            token.cancel();
        };
        let began = Instant::now();
        let mut endless = Script(VecDeque::new());
        let sink = sink();
        let (end, ()) = tokio::join!(to_end(&mut endless, terms, &sink), press);
        assert!(matches!(end, Ok(Outcome::Cancelled)));
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn passing_failures_never_decide() {
        let mut script = Script(VecDeque::from([
            error(RemoteErrorKind::Throttled),
            error(RemoteErrorKind::Server),
            Ok(None),
            error(RemoteErrorKind::Unreachable),
            Ok(Some(7)),
        ]));
        let end = to_end(&mut script, for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Outcome::Completed(7))));
    }

    /// A subject that goes on when it is polled, and ends at the third look.
    struct Steps(u32);

    #[async_trait]
    impl Poller for Steps {
        type End = ();

        async fn poll(&mut self) -> Remote<Option<()>> {
            self.0 += 1;
            Ok((self.0 == 3).then_some(()))
        }

        fn changes_soon(&self) -> bool {
            self.0 == 1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_soon_is_looked_at_soon() {
        let began = Instant::now();
        let end = to_end(&mut Steps(0), for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Outcome::Completed(()))));
        let whole = Pace::REMOTE.poll;
        assert!(began.elapsed() < whole * 7 / 4);
        assert!(began.elapsed() > whole / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn others_do() {
        let mut script = Script(VecDeque::from([error(RemoteErrorKind::Credentials)]));
        let end = to_end(&mut script, for_a_minute(), &sink()).await;
        assert_eq!(end.unwrap_err().kind, RemoteErrorKind::Credentials);
    }

    /// A look that has no end.
    struct Stuck;

    #[async_trait]
    impl Poller for Stuck {
        type End = u32;

        async fn poll(&mut self) -> Remote<Option<u32>> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_while_a_look_hangs() {
        let began = Instant::now();
        let end = to_end(&mut Stuck, for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Outcome::TimedOut)));
        assert!(began.elapsed() <= Duration::from_mins(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_while_looks_fail() {
        let mut script = Script(
            std::iter::repeat_with(|| error(RemoteErrorKind::Throttled))
                .take(1000)
                .collect(),
        );
        let began = Instant::now();
        let end = to_end(&mut script, for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Outcome::TimedOut)));
        assert!(began.elapsed() <= Duration::from_mins(1));
    }
}
