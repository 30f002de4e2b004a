//! Observation of one request: everything a verdict follows from. The log keeps it, so that a check
//! can be judged again.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerError;
use crate::failure::Failure;
use crate::interval::Sample;
use crate::reading::{Interruption, Reading};
use crate::timestamp::{Timestamp, TimestampError};
use crate::units::{Nanoseconds, as_milliseconds};
use crate::verdict::Reason;

/// Longest delay of this process that does not spoil a measurement.
pub const STALL: Duration = Duration::from_millis(250);

/// Request with its parsed response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Local time just before sending.
    pub sent: Reading,
    /// Local time when the body had arrived, or the request was abandoned.
    pub received: Reading,
    /// Time for which this process was delayed during the request.
    #[serde(rename = "stall_ms", with = "as_milliseconds")]
    pub stall: Duration,
    /// Set if the connection had been used before.
    pub warm: bool,
    /// Address that was asked, if it was a single one.
    pub address: Option<SocketAddr>,
    /// Answer, or the reason that there is none.
    pub result: Result<Answered, Failure>,
}

/// Successful answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Time by the clock of the service; `None` if the check does not read it.
    #[serde(flatten)]
    pub now: Option<Timestamp>,
    /// Instance that answered; `None` if it gives no name.
    pub instance: Option<String>,
    /// Version of the service; `None` if it gives none.
    pub version: Option<String>,
    /// Nonce in the answer, compared with the one sent.
    pub echo: Echo,
    /// Set if the response is marked as cached by an `Age` header.
    pub aged: bool,
    /// Source of the time.
    pub source: Source,
    /// The status code; `None` in logs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Expiry of the service's certificate, seconds since 1970; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// Nonce of an answer, compared with the one that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// No nonce in the answer.
    None,
    /// Nonce of this request, so the answer was made for it.
    Same,
    /// Nonce of another request.
    Other,
}

/// Source of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Response body.
    Body,
    /// `Date` header.
    DateHeader,
    /// No source, because the check is one without a clock.
    Unread,
}

/// Reason that an answer proves nothing about a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The local wall clock was set during the request.
    LocalStep,
    /// The local host was suspended during the request.
    Suspended,
    /// Cached: the answer has an `Age` header and echoes no nonce.
    Aged,
    /// Cached: the answer echoes the nonce of another request.
    OtherNonce,
    /// Leap second: the answer came from within one.
    LeapSecond,
    /// Timeout or broken connection while this process was delayed.
    Overloaded,
}

impl Discard {
    /// Returns the reason for an undecided verdict.
    pub fn reason(self) -> Reason {
        match self {
            Self::LocalStep => Reason::LocalStep,
            Self::Suspended => Reason::Suspended,
            Self::Aged | Self::OtherNonce => Reason::Stale,
            Self::LeapSecond => Reason::LeapWindow,
            Self::Overloaded => Reason::CheckerOverloaded,
        }
    }
}

