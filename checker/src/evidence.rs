//! What a check has learned so far, what that amounts to, and what to ask next: pure, the loop around it only acts.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::Answer;
use crate::clock::Reading;
use crate::exchange::{Discard, Exchange, Outcome};
use crate::failure::Failure;
use crate::instance::InstanceClock;
use crate::interval::{OffsetInterval, Sample, stepped};
use crate::report::Note;
use crate::settings::Settings;
use crate::units::{Nanoseconds, nanoseconds};
use crate::verdict::{Reason, Verdict};

/// A result on the warm connection is wanted, not only one that holds the time of connecting.
const ANSWERS_TO_BE_OK: u32 = 2;

/// What to do after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    /// Ask again on the same connection.
    SameConnection,
    /// Ask again on a new one.
    NewConnection,
    /// The check is over.
    Stop,
}

/// One instance, as it showed itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Instance {
    pub(crate) clock: InstanceClock,
    pub(crate) version: Option<String>,
}

/// All that a check has learned.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    settings: &'a Settings,
    /// By id. Answers that name no instance are taken for one instance's.
    pub(crate) instances: BTreeMap<Option<String>, Instance>,
    pub(crate) failure: Option<Failure>,
    /// The first version that was not the expected one; empty when an answer named none.
    pub(crate) unexpected_version: Option<String>,
    pub(crate) notes: BTreeSet<Note>,
    pub(crate) requests: u32,
    pub(crate) discarded: u32,
    /// Answered requests on a used connection, nanoseconds.
    pub(crate) warm_latencies: Vec<Nanoseconds>,
    /// Answered requests that had to connect first, nanoseconds.
    pub(crate) cold_latencies: Vec<Nanoseconds>,
    requests_on_connection: u32,
    connection_lost: bool,
    /// The first reason why an answer that named no instance was discarded.
    anonymous: Option<Reason>,
    last: Option<Reading>,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            instances: BTreeMap::new(),
            failure: None,
            unexpected_version: None,
            notes: BTreeSet::new(),
            requests: 0,
            discarded: 0,
            warm_latencies: Vec::new(),
            cold_latencies: Vec::new(),
            requests_on_connection: 0,
            connection_lost: false,
            anonymous: None,
            last: None,
        }
    }

    /// Notes a failure that needed no request.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Takes in a request, and says what to do next.
    pub(crate) fn add(&mut self, exchange: &Exchange) -> Next {
        if self.last.is_some_and(|last| stepped(last, exchange.sent)) {
            for instance in self.instances.values_mut() {
                instance.clock.forget(Reason::LocalStep);
            }
        }
        self.last = Some(exchange.received);
        self.requests += 1;
        if !exchange.warm {
            self.requests_on_connection = 0;
        }
        self.requests_on_connection += 1;
        // After a failed request there is nothing left to reuse.
        self.connection_lost = exchange.result.is_err();
        if exchange.result.is_ok() {
            let latencies = if exchange.warm {
                &mut self.warm_latencies
            } else {
                &mut self.cold_latencies
            };
            latencies.push(exchange.latency());
        }
        match exchange.outcome() {
            Outcome::Sampled(answer, sample) => self.sampled(&answer, &sample, exchange.stalled()),
            Outcome::Discarded(answer, discard) => self.discarded(answer.as_ref(), discard),
            Outcome::Failed(failure) => self.fail(failure),
            Outcome::ConnectionLost => {}
        }
        self.next()
    }

    fn sampled(&mut self, answer: &Answer, sample: &Sample, stalled: bool) {
        if answer.nonce.is_none() {
            self.notes.insert(Note::NonceNotEchoed);
        }
        self.seen(answer).clock.add(sample, stalled);
    }

    fn discarded(&mut self, answer: Option<&Answer>, discard: Discard) {
        self.discarded += 1;
        match answer {
            Some(answer) => self.seen(answer).clock.discard(discard.reason()),
            None => {
                self.anonymous.get_or_insert(discard.reason());
            }
        }
    }

    /// The instance that gave this answer. Answers count as seen whether or not they measure anything.
    fn seen(&mut self, answer: &Answer) -> &mut Instance {
        if answer.instance.is_none() {
            self.notes.insert(Note::InstanceNotNamed);
        }
        if let Some(expected) = &self.settings.expect_version
            && answer.version.as_ref() != Some(expected)
        {
            self.unexpected_version
                .get_or_insert(answer.version.clone().unwrap_or_default());
        }
        let instance = self.instances.entry(answer.instance.clone()).or_default();
        instance.version.clone_from(&answer.version);
        instance
    }

    fn next(&self) -> Next {
        let verdict = self.verdict();
        let decided = match verdict {
            Verdict::Down | Verdict::Skewed => true,
            Verdict::Ok => self.answers() >= ANSWERS_TO_BE_OK,
            Verdict::Indeterminate { reason } => reason == Reason::UnexpectedVersion,
        };
        if decided || self.requests >= self.settings.budget() {
            return Next::Stop;
        }
        let missing = Verdict::Indeterminate {
            reason: Reason::MissingInstances,
        };
        // A load balancer may keep to one instance for a connection's life.
        let exhausted = self.requests_on_connection >= self.settings.samples.max(1)
            || (verdict == missing && self.requests_on_connection >= ANSWERS_TO_BE_OK);
        if self.connection_lost || exhausted {
            Next::NewConnection
        } else {
            Next::SameConnection
        }
    }

    fn answers(&self) -> u32 {
        let answers = self.warm_latencies.len() + self.cold_latencies.len();
        u32::try_from(answers).unwrap_or(u32::MAX)
    }

    /// The verdict on all that is known: the table in `docs/checker.md`, first match.
    pub(crate) fn verdict(&self) -> Verdict {
        let undecided = |reason| Verdict::Indeterminate { reason };
        match &self.failure {
            Some(Failure::Client { .. }) => return undecided(Reason::InternalError),
            Some(_) => return Verdict::Down,
            None => {}
        }
        let clocks = self.verdict_on_clocks();
        let unexpected = self.unexpected_version.is_some();
        match clocks {
            Verdict::Ok | Verdict::Indeterminate { .. } if unexpected => {
                undecided(Reason::UnexpectedVersion)
            }
            Verdict::Down | Verdict::Skewed | Verdict::Indeterminate { .. } => clocks,
            Verdict::Ok if self.missing_instances() => undecided(Reason::MissingInstances),
            Verdict::Ok => Verdict::Ok,
        }
    }

    fn missing_instances(&self) -> bool {
        self.settings
            .expect_instances
            .and_then(|expected| usize::try_from(expected).ok())
            .is_some_and(|expected| self.instances.len() < expected)
    }

    fn verdict_on_clocks(&self) -> Verdict {
        if self.instances.is_empty() {
            return Verdict::Indeterminate {
                reason: self.anonymous.unwrap_or(Reason::NoSample),
            };
        }
        Verdict::of_instances(
            self.instances
                .values()
                .map(|instance| self.verdict_on(instance)),
        )
    }

    /// The verdict on one instance's clock, now.
    pub(crate) fn verdict_on(&self, instance: &Instance) -> Verdict {
        instance
            .clock
            .verdict_at(self.now(), nanoseconds(self.settings.max_skew))
    }

    /// The bounds of one instance's clock, now.
    pub(crate) fn interval_of(&self, instance: &Instance) -> Option<OffsetInterval> {
        instance.clock.interval_at(self.now())
    }

    /// The moment of the last reading: a pure view of "now".
    fn now(&self) -> Nanoseconds {
        self.last.map_or(0, |last| last.monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::answered;

    /// An answer at `at` ms from a clock that is `offset` ms ahead.
    fn answer(at: i64, instance: &str, version: &str, offset: i64) -> Exchange {
        let now = chrono::DateTime::from_timestamp_millis(1_795_305_600_000 + at + 1 + offset)
            .unwrap()
            .format("%Y-%m-%dT%H:%M:%S%.6fZ");
        answered(
            at.into(),
            &format!(
                r#"{{"now":"{now}","instance":"{instance}","version":"{version}","nonce":"n"}}"#
            ),
        )
    }

    fn cold(exchange: Exchange) -> Exchange {
        Exchange {
            warm: false,
            ..exchange
        }
    }

    fn expecting(version: Option<&str>, instances: Option<u32>) -> Settings {
        Settings {
            expect_version: version.map(str::to_owned),
            expect_instances: instances,
            ..Settings::default()
        }
    }

    #[test]
    fn ok_needs_a_second_request_on_the_warm_connection() {
        let settings = Settings::default();
        let mut evidence = Evidence::new(&settings);
        assert_eq!(
            evidence.add(&cold(answer(3, "a", "1", 0))),
            Next::SameConnection
        );
        assert_eq!(evidence.add(&answer(13, "a", "1", 0)), Next::Stop);
        assert_eq!(evidence.verdict(), Verdict::Ok);
    }

    #[test]
    fn the_second_instance_is_judged_by_its_own_answers() {
        let settings = Settings::default();
        for offset in [1_100, -1_100, 3_600_000] {
            let mut evidence = Evidence::new(&settings);
            assert_eq!(
                evidence.add(&cold(answer(3, "a", "1", 0))),
                Next::SameConnection
            );
            assert_eq!(evidence.add(&answer(13, "b", "1", offset)), Next::Stop);
            assert_eq!(evidence.verdict(), Verdict::Skewed);
        }
    }

    #[test]
    fn every_answer_has_to_come_from_the_expected_version() {
        let settings = expecting(Some("2"), None);
        let mut evidence = Evidence::new(&settings);
        assert_eq!(
            evidence.add(&cold(answer(3, "a", "2", 0))),
            Next::SameConnection
        );
        assert_eq!(evidence.add(&answer(13, "b", "1", 0)), Next::Stop);
        assert_eq!(
            evidence.verdict(),
            Verdict::Indeterminate {
                reason: Reason::UnexpectedVersion
            }
        );
        assert_eq!(evidence.unexpected_version.as_deref(), Some("1"));
    }

    #[test]
    fn missing_instances_are_looked_for_on_new_connections_within_a_budget() {
        let settings = expecting(None, Some(2));
        let mut evidence = Evidence::new(&settings);
        let mut warm = false;
        let mut connections = 0;
        for request in 1..=32 {
            let mut exchange = answer(request * 10 + 3, "a", "1", 0);
            exchange.warm = warm;
            connections += u32::from(!warm);
            match evidence.add(&exchange) {
                Next::SameConnection => warm = true,
                Next::NewConnection => warm = false,
                Next::Stop => assert_eq!(request, 32),
            }
        }
        assert_eq!(connections, 16);
        assert_eq!(
            evidence.verdict(),
            Verdict::Indeterminate {
                reason: Reason::MissingInstances
            }
        );
    }

    #[test]
    fn a_local_step_between_requests_forgets_what_was_measured() {
        let settings = Settings::default();
        let mut evidence = Evidence::new(&settings);
        assert_eq!(
            evidence.add(&cold(answer(3, "a", "1", 0))),
            Next::SameConnection
        );
        let mut after_step = answer(13, "a", "1", 0);
        for reading in [&mut after_step.sent, &mut after_step.received] {
            reading.wall -= 20 * crate::units::MILLISECOND;
        }
        assert_eq!(evidence.add(&after_step), Next::Stop);
        let instance = &evidence.instances[&Some("a".to_owned())];
        assert_eq!(instance.clock.samples(), 1);
        assert_eq!(evidence.verdict(), Verdict::Ok);
    }

    #[test]
    fn a_lost_connection_is_replaced_a_failing_new_one_is_down() {
        let settings = Settings::default();
        let mut evidence = Evidence::new(&settings);
        let mut broken = answer(13, "a", "1", 0);
        broken.result = Err(Failure::Broken {
            peer: "127.0.0.1:1".to_owned(),
            detail: "connection closed".to_owned(),
        });
        assert_eq!(
            evidence.add(&cold(answer(3, "a", "1", 0))),
            Next::SameConnection
        );
        assert_eq!(evidence.add(&broken), Next::NewConnection);
        assert_eq!(evidence.add(&cold(broken)), Next::Stop);
        assert_eq!(evidence.verdict(), Verdict::Down);
    }

    #[test]
    fn after_a_timeout_of_its_own_making_the_checker_asks_again() {
        let settings = Settings::default();
        let mut evidence = Evidence::new(&settings);
        let mut late = cold(answer(3, "a", "1", 0));
        late.stall = std::time::Duration::from_secs(3);
        late.result = Err(Failure::TimedOut {
            after: settings.timeout,
        });
        assert_eq!(evidence.add(&late), Next::NewConnection);
        assert_eq!(
            evidence.verdict(),
            Verdict::Indeterminate {
                reason: Reason::CheckerOverloaded
            }
        );
    }
}
