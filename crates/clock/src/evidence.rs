//! Evidence of a check: the state so far, its verdict, and the next request. Pure; the caller's
//! loop only acts on it.

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

/// Minimum number of answers for OK. One has to come by a warm connection, because the first
/// contains the time of connecting.
const ANSWERS_TO_BE_OK: usize = 2;

/// Length of a day in seconds.
pub(crate) const DAY: i64 = 86_400;

/// Next step after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Repeats the request on the same connection, after a pause.
    SameConnection(Duration),
    /// Repeats the request on a new connection.
    NewConnection,
    /// Ends the check.
    Stop,
}

/// Result of the last new connection to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// Unknown: this process was delayed, or the host was suspended.
    Unknown,
    /// Answered.
    Live,
    /// Not answered.
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

/// Fact that weakens a result without making it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The service does not echo the nonce: a cache that hides its `Age` would go unnoticed.
    NonceNotEchoed,
    /// The time comes from the `Date` header because the body has none.
    DateHeader,
    /// A check without a clock got a cached response, which proves less about the service behind
    /// it.
    Cached,
    /// The service does not name its instances. Several behind one address count as one; those at
    /// other addresses count separately.
    InstanceNotNamed,
}

/// Instance as observed in its answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Instance {
    pub(crate) clock: InstanceClock,
    pub(crate) version: Option<String>,
}

/// Evidence of a check so far.
#[derive(Debug)]
pub struct Evidence<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) instances: BTreeMap<Owner, Instance>,
    /// Result of the last contact with each address.
    pub addresses: BTreeMap<SocketAddr, Contact>,
    /// Address of the connection in use.
    asked: Option<SocketAddr>,
    failure: Option<Failure>,
    /// First version that was not the expected one; empty if an answer named none.
    pub(crate) unexpected_version: Option<String>,
    pub(crate) notes: BTreeSet<Note>,
    pub(crate) requests: u32,
    pub(crate) discarded: u32,
    /// Status code of the last response.
    pub(crate) status: Option<u16>,
    /// Expiry of the certificate that expires first, seconds since 1970.
    pub(crate) expires: Option<i64>,
    /// Latencies of answered requests on a used connection, nanoseconds.
    pub(crate) warm_latencies: Vec<Nanoseconds>,
    /// Latencies of answered requests that had to connect first, nanoseconds.
    pub(crate) cold_latencies: Vec<Nanoseconds>,
    requests_on_connection: u32,
    connection_lost: bool,
    /// Number of the current connection to each address.
    connections: BTreeMap<Option<SocketAddr>, u64>,
    /// First reason that an answer without an instance name was discarded.
    anonymous: Option<Reason>,
    last: Option<Reading>,
}

impl<'a> Evidence<'a> {
    /// Creates empty evidence.
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

    /// Records a failure that happened before any request.
    pub(crate) fn fail(&mut self, failure: Failure) {
        // The first one counts, because later ones tend to be its consequences.
        self.failure.get_or_insert(failure);
    }

    /// Records the reason that no request was possible, if it reveals nothing about the service.
    pub(crate) fn give_up(&mut self, reason: Reason) {
        self.anonymous.get_or_insert(reason);
    }

    /// Sets the address of the connection used from now on.
    pub fn turn_to(&mut self, address: Option<SocketAddr>) {
        self.asked = address;
    }

    /// Adds a request and returns the next step.
    pub fn add(&mut self, observation: &Observation) -> Next {
        // Compared with the previous request, so that a step between the two counts as well.
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
            // Numbers are unique: one more than the highest so far.
            let opened = self.connections.values().max().copied();
            let number = opened.unwrap_or_default() + 1;
            self.connections.insert(observation.address, number);
        }
        self.requests_on_connection += 1;
        // The client closes its connection after a failed request.
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
        // A failure without a status keeps that of the last response.
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

    /// Adds an answer without a clock. An answer with neither instance nor version adds no
    /// instance.
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

    /// Adds a request that reveals nothing, neither about a clock nor about the route to it.
    fn untold(&mut self, address: Option<SocketAddr>, discard: Discard) {
        self.discarded += 1;
        self.anonymous.get_or_insert(discard.reason());
        if let Some(address) = address {
            // Recorded nevertheless: if all other addresses are dead, this one may still be live.
            self.addresses.entry(address).or_insert(Contact::Unknown);
        }
    }

    /// Adds a failure. A failure of one address does not fail the check, because clients have the
    /// others to try.
    fn failed(&mut self, address: Option<SocketAddr>, failure: &Failure) {
        match address {
            Some(address) if failure.is_about_the_address() => {
                self.addresses
                    .insert(address, Contact::Dead(failure.clone()));
            }
            Some(_) | None => self.fail(failure.clone()),
        }
    }

