//! From what happened during a request to what it means: pure.

use std::time::Duration;

use crate::answer::{Answer, AnswerError};
use crate::clock::Reading;
use crate::failure::Failure;
use crate::interval::Sample;
use crate::stall::STALL;
use crate::timestamp::TimestampError;
use crate::units::Nanoseconds;
use crate::verdict::Reason;

/// A request and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// Just before sending.
    pub(crate) sent: Reading,
    /// When the body had arrived, or hope was given up.
    pub(crate) received: Reading,
    /// For how long this program was held up meanwhile.
    pub(crate) stall: Duration,
    /// Whether the connection had been used before.
    pub(crate) warm: bool,
    /// As sent.
    pub(crate) nonce: String,
    pub(crate) result: Result<Received, Failure>,
}

/// A successful answer, unread.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Whether it has an `Age` header.
    pub(crate) aged: bool,
    pub(crate) body: Vec<u8>,
}

/// Why an answer proves nothing about a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The local wall clock was set meanwhile.
    LocalStep,
    /// It has an `Age` header: from a cache.
    Aged,
    /// It echoes the nonce of another request: from a cache.
    OtherNonce,
    /// It came from within a leap second.
    LeapSecond,
    /// It did not come in time, but this program was held up meanwhile.
    Overloaded,
}

impl Discard {
    /// The reason it gives to an undecided verdict.
    pub fn reason(self) -> Reason {
        match self {
            Self::LocalStep => Reason::LocalStep,
            Self::Aged | Self::OtherNonce => Reason::Stale,
            Self::LeapSecond => Reason::LeapWindow,
            Self::Overloaded => Reason::CheckerOverloaded,
        }
    }
}

/// What a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A valid sample of the clock of the instance that answered.
    Sampled(Answer, Sample),
    /// An answer (if there was a readable one) that proves nothing about a clock.
    Discarded(Option<Answer>, Discard),
    /// The service is down.
    Failed(Failure),
    /// A used connection broke, as any may between two requests: only a new one can tell.
    ConnectionLost,
}

impl Exchange {
    /// Monotonic nanoseconds from sending to the end.
    pub(crate) fn latency(&self) -> Nanoseconds {
        self.received.monotonic - self.sent.monotonic
    }

    /// Whether this program was held up so long that delays may be its own.
    pub(crate) fn stalled(&self) -> bool {
        self.stall > STALL
    }

    /// What it means.
    pub(crate) fn outcome(&self) -> Outcome {
        let received = match &self.result {
            Ok(received) => received,
            Err(failure) if failure.is_timeout() && self.stalled() => {
                return Outcome::Discarded(None, Discard::Overloaded);
            }
            Err(Failure::Broken { .. }) if self.warm => return Outcome::ConnectionLost,
            Err(failure) => return Outcome::Failed(failure.clone()),
        };
        let answer = match Answer::parse(&received.body) {
            Ok(answer) => answer,
            Err(AnswerError::Timestamp(TimestampError::LeapSecond { .. })) => {
                return Outcome::Discarded(None, Discard::LeapSecond);
            }
            Err(error) => return Outcome::Failed(Failure::NoTimestamp(error)),
        };
        let sample = Sample {
            sent: self.sent,
            received: self.received,
            timestamp: answer.now,
        };
        let other_nonce = answer
            .nonce
            .as_ref()
            .is_some_and(|echo| *echo != self.nonce);
        let discard = if sample.local_clock_stepped() {
            Some(Discard::LocalStep)
        } else if received.aged {
            Some(Discard::Aged)
        } else if other_nonce {
            Some(Discard::OtherNonce)
        } else {
            None
        };
        match discard {
            Some(discard) => Outcome::Discarded(Some(answer), discard),
            None => Outcome::Sampled(answer, sample),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::units::{MILLISECOND, SECOND};

    /// A request sent at `at` ms, answered after 2 ms with `body`.
    pub(crate) fn answered(at: Nanoseconds, body: &str) -> Exchange {
        let reading = |milliseconds: Nanoseconds| Reading {
            wall: 1_795_305_600 * SECOND + milliseconds * MILLISECOND,
            monotonic: milliseconds * MILLISECOND,
        };
        Exchange {
            sent: reading(at),
            received: reading(at + 2),
            stall: Duration::ZERO,
            warm: true,
            nonce: "n".to_owned(),
            result: Ok(Received {
                aged: false,
                body: body.as_bytes().to_vec(),
            }),
        }
    }

    fn discard(exchange: &Exchange) -> Option<Discard> {
        match exchange.outcome() {
            Outcome::Discarded(_, discard) => Some(discard),
            Outcome::Sampled(..) | Outcome::Failed(_) | Outcome::ConnectionLost => None,
        }
    }

    const GOOD: &str = r#"{"now":"2026-11-22T00:00:00.001Z","instance":"a","nonce":"n"}"#;

    #[test]
    fn a_plain_answer_is_a_sample() {
        assert!(matches!(answered(0, GOOD).outcome(), Outcome::Sampled(..)));
        let silent = answered(0, r#"{"now":"2026-11-22T00:00:00.001Z"}"#);
        assert!(matches!(silent.outcome(), Outcome::Sampled(..)));
    }

    #[test]
    fn answers_that_prove_nothing_are_discarded() {
        let mut aged = answered(0, GOOD);
        aged.result = aged.result.map(|received| Received {
            aged: true,
            ..received
        });
        assert_eq!(discard(&aged), Some(Discard::Aged));

        let mut replayed = answered(0, GOOD);
        replayed.nonce = "other".to_owned();
        assert_eq!(discard(&replayed), Some(Discard::OtherNonce));

        for step in [11, -11] {
            let mut stepped = answered(0, GOOD);
            stepped.received.wall += step * MILLISECOND;
            assert_eq!(discard(&stepped), Some(Discard::LocalStep));
        }

        let leap = answered(0, r#"{"now":"2016-12-31T23:59:60Z"}"#);
        assert_eq!(discard(&leap), Some(Discard::LeapSecond));
    }

    #[test]
    fn a_timeout_is_only_the_services_fault_when_the_checker_ran() {
        let mut late = answered(0, "");
        late.result = Err(Failure::TimedOut {
            after: Duration::from_secs(5),
        });
        assert!(matches!(late.outcome(), Outcome::Failed(_)));
        late.stall = Duration::from_secs(3);
        assert_eq!(discard(&late), Some(Discard::Overloaded));

        late.result = Err(Failure::Refused {
            peer: "127.0.0.1:1".to_owned(),
        });
        assert!(matches!(late.outcome(), Outcome::Failed(_)));
    }

    #[test]
    fn a_used_connection_may_break_a_new_one_may_not() {
        let mut broken = answered(0, "");
        broken.result = Err(Failure::Broken {
            peer: "127.0.0.1:1".to_owned(),
            detail: "connection closed".to_owned(),
        });
        assert_eq!(broken.outcome(), Outcome::ConnectionLost);
        broken.warm = false;
        assert!(matches!(broken.outcome(), Outcome::Failed(_)));
    }
}
