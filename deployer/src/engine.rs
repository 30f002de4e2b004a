//! The only loop: looks at a subject until it has come to an end, through failed looks and up to a deadline.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::stop::Stop;
use aws::access::Pace;
use aws::remote::{Remote, RemoteError};
use deployment::event::Sink;
use support::pause::jittered;

/// How far beyond the deadline a look that began before it may last.
const LAST_LOOK: Duration = Duration::from_secs(30);

/// Something that changes by itself and comes to an end.
#[async_trait]
pub trait Subject: Send {
    /// What the end can be.
    type End: Send;

    /// Looks once, reports what is new, and returns the end if it has come.
    async fn look(&mut self) -> Remote<Option<Self::End>>;
}

/// On which terms a subject is followed.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// How often to look.
    pub pace: Pace,
    /// Until when.
    pub deadline: Instant,
    /// Whose wish to stop is heeded, if anybody's.
    pub stop: Option<&'a Stop>,
}

impl Terms<'_> {
    /// For what happens on this machine, and soon.
    pub const fn local(deadline: Instant) -> Self {
        Self {
            pace: Pace::LOCAL,
            deadline,
            stop: None,
        }
    }
}

/// How following a subject went.
#[derive(Debug)]
pub enum Followed<T> {
    /// It came to its end.
    Ended(T),
    /// The deadline passed before; it continues.
    DeadlinePassed,
    /// Somebody wishes to stop; it continues.
    Stopped,
}

/// Follows a subject to its end.
///
/// Looks that fail in passing (throttled, reset, 5xx) are reported once and repeated with growing pauses; they never
/// decide the outcome. Others, such as expired credentials, end the following with that error.
pub async fn follow<S: Subject>(
    subject: &mut S,
    terms: Terms<'_>,
    sink: &Sink,
) -> Result<Followed<S::End>, RemoteError> {
    let stopped = async {
        match terms.stop {
            Some(stop) => stop.wished().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stopped => Ok(Followed::Stopped),
        followed = look_until(subject, terms.pace, terms.deadline, sink) => followed,
    }
}

async fn look_until<S: Subject>(
    subject: &mut S,
    pace: Pace,
    deadline: Instant,
    sink: &Sink,
) -> Result<Followed<S::End>, RemoteError> {
    let mut pause = pace.poll;
    let mut failing = false;
    loop {
        let Ok(looked) = timeout_at(deadline + LAST_LOOK, subject.look()).await else {
            return Ok(Followed::DeadlinePassed);
        };
        match looked {
            Ok(Some(end)) => return Ok(Followed::Ended(end)),
            Ok(None) => {
                pause = pace.poll;
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
        let next = Instant::now() + jittered(pause);
        if next > deadline {
            return Ok(Followed::DeadlinePassed);
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
    impl Subject for Script {
        type End = u32;

        async fn look(&mut self) -> Remote<Option<u32>> {
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
            stop: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_to_stop_is_heeded_at_once() {
        let (switch, stop) = crate::stop::StopSwitch::new();
        let terms = Terms {
            stop: Some(&stop),
            ..for_a_minute()
        };
        let press = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            switch.press();
        };
        let began = Instant::now();
        let mut endless = Script(VecDeque::new());
        let sink = sink();
        let (end, ()) = tokio::join!(follow(&mut endless, terms, &sink), press);
        assert!(matches!(end, Ok(Followed::Stopped)));
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
        let end = follow(&mut script, for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Followed::Ended(7))));
    }

    #[tokio::test(start_paused = true)]
    async fn others_do() {
        let mut script = Script(VecDeque::from([error(RemoteErrorKind::Credentials)]));
        let end = follow(&mut script, for_a_minute(), &sink()).await;
        assert_eq!(end.unwrap_err().kind, RemoteErrorKind::Credentials);
    }

    /// A look that has no end.
    struct Stuck;

    #[async_trait]
    impl Subject for Stuck {
        type End = u32;

        async fn look(&mut self) -> Remote<Option<u32>> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_while_a_look_hangs() {
        let began = Instant::now();
        let end = follow(&mut Stuck, for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Followed::DeadlinePassed)));
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
        let end = follow(&mut script, for_a_minute(), &sink()).await;
        assert!(matches!(end, Ok(Followed::DeadlinePassed)));
        assert!(began.elapsed() <= Duration::from_mins(1));
    }
}