    /// Returns the reason that the service is down, or that this host cannot tell.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        let no_address_left = || {
            let failures = self.addresses.values().map(Contact::failure);
            let failures = failures.collect::<Option<Vec<_>>>()?;
            // A failure of the service says more than a missing route to one of its addresses.
            let of_service = failures.iter().find(|it| it.local_fault().is_none());
            of_service.or(failures.first()).copied()
        };
        self.failure.as_ref().or_else(no_address_left)
    }

    /// Returns the problems that do not change the verdict.
    pub(crate) fn warnings(&self) -> BTreeSet<Warning> {
        let mut warnings = BTreeSet::new();
        // Missing routes are this host's problem, and a service usually listens on only one of its
        // loopback addresses.
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

    /// Returns the seconds until the first certificate expires, by the local clock.
    pub(crate) fn certificate_left(&self) -> Option<i64> {
        let now = i64::try_from(self.last?.wall.div_euclid(SECOND)).ok()?;
        Some(self.expires? - now)
    }

    /// Returns the instance that gave this answer. An answer counts as seen even if it measures
    /// nothing.
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

    /// Returns the next step.
    pub fn next(&self) -> Next {
        let verdict = self.verdict();
        let contacts = self.addresses.values();
        let live = contacts.filter(|it| **it == Contact::Live).count();
        let decided = match verdict {
            Verdict::Down => true,
            Verdict::Skewed => !self.is_preliminary(),
            // Each address was asked once, and one of them once more on a warm connection.
            Verdict::Ok => match self.settings.kind {
                Kind::Clock => self.answers() >= ANSWERS_TO_BE_OK.max(live + 1),
                Kind::Http => self.answers() >= live,
            },
            // An unexpected version stays unexpected, whatever further answers say.
            Verdict::Indeterminate { reason } => reason == Reason::UnexpectedVersion,
        };
        if decided || self.failure().is_some() || self.requests >= self.budget() {
            return Next::Stop;
        }
        let missing = Verdict::Indeterminate {
            reason: Reason::MissingInstances,
        };
        // A load balancer may keep a connection on one instance for its whole life.
        let exhausted = self.requests_on_connection >= self.settings.samples.max(1)
            || (verdict == missing && self.requests_on_connection >= 2);
        let doubtful = self.doubtful();
        // Nothing is in doubt at this address any more, but at another one.
        let elsewhere = self
            .asked
            .is_some_and(|asked| !doubtful.is_empty() && !doubtful.contains(&asked));
        if self.connection_lost || exhausted || elsewhere {
            Next::NewConnection
        } else {
            Next::SameConnection(self.pause())
        }
    }

    /// Returns whether all clocks that are off were asked only once, and may turn out to stand still.
    fn is_preliminary(&self) -> bool {
        let max_skew = nanoseconds(self.settings.max_skew);
        let (now, mut off) = (self.now(), self.instances.values());
        off.all(|it| {
            self.verdict_on(it) != Verdict::Skewed || it.clock.is_preliminary(now, max_skew)
        })
    }

    /// Returns the maximum number of requests. Added to the settings' budget: one request per
    /// further address, and `samples` per further clock that only its own address reaches.
    fn budget(&self) -> u32 {
        let count = |number: usize| u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let nameless = self.instances.keys().filter_map(Owner::address).count();
        let clocks = count(nameless).saturating_mul(self.settings.samples.max(1));
        self.settings
            .budget()
            .saturating_add(count(self.addresses.len()))
            .saturating_add(clocks)
    }

    /// Returns the addresses of nameless clocks that are in doubt. Only requests to these addresses
    /// reveal more about them.
    pub fn doubtful(&self) -> BTreeSet<SocketAddr> {
        self.instances
            .iter()
            .filter(|(_, instance)| self.verdict_on(instance) != Verdict::Ok)
            .filter_map(|(owner, _)| owner.address())
            .filter(|address| self.addresses.get(address) == Some(&Contact::Live))
            .collect()
    }

    /// Returns the pause until an answer is most useful, for the first clock in doubt that may
    /// answer.
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

    /// Returns the bounds of the largest distance between two instances' clocks, nanoseconds;
    /// `None` for fewer than two.
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

    /// Returns the overall verdict: the first match in the table of `docs/checker.md`.
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

    /// Returns the number of instances that are certainly distinct. Those without a name may be one
    /// instance at several addresses, so they count as one.
    pub(crate) fn distinct_instances(&self) -> usize {
        let names: BTreeSet<_> = self.instances.keys().map(Owner::name).collect();
        names.len()
    }

    /// Returns whether nameless clocks have to be told apart by their address.
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

    /// Returns the current verdict on one instance's clock.
    pub(crate) fn verdict_on(&self, instance: &Instance) -> Verdict {
        if self.settings.kind == Kind::Http {
            return Verdict::Ok;
        }
        instance
            .clock
            .verdict_at(self.now(), nanoseconds(self.settings.max_skew))
    }

    /// Returns the current bounds of one instance's clock.
    pub(crate) fn interval_of(&self, instance: &Instance) -> Option<OffsetInterval> {
        instance.clock.interval_at(self.now())
    }

    /// Returns the current most likely offset of one instance's clock.
    pub(crate) fn estimate_of(&self, instance: &Instance) -> Option<Nanoseconds> {
        instance.clock.estimate_at(self.now())
    }

    /// Returns the last reading, which stands for the present: this module reads no clock.
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
