//! What a check has learned so far, what that amounts to, and what to ask next: pure, the loop around it only acts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;
use crate::instance::InstanceClock;
use crate::interval::{OffsetInterval, Sample};
use crate::observation::{Answered, Discard, Echo, Observation, Outcome, Source};
use crate::owner::Owner;
use crate::reading::{Interruption, Reading};
use crate::settings::{Kind, Settings};
use crate::units::{Nanoseconds, SECOND, duration, nanoseconds};
use crate::verdict::{Reason, Verdict, Warning, separation};

/// A result on the warm connection is wanted, not only one that holds the time of connecting.
const ANSWERS_TO_BE_OK: usize = 2;

/// Seconds.
pub(crate) const DAY: i64 = 86_400;

/// What to do after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Ask again on the same connection, after a pause.
    SameConnection(Duration),
    /// Ask again on a new one.
    NewConnection,
    /// The check is over.
    Stop,
}

/// What became of the last new connection to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// Nobody can tell: this program was delayed, or slept.
    Unknown,
    /// It was answered.
    Live,
    /// It was not.
    Dead(Failure),
}

impl Contact {
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Dead(failure) => Some(failure),
            Self::Unknown | Self::Live => None,
        }
    }
}

/// What weakens a result without making it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The service does not echo the nonce: a cache that hides its `Age` would go unnoticed.
    NonceNotEchoed,
    /// The time is from the `Date` header, for the body has none.
    DateHeader,
    /// A check without a clock was answered from a cache, so it proves less of the service behind it.
    Cached,
    /// The service does not name its instances: several behind one address are taken for one, those at others for others.
    InstanceNotNamed,
}

/// One instance, as it showed itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Instance {
    pub(crate) clock: InstanceClock,
    pub(crate) version: Option<String>,
}

/// Everything a check has learned so far.
#[derive(Debug)]
pub struct Evidence<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) instances: BTreeMap<Owner, Instance>,
    /// What became of each address that was asked.
    pub addresses: BTreeMap<SocketAddr, Contact>,
    /// Whom the connection leads to that is asked.
    asked: Option<SocketAddr>,
    failure: Option<Failure>,
    /// The first version that was not the expected one; empty when an answer named none.
    pub(crate) unexpected_version: Option<String>,
    pub(crate) notes: BTreeSet<Note>,
    pub(crate) requests: u32,
    pub(crate) discarded: u32,
    /// The status code of the last answer.
    pub(crate) status: Option<u16>,
    /// When the first certificate expires, seconds since 1970.
    pub(crate) expires: Option<i64>,
    /// Answered requests on a used connection, nanoseconds.
    pub(crate) warm_latencies: Vec<Nanoseconds>,
    /// Answered requests that had to connect first, nanoseconds.
    pub(crate) cold_latencies: Vec<Nanoseconds>,
    requests_on_connection: u32,
    connection_lost: bool,
    /// The number of the connection to each address that is asked.
    connections: BTreeMap<Option<SocketAddr>, u64>,
    /// The first reason why an answer that named no instance was discarded.
    anonymous: Option<Reason>,
    last: Option<Reading>,
}

