//! Quality of the clock as the platform reports it, and the decision whether it is good enough.
//! Pure: the time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

/// Maximum age of a reading that is still reported when the platform no longer answers.
const UNANSWERED_LIMIT: Duration = Duration::from_mins(2);

/// Maximum age of a good reading that the platform repeats without measuring again.
const UNCHANGED_LIMIT: Duration = Duration::from_hours(1);

/// Limits beyond which a clock is too bad to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPolicy {
    /// Largest error bound that is good enough.
    pub error_limit: Duration,
    /// Time that the clock may be bad without consequences: a platform corrects a clock sooner than
    /// a load balancer replaces a task.
    pub grace: Duration,
}

impl Default for ClockPolicy {
    /// Returns half of the second that the checker allows by default, so that the load balancer
    /// acts before a client can prove the clock wrong.
    fn default() -> Self {
        Self {
            error_limit: Duration::from_millis(500),
            grace: Duration::from_mins(1),
        }
    }
}

/// Result of the platform's last attempt to synchronise the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronization {
    /// `SYNCHRONIZED`
    Synchronized,
    /// `NOT_SYNCHRONIZED`
    NotSynchronized,
}

impl Synchronization {
    /// Parses the platform's value.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "SYNCHRONIZED" => Some(Self::Synchronized),
            "NOT_SYNCHRONIZED" => Some(Self::NotSynchronized),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Synchronized => "SYNCHRONIZED",
            Self::NotSynchronized => "NOT_SYNCHRONIZED",
        }
    }
}

/// Reading of the clock's quality by the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockReading {
    /// Synchronisation.
    pub status: Synchronization,
    /// Maximum error in whole microseconds, rounded up. Always known of a synchronised clock.
    pub error_bound: Option<Duration>,
    /// Time of the measurement as the platform writes it. Only compared.
    pub reference: String,
}

impl fmt::Display for ClockReading {
    /// Formats as JSON, in the form of `/now`: `{"status":"SYNCHRONIZED","error_bound_ms":0.546}`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, r#"{{"status":"{}""#, self.status.as_str())?;
        if let Some(bound) = self.error_bound {
            let microseconds = bound.as_micros();
            let (whole, rest) = (microseconds / 1000, microseconds % 1000);
            write!(formatter, r#","error_bound_ms":{whole}.{rest:03}"#)?;
        }
        formatter.write_str("}")
    }
}

/// Reason why a clock is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockFault {
    /// The platform says `NOT_SYNCHRONIZED`.
    NotSynchronized,
    /// The error bound exceeds the limit.
    ErrorBound,
}

impl ClockFault {
    /// Returns the reason as a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotSynchronized => "the platform says that the clock is not synchronized",
            Self::ErrorBound => "the clock may be further off than CLOCK_ERROR_LIMIT_MS allows",
        }
    }
}

impl ClockPolicy {
    /// Returns the fault of a reading, if any.
    fn fault(&self, reading: &ClockReading) -> Option<ClockFault> {
        match reading.status {
            Synchronization::NotSynchronized => Some(ClockFault::NotSynchronized),
            Synchronization::Synchronized => {
                let bound = reading.error_bound?;
                (bound > self.error_limit).then_some(ClockFault::ErrorBound)
            }
        }
    }
}

/// History of the clock, as far as decisions need it.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    policy: ClockPolicy,
    latest: Option<Latest>,
}

#[derive(Debug)]
struct Latest {
    reading: ClockReading,
    /// Time of the last answer with it.
    answered: Instant,
    /// Time of the first answer with this measurement.
    measured: Instant,
    /// Start of the current series of bad readings.
    bad_since: Option<Instant>,
}

impl ClockWatch {
    pub(crate) fn new(policy: ClockPolicy) -> Self {
        Self {
            policy,
            latest: None,
        }
    }