/// Classification of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// Valid sample of the clock of the instance that answered.
    Sampled(&'a Answered, Sample),
    /// Expected answer in a check without a clock.
    Answered(&'a Answered),
    /// Answer, if readable, that proves nothing about a clock.
    Discarded(Option<&'a Answered>, Discard),
    /// The service is down.
    Failed(&'a Failure),
    /// Broken connection that had been used before. The server may close one between two requests,
    /// so only a new one can tell.
    ConnectionLost,
}

impl Observation {
    /// Returns the monotonic nanoseconds from sending to the end.
    pub(crate) fn latency(&self) -> Nanoseconds {
        self.received.monotonic - self.sent.monotonic
    }

    /// Returns whether this process was delayed so long that measured delays may be its own.
    pub(crate) fn stalled(&self) -> bool {
        self.stall > STALL
    }

    fn slept(&self) -> bool {
        self.sent.slept_until(self.received)
    }

    /// Classifies the request.
    pub(crate) fn outcome(&self) -> Outcome<'_> {
        let answered = match &self.result {
            Ok(answered) => answered,
            // Connections do not outlive a long suspension, which is not the service's fault.
            Err(failure) if failure.is_about_the_address() && self.slept() => {
                return Outcome::Discarded(None, Discard::Suspended);
            }
            Err(Failure::NoTimestamp(AnswerError::Timestamp(TimestampError::LeapSecond {
                ..
            }))) => return Outcome::Discarded(None, Discard::LeapSecond),
            // Servers close idle connections at any moment, so only a new one can tell.
            Err(Failure::Broken { .. }) if self.warm => return Outcome::ConnectionLost,
            // A process that was not scheduled in time may have caused the timeout itself.
            Err(failure) if failure.may_be_ours() && self.stalled() => {
                return Outcome::Discarded(None, Discard::Overloaded);
            }
            Err(failure) => return Outcome::Failed(failure),
        };
        // Only a check without a clock leaves the time unread.
        let Some(timestamp) = answered.now else {
            return Outcome::Answered(answered);
        };
        let sample = Sample {
            sent: self.sent,
            received: self.received,
            timestamp,
        };
        let discard = match self.sent.interruption(self.received) {
            Some(Interruption::Step) => Some(Discard::LocalStep),
            Some(Interruption::Suspended) => Some(Discard::Suspended),
            // Varnish and Fastly send `Age: 0` with every response. An echoed nonce proves more.
            None if answered.aged && answered.echo != Echo::Same => Some(Discard::Aged),
            None if answered.echo == Echo::Other => Some(Discard::OtherNonce),
            None => None,
        };
        match discard {
            Some(discard) => Outcome::Discarded(Some(answered), discard),
            None => Outcome::Sampled(answered, sample),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Received;
    use crate::samples::{answered, exchange};
    use crate::settings::{Kind, Settings};
    use crate::units::{MILLISECOND, SECOND};

    fn discard(observation: &Observation) -> Option<Discard> {
        match observation.outcome() {
            Outcome::Discarded(_, discard) => Some(discard),
            Outcome::Sampled(..)
            | Outcome::Answered(_)
            | Outcome::Failed(_)
            | Outcome::ConnectionLost => None,
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
        let mut aged = exchange(0, r#"{"now":"2026-11-22T00:00:00.001Z"}"#);
        aged.result = aged.result.map(|received| Received {
            age: Some(7),
            ..received
        });
        let aged = aged.observe(&Settings::default());
        assert_eq!(discard(&aged), Some(Discard::Aged));
        let mut fresh = exchange(0, GOOD);
        fresh.result = fresh.result.map(|received| Received {
            age: Some(0),
            ..received
        });
        assert_eq!(discard(&fresh.observe(&Settings::default())), None);

        let mut replayed = exchange(0, GOOD);
        replayed.nonce = "other".to_owned();
        let replayed = replayed.observe(&Settings::default());
        assert_eq!(discard(&replayed), Some(Discard::OtherNonce));

        for step in [11, -11] {
            let mut stepped = answered(0, GOOD);
            stepped.received.wall += step * MILLISECOND;
            assert_eq!(discard(&stepped), Some(Discard::LocalStep));
        }

        let mut slept = answered(0, GOOD);
        slept.received.wall += 60 * SECOND;
        slept.received.suspended += 60 * SECOND;
        assert_eq!(discard(&slept), Some(Discard::Suspended));

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
        late.stall = Duration::ZERO;
        late.received.suspended += 60 * SECOND;
        assert_eq!(discard(&late), Some(Discard::Suspended));

        late.result = Err(Failure::Status {
            status: "503 Service Unavailable".to_owned(),
        });
        late.stall = Duration::from_secs(3);
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

    #[test]
    fn the_date_header_helps_only_where_it_is_allowed_to() {
        let mut dated = exchange(0, "<html>");
        dated.result = dated.result.map(|received| Received {
            date: Some("Sun, 22 Nov 2026 00:00:00 GMT".to_owned()),
            ..received
        });
        let refused = dated.clone().observe(&Settings::default());
        assert!(matches!(
            refused.result,
            Err(Failure::NoTimestamp(AnswerError::Timestamp(_)))
        ));
        let settings = Settings {
            date_header: true,
            ..Settings::default()
        };
        let taken = dated.observe(&settings).result.unwrap();
        assert_eq!(taken.source, Source::DateHeader);
        assert_eq!(taken.now.unwrap().resolution, SECOND);
        // The body is better where it has a time.
        let both = exchange(0, GOOD).observe(&settings).result.unwrap();
        assert_eq!(both.source, Source::Body);
    }

    #[test]
    fn an_observation_survives_the_log() {
        let failures = [
            Failure::TimedOut {
                after: Duration::from_secs(5),
            },
            Failure::TooLarge,
            Failure::Unexpected {
                detail: "`/status` is `starting`, not `ok`".to_owned(),
            },
            Failure::NoTimestamp(AnswerError::Empty),
            Failure::NoTimestamp(AnswerError::NoField(crate::field::Field::default())),
            Failure::NoTimestamp(AnswerError::Timestamp(TimestampError::ImplausibleNumber {
                text: "58552".to_owned(),
            })),
        ];
        let without_clock = Settings {
            kind: Kind::Http,
            ..Settings::default()
        };
        let mut observations = vec![
            answered(3, GOOD),
            exchange(3, "<html>").observe(&without_clock),
        ];
        for failure in failures {
            let mut failed = answered(13, "");
            failed.result = Err(failure);
            failed.address = Some(([127, 0, 0, 1], 80).into());
            observations.push(failed);
        }
        for observation in observations {
            let line = serde_json::to_string(&observation).unwrap();
            let again: Observation = serde_json::from_str(&line).unwrap();
            assert_eq!(again, observation, "{line}");
        }
    }
}