impl<'a> Evidence<'a> {
    /// Nothing yet.
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            instances: BTreeMap::new(),
            addresses: BTreeMap::new(),
            asked: None,
            failure: None,
            unexpected_version: None,
            notes: BTreeSet::new(),
            requests: 0,
            discarded: 0,
            status: None,
            expires: None,
            warm_latencies: Vec::new(),
            cold_latencies: Vec::new(),
            requests_on_connection: 0,
            connection_lost: false,
            connections: BTreeMap::new(),
            anonymous: None,
            last: None,
        }
    }

    /// Notes a failure that needed no request.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Notes why nothing could be asked, where that tells nothing of the service.
    pub(crate) fn give_up(&mut self, reason: Reason) {
        self.anonymous.get_or_insert(reason);
    }

    /// Notes which connection is asked from here on.
    pub fn turn_to(&mut self, address: Option<SocketAddr>) {
        self.asked = address;
    }

    /// Takes in a request, and says what to do next.
    pub fn add(&mut self, observation: &Observation) -> Next {
        // Before this request, or while it was under way.
        let interruption = self
            .last
            .and_then(|last| last.interruption(observation.received));
        if let Some(interruption) = interruption {
            let reason = match interruption {
                Interruption::Step => Reason::LocalStep,
                Interruption::Suspended => Reason::Suspended,
            };
            for instance in self.instances.values_mut() {
                instance.clock.forget(reason);
            }
        }
        self.last = Some(observation.received);
        self.asked = observation.address;
        self.requests += 1;
        if !observation.warm {
            self.requests_on_connection = 0;
            // Unique: one more than all that were opened before.
            let opened = self.connections.values().max().copied();
            let number = opened.unwrap_or_default() + 1;
            self.connections.insert(observation.address, number);
        }
        self.requests_on_connection += 1;
        // After a failed request there is nothing left to reuse.
        self.connection_lost = observation.result.is_err();
        if observation.result.is_ok() {
            let latencies = if observation.warm {
                &mut self.warm_latencies
            } else {
                &mut self.cold_latencies
            };
            latencies.push(observation.latency());
            if let Some(address) = observation.address {
                self.addresses.insert(address, Contact::Live);
            }
        }
        self.status = match &observation.result {
            Ok(answered) => answered.status,
            Err(failure) => failure.status(),
        }
        .or(self.status);
        if let Ok(Answered {
            expires: Some(expires),
            ..
        }) = observation.result
        {
            self.expires = Some(self.expires.map_or(expires, |known| known.min(expires)));
        }
        match observation.outcome() {
            Outcome::Sampled(answered, sample) => {
                self.sampled(answered, &sample, observation.stalled());
            }
            Outcome::Answered(answered) => self.answered(answered),
            Outcome::Discarded(Some(answered), discard) => {
                self.discarded += 1;
                self.seen(answered).clock.discard(discard.reason());
            }
            Outcome::Discarded(None, discard) => self.untold(observation.address, discard),
            Outcome::Failed(failure) => self.failed(observation.address, failure),
            Outcome::ConnectionLost => {}
        }
        self.next()
    }

    fn sampled(&mut self, answered: &Answered, sample: &Sample, stalled: bool) {
        if answered.echo == Echo::None {
            self.notes.insert(Note::NonceNotEchoed);
        }
        if answered.source == Source::DateHeader {
            self.notes.insert(Note::DateHeader);
        }
        let connection = self.connections.get(&self.asked).copied();
        let clock = &mut self.seen(answered).clock;
        clock.add(sample, connection.unwrap_or_default(), stalled);
    }

    /// An answer without a clock. Whoever says neither who it is nor what it runs is no instance to be told.
    fn answered(&mut self, answered: &Answered) {
        if answered.aged {
            self.notes.insert(Note::Cached);
        }
        if answered.instance.is_some() || answered.version.is_some() {
            let _ = self.seen(answered);
        } else {
            self.expect_version_of(answered);
        }
    }

    /// A request that tells nothing, neither of a clock nor of the way to it.
    fn untold(&mut self, address: Option<SocketAddr>, discard: Discard) {
        self.discarded += 1;
        self.anonymous.get_or_insert(discard.reason());
        if let Some(address) = address {
            // Remembered all the same: where the others are dead, it may be the one that is not.
            self.addresses.entry(address).or_insert(Contact::Unknown);
        }
    }

    /// No way to one of several addresses is not the end: whoever knows the name has others to try.
    fn failed(&mut self, address: Option<SocketAddr>, failure: &Failure) {
        match address {
            Some(address) if failure.is_about_the_address() => {
                self.addresses
                    .insert(address, Contact::Dead(failure.clone()));
            }
            Some(_) | None => self.fail(failure.clone()),
        }
    }

    /// Returns why the service is down, or why this machine cannot tell.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        let no_address_left = || {
            let failures = self.addresses.values().map(Contact::failure);
            let failures = failures.collect::<Option<Vec<_>>>()?;
            // What was found out elsewhere says more than that there is no way to one of the addresses.
            let of_service = failures.iter().find(|it| it.local_fault().is_none());
            of_service.or(failures.first()).copied()
        };
        self.failure.as_ref().or_else(no_address_left)
    }

    /// What is wrong although the verdict may be OK.
    pub(crate) fn warnings(&self) -> BTreeSet<Warning> {
        let mut warnings = BTreeSet::new();
        let dead = |failure: &Failure| !matches!(failure, Failure::NoRoute { .. });
        let is_public = |address: &SocketAddr| !address.ip().is_loopback();
        if self.failure().is_none()
            && self
                .addresses
                .iter()
                .any(|(address, contact)| is_public(address) && contact.failure().is_some_and(dead))
        {
            warnings.insert(Warning::AddressDead);
        }
        let left = self.certificate_left().zip(self.settings.warn_certificate);
        if left.is_some_and(|(left, days)| left < i64::from(days) * DAY) {
            warnings.insert(Warning::Certificate);
        }
        if let Some(limit) = self.settings.warn_skew.map(nanoseconds) {
            let beyond = |interval: OffsetInterval| interval.lo > limit || interval.hi < -limit;
            if self
                .instances
                .values()
                .filter_map(|instance| self.interval_of(instance))
                .any(beyond)
            {
                warnings.insert(Warning::Skew);
            }
        }
        warnings
    }

    /// Seconds for which the certificates are valid, by the local clock.
    pub(crate) fn certificate_left(&self) -> Option<i64> {
        let now = i64::try_from(self.last?.wall.div_euclid(SECOND)).ok()?;
        Some(self.expires? - now)
    }

    /// The instance that gave this answer. Answers count as seen whether or not they measure anything.
    fn seen(&mut self, answered: &Answered) -> &mut Instance {
        if answered.instance.is_none() && self.settings.kind == Kind::Clock {
            self.notes.insert(Note::InstanceNotNamed);
        }
        self.expect_version_of(answered);
        let owner = Owner::of(answered.instance.as_ref(), self.asked);
        let instance = self.instances.entry(owner).or_default();
        instance.version.clone_from(&answered.version);
        instance
    }

    fn expect_version_of(&mut self, answered: &Answered) {
        if let Some(expected) = &self.settings.expect_version
            && answered.version.as_ref() != Some(expected)
        {
            self.unexpected_version
                .get_or_insert(answered.version.clone().unwrap_or_default());
        }
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let verdict = self.verdict();
        let contacts = self.addresses.values();
        let live = contacts.filter(|it| **it == Contact::Live).count();
        let decided = match verdict {
            Verdict::Down | Verdict::Skewed => true,
            // Each address was asked once, and one of them once more.
            Verdict::Ok => match self.settings.kind {
                Kind::Clock => self.answers() >= ANSWERS_TO_BE_OK.max(live + 1),
                Kind::Http => self.answers() >= live,
            },
            Verdict::Indeterminate { reason } => reason == Reason::UnexpectedVersion,
        };
        if decided || self.failure().is_some() || self.requests >= self.budget() {
            return Next::Stop;
        }
        let missing = Verdict::Indeterminate {
            reason: Reason::MissingInstances,
        };
        // A load balancer may keep to one instance for a connection's life.
        let exhausted = self.requests_on_connection >= self.settings.samples.max(1)
            || (verdict == missing && self.requests_on_connection >= 2);
        let doubtful = self.doubtful();
        // Here nothing is in doubt any more, but elsewhere.
        let elsewhere = self
            .asked
            .is_some_and(|asked| !doubtful.is_empty() && !doubtful.contains(&asked));
        if self.connection_lost || exhausted || elsewhere {
            Next::NewConnection
        } else {
            Next::SameConnection(self.pause())
        }
    }

    /// Requests at most. What it takes to ask the other addresses comes on top, and what it takes to find out about each clock
    /// that only its own address tells of.
    fn budget(&self) -> u32 {
        let count = |number: usize| u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let nameless = self.instances.keys().filter_map(Owner::address).count();
        let clocks = count(nameless).saturating_mul(self.settings.samples.max(1));
        self.settings
            .budget()
            .saturating_add(count(self.addresses.len()))
            .saturating_add(clocks)
    }

    /// Addresses of clocks that are in doubt and have no name: more is learned of them there alone.
    pub fn doubtful(&self) -> BTreeSet<SocketAddr> {
        self.instances
            .iter()
            .filter(|(_, instance)| self.verdict_on(instance) != Verdict::Ok)
            .filter_map(|(owner, _)| owner.address())
            .filter(|address| self.addresses.get(address) == Some(&Contact::Live))
            .collect()
    }

    /// Until the moment at which an answer tells most about the first clock that is in doubt, of those that may answer.
    fn pause(&self) -> Duration {
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        let max_skew = nanoseconds(self.settings.max_skew);
        let may_answer = |owner: &Owner| owner.name().is_some() || owner.address() == self.asked;
        self.instances
            .iter()
            .filter(|(owner, _)| may_answer(owner))
            .map(|(_, instance)| instance)
            .filter(|instance| self.verdict_on(instance) != Verdict::Ok)
            .find_map(|instance| instance.clock.pause_at(last, max_skew))
            .map_or(Duration::ZERO, duration)
    }

    /// How far the instances' clocks are apart: at least, and at most. Nanoseconds; `None` for fewer than two.
    pub(crate) fn spread(&self) -> Option<OffsetInterval> {
        let intervals: Vec<_> = self
            .instances
            .values()
            .filter_map(|instance| self.interval_of(instance))
            .filter(|interval| !interval.is_empty())
            .collect();
        let pairs = intervals.iter().enumerate().flat_map(|(index, a)| {
            intervals
                .iter()
                .skip(index + 1)
                .map(move |b| OffsetInterval {
                    lo: separation(*a, *b).max(0),
                    hi: (a.hi - b.lo).max(b.hi - a.lo),
                })
        });
        pairs.reduce(|a, b| OffsetInterval {
            lo: a.lo.max(b.lo),
            hi: a.hi.max(b.hi),
        })
    }

    fn answers(&self) -> usize {
        self.warm_latencies.len() + self.cold_latencies.len()
    }

    /// The verdict on all that is known: the table in `docs/checker.md`, first match.
    pub(crate) fn verdict(&self) -> Verdict {
        let undecided = |reason| Verdict::Indeterminate { reason };
        if let Some(failure) = self.failure() {
            return failure.local_fault().map_or(Verdict::Down, undecided);
        }
        let clocks = match self.settings.kind {
            Kind::Clock => self.verdict_on_clocks(),
            Kind::Http if self.answers() > 0 => Verdict::Ok,
            Kind::Http => undecided(self.anonymous.unwrap_or(Reason::NoSample)),
        };
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
            .is_some_and(|expected| self.distinct_instances() < expected)
    }

    /// How many there are for certain: those without a name may be one at several addresses.
    pub(crate) fn distinct_instances(&self) -> usize {
        let names: BTreeSet<_> = self.instances.keys().map(Owner::name).collect();
        names.len()
    }

    /// Whether it takes the address to tell one clock without a name from another.
    pub(crate) fn has_several_nameless(&self) -> bool {
        let nameless = self.instances.keys().filter(|owner| owner.name().is_none());
        nameless.count() > 1
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
        if self.settings.kind == Kind::Http {
            return Verdict::Ok;
        }
        instance
            .clock
            .verdict_at(self.now(), nanoseconds(self.settings.max_skew))
    }

    /// The bounds of one instance's clock, now.
    pub(crate) fn interval_of(&self, instance: &Instance) -> Option<OffsetInterval> {
        instance.clock.interval_at(self.now())
    }

    /// The most likely offset of one instance's clock, now.
    pub(crate) fn estimate_of(&self, instance: &Instance) -> Option<Nanoseconds> {
        instance.clock.estimate_at(self.now())
    }

    /// The last reading: a pure view of "now".
    fn now(&self) -> Reading {
        self.last.unwrap_or(Reading {
            wall: 0,
            monotonic: 0,
            suspended: 0,
        })
    }
}

#[cfg(test)]
mod tests;