    /// Records an answer of the platform: `None` if there was none, or nothing about the clock in
    /// it.
    pub(crate) fn learn(&mut self, now: Instant, reading: Option<ClockReading>) {
        let Some(reading) = reading else {
            return;
        };
        let before = self.latest.take();
        // Even if it is too old to be reported: otherwise it would be new again as soon as it is
        // repeated.
        let measured = before
            .as_ref()
            .filter(|before| before.reading.reference == reading.reference)
            .map_or(now, |before| before.measured);
        // A reading that is too old to be reported does not count for the grace time either.
        let bad_since = before
            .filter(|before| before.is_fresh(now))
            .and_then(|before| before.bad_since)
            .unwrap_or(now);
        let is_bad = self.policy.fault(&reading).is_some();
        self.latest = Some(Latest {
            reading,
            answered: now,
            measured,
            bad_since: is_bad.then_some(bad_since),
        });
    }

    /// Returns the latest reading, unless it is too old.
    pub(crate) fn told(&self, now: Instant) -> Option<&ClockReading> {
        let latest = self.latest.as_ref()?;
        latest.is_fresh(now).then_some(&latest.reading)
    }

    /// Returns the reason why the service should get no requests, if any. An unknown clock is no
    /// fault: a platform that does not answer must not remove all tasks at once.
    pub(crate) fn fault(&self, now: Instant) -> Option<ClockFault> {
        let reading = self.told(now)?;
        let bad_since = self.latest.as_ref()?.bad_since?;
        let over = now.saturating_duration_since(bad_since) > self.policy.grace;
        self.policy.fault(reading).filter(|_| over)
    }
}

impl Latest {
    fn is_fresh(&self, now: Instant) -> bool {
        let is_answered = now.saturating_duration_since(self.answered) <= UNANSWERED_LIMIT;
        match self.reading.status {
            // The platform does not measure an unsynchronised clock again, so repeating it is news
            // enough.
            Synchronization::NotSynchronized => is_answered,
            Synchronization::Synchronized => {
                is_answered && now.saturating_duration_since(self.measured) <= UNCHANGED_LIMIT
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(word: &str, microseconds: u64, reference: &str) -> ClockReading {
        ClockReading {
            status: Synchronization::parse(word).unwrap(),
            error_bound: Some(Duration::from_micros(microseconds)),
            reference: reference.to_owned(),
        }
    }

    const GOOD: u64 = 546;
    const BAD: u64 = 500_001;

    /// Feeds answers, each at a second, and returns the reported error bound and the fault at
    /// another second.
    fn state(
        answers: &[(u64, Option<ClockReading>)],
        at: u64,
    ) -> (Option<u128>, Option<ClockFault>) {
        let start = Instant::now();
        let mut watch = ClockWatch::new(ClockPolicy::default());
        for (second, answer) in answers {
            watch.learn(start + Duration::from_secs(*second), answer.clone());
        }
        let now = start + Duration::from_secs(at);
        (
            watch
                .told(now)
                .and_then(|reading| reading.error_bound)
                .map(|bound| bound.as_micros()),
            watch.fault(now),
        )
    }

    /// Returns an answer with a new measurement.
    fn fresh(second: u64, word: &str, microseconds: u64) -> (u64, Option<ClockReading>) {
        (
            second,
            Some(reading(word, microseconds, &second.to_string())),
        )
    }

    #[test]
    fn a_bad_clock_has_its_grace_time_and_recovers_at_once() {
        let good = |second| fresh(second, "SYNCHRONIZED", GOOD);
        let far = |second| fresh(second, "SYNCHRONIZED", BAD);
        let lost = |second| fresh(second, "NOT_SYNCHRONIZED", GOOD);
        let (told_good, told_far) = (Some(u128::from(GOOD)), Some(u128::from(BAD)));
        let table = [
            // Nothing known, or known to be good.
            (vec![], 100, (None, None)),
            (vec![(0, None)], 100, (None, None)),
            (vec![good(0)], 0, (told_good, None)),
            // Exactly the limit is good.
            (
                vec![fresh(0, "SYNCHRONIZED", BAD - 1), (70, None)],
                70,
                (Some(u128::from(BAD - 1)), None),
            ),
            // Bad: reported at once, a fault after more than a minute.
            (vec![far(0)], 0, (told_far, None)),
            (vec![far(0), far(60)], 60, (told_far, None)),
            (
                vec![far(0), far(60)],
                61,
                (told_far, Some(ClockFault::ErrorBound)),
            ),
            (vec![lost(0)], 60, (told_good, None)),
            (
                vec![lost(0)],
                61,
                (told_good, Some(ClockFault::NotSynchronized)),
            ),
            // The minute continues from one kind of bad to the other; the reason is the current
            // one.
            (
                vec![lost(0), far(50)],
                61,
                (told_far, Some(ClockFault::ErrorBound)),
            ),
            // A good reading restarts the grace time, and one after it ends the fault.
            (
                vec![far(0), good(50), far(55), far(110)],
                115,
                (told_far, None),
            ),
            (
                vec![far(0), good(50), far(55), far(110)],
                116,
                (told_far, Some(ClockFault::ErrorBound)),
            ),
            (vec![far(0), far(90), good(100)], 100, (told_good, None)),
            // An answer that fails changes nothing.
            (
                vec![far(0), (30, None), (50, None)],
                61,
                (told_far, Some(ClockFault::ErrorBound)),
            ),
        ];
        for (answers, at, expected) in table {
            assert_eq!(state(&answers, at), expected, "{answers:?} at {at}");
        }
    }

    #[test]
    fn what_is_too_old_is_neither_told_nor_held_against_the_clock() {
        let far = |second| fresh(second, "SYNCHRONIZED", BAD);
        let told_far = Some(u128::from(BAD));
        assert_eq!(
            state(&[far(0)], 120),
            (told_far, Some(ClockFault::ErrorBound))
        );
        assert_eq!(state(&[far(0)], 121), (None, None));
        assert_eq!(state(&[far(0), (119, None)], 121), (None, None));
        // The grace time starts again after that.
        assert_eq!(state(&[far(0), far(200)], 260), (told_far, None));
        assert_eq!(
            state(&[far(0), far(200)], 261),
            (told_far, Some(ClockFault::ErrorBound))
        );
    }

    /// Returns the same measurement every ten seconds, from one second to another.
    fn repeated(
        word: &str,
        seconds: std::ops::RangeInclusive<u64>,
    ) -> Vec<(u64, Option<ClockReading>)> {
        seconds
            .step_by(10)
            .map(|second| (second, Some(reading(word, GOOD, "yesterday"))))
            .collect()
    }

    #[test]
    fn a_measurement_that_is_only_repeated_is_told_for_an_hour() {
        let told = Some(u128::from(GOOD));
        let repeated = |last| repeated("SYNCHRONIZED", 0..=last);
        assert_eq!(state(&repeated(3600), 3600), (told, None));
        // However often it is repeated, it never counts as new.
        for last in [3600, 3610, 3620, 7210, 90_000] {
            assert_eq!(state(&repeated(last), last + 1), (None, None), "{last}");
        }
        // A new measurement is news.
        let mut more = repeated(3600);
        more.push(fresh(3610, "SYNCHRONIZED", GOOD));
        assert_eq!(state(&more, 3611), (told, None));
    }

    #[test]
    fn a_clock_that_stays_unsynchronized_stays_a_fault() {
        for last in [70, 3600, 3610, 3620, 3680, 7210, 90_000] {
            assert_eq!(
                state(&repeated("NOT_SYNCHRONIZED", 0..=last), last),
                (Some(u128::from(GOOD)), Some(ClockFault::NotSynchronized)),
                "{last}"
            );
        }
    }

    #[test]
    fn it_is_written_as_json() {
        for (microseconds, expected) in [(0, "0.000"), (546, "0.546"), (1_234_567, "1234.567")] {
            let text = reading("NOT_SYNCHRONIZED", microseconds, "").to_string();
            assert_eq!(
                text,
                format!(r#"{{"status":"NOT_SYNCHRONIZED","error_bound_ms":{expected}}}"#)
            );
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["error_bound_ms"].is_number());
        }
        let unknown = ClockReading {
            error_bound: None,
            ..reading("NOT_SYNCHRONIZED", 0, "")
        };
        assert_eq!(unknown.to_string(), r#"{"status":"NOT_SYNCHRONIZED"}"#);
        assert_eq!(Synchronization::parse("synchronized"), None);
    }
}
